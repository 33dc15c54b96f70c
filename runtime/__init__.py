"""Run edgescope artefacts: `Segmenter.open(path)` and then `segment(frame)`. Needs numpy and one backend."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .artifact import open_artifact
    from .errors import EdgescopeError, InputError
    from .live import LiveSegmenter
    from .segmenter import Segmentation, Segmenter

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
HOMES = {
    "EdgescopeError": "errors",
    "InputError": "errors",
    "LiveSegmenter": "live",
    "Segmentation": "segmenter",
    "Segmenter": "segmenter",
    "open_artifact": "artifact",
}


def __getattr__(name: str) -> Any:
    """Each name is imported when it is asked for: a command line that only prints its help needs not even numpy."""
    if name not in HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f".{HOMES[name]}", __name__), name)
