"""Live segmentation: `LiveSegmenter` takes frames without waiting, and restarts its worker after a crash."""

from .ledger import Late, Policy
from .result import Counters, LiveEvent, LiveResult, LiveSegmentation, RingOverflow, RingTimeout, Until, now_ns
from .segmenter import LiveSegmenter

__all__ = [
    "Counters",
    "Late",
    "LiveEvent",
    "LiveResult",
    "LiveSegmentation",
    "LiveSegmenter",
    "Policy",
    "RingOverflow",
    "RingTimeout",
    "Until",
    "now_ns",
]
