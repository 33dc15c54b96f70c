"""CellSAM's network as a teacher.

Its input is (blank, nuclear, whole-cell), each scaled to its 99.9 percentile and equalised (CLAHE). Its ``predict``
thresholds the masks, of which a student wants the probability; so its steps are taken one by one: embedding, boxes,
mask decoder, maximum.
"""

from __future__ import annotations

import inspect
import logging
import os
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from segment_anything.utils.transforms import ResizeLongestSide

from distill.networks.devices import choose
from distill.sam import checkpoint, prompts
from distill.sam.network import Encoded, SamNetwork
from distill.sam.options import REMEDY, PromptOptions
from distill.teachers import Teacher
from runtime.errors import EdgescopeError, InputError
from runtime.frames.normalize import check_frame
from runtime.system import extras

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from distill.config.sections import TeacherSection
    from distill.datasets import Sample

log = logging.getLogger(__name__)

PACKAGE = "cellSAM"
TOKEN = "DEEPCELL_ACCESS_TOKEN"
LICENCE = "CellSAM: non-commercial academic use only"
INSTALL = "pip install git+https://github.com/vanvalenlab/cellSAM.git"
SIDE = 1024  # pixels of the encoder's side
PERCENTILE, KERNEL = 99.9, 128  # CellSAM's own
NORMALIZATION = f"non-zero percentile {PERCENTILE}, CLAHE with kernel {KERNEL}"


class CellSam(Teacher):
    """The package is imported and the network loaded when it is asked for the first time."""

    name = "cellsam"
    licence = LICENCE

    def __init__(self, section: TeacherSection, options: PromptOptions, weights: Path) -> None:
        self.options, self.weights, self.device = options, weights, choose(section.device)
        self.half = section.half and self.device == "cuda"
        self.channels = tuple(name for name in options.rgb if name != "blank")
        self.needs_instances = options.prompts == "boxes"

    def key(self) -> Mapping[str, str]:
        """Weights, channels, its normalisation, and where the boxes are from."""
        return {
            "weights": checkpoint.digest(self.weights),
            "channels": ", ".join(self.options.rgb),
            "normalisation": NORMALIZATION,
            "prompts": self.options.prompts_in_words,
        }

    def reference(self, sample: Sample) -> NDArray[np.int32] | None:
        """The labels that boxes are taken from."""
        return sample.labels_of(self.options.prompt_labels, REMEDY) if self.needs_instances else None

    def probabilities(
        self, images: Sequence[NDArray[Any]], instances: Sequence[NDArray[Any] | None]
    ) -> list[NDArray[np.float32]]:
        """Fields share a pass of the encoder, which takes them as squares of SIDE pixels."""
        squares = torch.stack([self._square(image) for image in images]).to(self.device)
        with torch.inference_mode():
            embeddings = _first(_call(self._model.generate_embeddings, squares, self.device))
            found = self._boxes(squares, images, instances)
        return [
            self._answer(embedding, image, boxes)
            for embedding, image, boxes in zip(embeddings, images, found, strict=True)
        ]

    @cached_property
    def _model(self) -> Any:
        package = import_module(PACKAGE)
        if not hasattr(package, "get_local_model"):
            msg = f"This {PACKAGE} has no get_local_model; install a newer one: {INSTALL} ({LICENCE})."
            raise EdgescopeError(msg)
        state = checkpoint.read(self.weights)
        model = package.get_local_model(str(self.weights)).eval().to(self.device)
        _check_keys(self.weights, model, state, self._used(model), self.needs_instances)
        return model

    @cached_property
    def _network(self) -> SamNetwork:
        return SamNetwork(getattr(self._model, self._used(self._model)), self.half)

    @staticmethod
    def _used(model: Any) -> str:
        """The SAM that decodes: newer versions have a copy beside the one that their detector was trained from."""
        return "model_cp" if hasattr(model, "model_cp") else "model"

    def _square(self, image: NDArray[Any]) -> torch.Tensor:
        """(3, SIDE, SIDE) in [0, 1], padded with black at the bottom and right."""
        planes = iter(image)
        shape = image.shape[1:]
        shown = [
            np.zeros(shape, np.float32) if name == "blank" else normalize(next(planes)) for name in self.options.rgb
        ]
        tensor = torch.from_numpy(np.stack(shown))[None]
        height, width = _scaled(shape)
        tensor = torch.nn.functional.interpolate(tensor, (height, width), mode="bilinear", antialias=True)[0]
        return torch.nn.functional.pad(tensor, (0, SIDE - width, 0, SIDE - height)).clamp(0, 1)

    def _boxes(
        self, squares: torch.Tensor, images: Sequence[NDArray[Any]], instances: Sequence[NDArray[Any] | None]
    ) -> list[NDArray[np.float32]]:
        """Boxes of each field in its own pixels."""
        if self.needs_instances:
            if any(labels is None for labels in instances):
                msg = 'CellSAM is prompted with boxes of labels; give labels, or teacher.options.prompts = "none".'
                raise InputError(msg)
            return [prompts.boxes(labels) for labels in instances if labels is not None]
        found = _call(self._model.generate_bounding_boxes, squares, self.device)
        found = [None] * len(images) if found is None else found
        boxes = []
        for image, one in zip(images, found, strict=True):
            longest = max(image.shape[1:])
            inside = np.zeros((0, 4), np.float32) if one is None else _array(one).reshape(-1, 4) * (longest / SIDE)
            boxes.append(inside[(inside[:, 0] < image.shape[2]) & (inside[:, 1] < image.shape[1])])
        return boxes

    def _answer(self, embedding: torch.Tensor, image: NDArray[Any], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        shape = image.shape[1], image.shape[2]
        if not len(boxes):  # where CellSAM's own predict gives four times None
            return np.zeros(shape, np.float32)
        encoded = Encoded(embedding.float(), _scaled(shape), shape)
        least = float(getattr(self._model, "iou_threshold", 0.0))
        return self._network.from_boxes(encoded, boxes, self.options.chunk, self.options.confine, least_iou=least)


def open_cellsam(section: TeacherSection, options: PromptOptions) -> CellSam:
    """See CellSamKind.open."""
    if not extras.available(PACKAGE):
        msg = f"{PACKAGE} is not installed; run: {INSTALL} ({LICENCE}; its weights need a token in {TOKEN})."
        raise EdgescopeError(msg)
    return CellSam(section, options, _weights(section.weights))


def normalize(plane: NDArray[Any]) -> NDArray[np.float32]:
    """CellSAM's normalisation of one plane (H, W): float32 in [0, 1]; a constant one is black."""
    from skimage.exposure import equalize_adapthist

    check_frame(plane)
    values = plane.astype(np.float64)
    if (values == values.flat[0]).all():
        return np.zeros(plane.shape, np.float32)
    values = np.minimum(values, np.percentile(values[values != 0], PERCENTILE))
    span = values.max() - values.min()
    if not span:
        return np.zeros(plane.shape, np.float32)
    return equalize_adapthist((values - values.min()) / span, kernel_size=KERNEL).astype(np.float32)


def _weights(name: str) -> Path:
    path = Path(name).expanduser()
    if name and path.is_file():
        return path
    missing = f"There are no CellSAM weights {name!r}" if name else "teacher.weights is empty"
    if TOKEN not in os.environ:
        msg = (
            f"{missing}, and {TOKEN} is not set, without which they cannot be downloaded: make a token at "
            f"users.deepcell.org, set it, run: python -c 'from {PACKAGE} import get_model; get_model()', and name the "
            f"file (below ~/.deepcell) in teacher.weights. {LICENCE}."
        )
        raise InputError(msg)
    msg = (
        f"{missing}; download them: python -c 'from {PACKAGE} import get_model; get_model()', and name the file (below "
        f"~/.deepcell) in teacher.weights. {LICENCE}."
    )
    raise InputError(msg)


def _check_keys(path: Path, model: Any, state: Mapping[str, Any], used: str, boxed: bool) -> None:
    """What is used must be in the file: the package loads with strict=False, and what is missing stays random."""
    needed = (f"{used}.", *(() if boxed else ("cellfinder.",)))
    own = model.state_dict()
    missing = sorted(name for name in own.keys() - state.keys() if name.startswith(needed))
    if missing:
        msg = (
            f"{path} does not fit this {PACKAGE}: {missing[0]} and {len(missing) - 1} more are not in it and would be "
            "random; use weights and package of the same version."
        )
        raise InputError(msg)
    if more := sorted(state.keys() - own.keys()):
        log.warning("%s holds %s and %d more that this %s does not use.", path, more[0], len(more) - 1, PACKAGE)


def _call(method: Callable[..., Any], images: torch.Tensor, device: str) -> Any:
    """Older versions must be told the device, newer ones know it."""
    given = {"device": device} if "device" in inspect.signature(method).parameters else {}
    return method(images, **given)


def _first(found: Any) -> Any:
    """Embeddings alone, or the first of (embeddings, paddings): it differs between versions."""
    return found[0] if isinstance(found, tuple) else found


def _array(boxes: Any) -> NDArray[np.float32]:
    return torch.as_tensor(boxes).detach().cpu().numpy().astype(np.float32)


def _scaled(shape: Sequence[int]) -> tuple[int, int]:
    height, width = ResizeLongestSide.get_preprocess_shape(shape[0], shape[1], SIDE)
    return height, width
