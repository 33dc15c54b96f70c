"""Run edgescope artefacts: `Segmenter.open(path)` and then `segment(frame)`. Needs numpy and one backend."""

from typing import TYPE_CHECKING, Any

from .artifact import open_artifact
from .errors import EdgescopeError, InputError
from .segmenter import Segmentation, Segmenter

if TYPE_CHECKING:
    from .live import LiveSegmenter

__version__ = "0.1.0"
__all__ = [
    "EdgescopeError",
    "InputError",
    "LiveSegmenter",
    "Segmentation",
    "Segmenter",
    "__version__",
    "open_artifact",
]


def __getattr__(name: str) -> Any:
    """`LiveSegmenter` is imported when it is asked for: who segments files needs no processes."""
    if name == "LiveSegmenter":
        from .live import LiveSegmenter

        return LiveSegmenter
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
