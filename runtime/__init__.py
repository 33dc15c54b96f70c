"""Run edgescope artefacts: `Segmenter.open(path)` and then `segment(frame)`. Needs numpy and one backend."""

from .artifact import open_artifact
from .errors import EdgescopeError, InputError
from .segmenter import Segmentation, Segmenter

__version__ = "0.1.0"
__all__ = ["EdgescopeError", "InputError", "Segmentation", "Segmenter", "__version__", "open_artifact"]
