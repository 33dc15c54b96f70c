"""Run edgescope artefacts: `Segmenter.open(path)` and then `segment(frame)`. Needs numpy and one backend.

The names below are the package's public ones: what a host calls, and the types in the signatures of that.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .system import telemetry

if TYPE_CHECKING:
    from .artifact.artifact import Artifact, open_artifact
    from .artifact.manifest import Manifest, Normalization, Objects, ObjectSize
    from .errors import BudgetMissed, EdgescopeError, InputError
    from .execution import Execution
    from .frames.normalize import Frame
    from .frames.scale import Diameter, Scale
    from .live import (
        Counters,
        LiveEvent,
        LiveResult,
        LiveSegmentation,
        LiveSegmenter,
        RingOverflow,
        RingTimeout,
    )
    from .objects.measure import MeasuredObject
    from .segmentation.result import Segmentation
    from .segmenter import Segmenter

telemetry.set_variables()  # before anything imports a library that reads them

__version__ = "0.1.0"
__all__ = [
    "Artifact",
    "BudgetMissed",
    "Counters",
    "Diameter",
    "EdgescopeError",
    "Execution",
    "Frame",
    "InputError",
    "LiveEvent",
    "LiveResult",
    "LiveSegmentation",
    "LiveSegmenter",
    "Manifest",
    "MeasuredObject",
    "Normalization",
    "ObjectSize",
    "Objects",
    "RingOverflow",
    "RingTimeout",
    "Scale",
    "Segmentation",
    "Segmenter",
    "__version__",
    "open_artifact",
]
HOMES = {
    "artifact.artifact": ("Artifact", "open_artifact"),
    "artifact.manifest": ("Manifest", "Normalization", "ObjectSize", "Objects"),
    "errors": ("BudgetMissed", "EdgescopeError", "InputError"),
    "execution": ("Execution",),
    "frames.normalize": ("Frame",),
    "frames.scale": ("Diameter", "Scale"),
    "live": (
        "Counters",
        "LiveEvent",
        "LiveResult",
        "LiveSegmentation",
        "LiveSegmenter",
        "RingOverflow",
        "RingTimeout",
    ),
    "objects.measure": ("MeasuredObject",),
    "segmentation.result": ("Segmentation",),
    "segmenter": ("Segmenter",),
}


def __getattr__(name: str) -> Any:
    """Each name is imported when it is asked for: a command line that only prints its help needs not even numpy."""
    for home, names in HOMES.items():
        if name in names:
            return getattr(import_module(f".{home}", __name__), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    """For completion in notebooks."""
    return sorted({*globals(), *__all__})
