"""CellSAM (Israel et al. 2025, Nature Methods; vanvalenlab/cellSAM), a SAM for cells that finds its own boxes.

Its licence allows non-commercial academic use alone, so nothing of it is in here: the user installs the package and
downloads the weights, and a student of it inherits the licence through its lineage.

Prompts: ``none`` asks CellSAM's own detector for boxes, ``boxes`` takes those of the labels. Its input is (blank,
nuclear, whole-cell), each scaled to its 99.9 percentile and equalised (CLAHE). Its ``predict`` thresholds the masks, of
which a student wants the probability; so its steps are taken one by one: embedding, boxes, mask decoder, maximum.
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

from distill.devices import choose
from distill.sam import checkpoint, prompts
from distill.sam.network import Encoded, Network
from distill.teachers import TeacherKind
from distill.views import labels_of
from runtime import extras
from runtime.errors import EdgescopeError, InputError
from runtime.normalize import check_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from distill.datasets import Sample
    from distill.sections import TeacherSection

log = logging.getLogger(__name__)

PACKAGE = "cellSAM"
TOKEN = "DEEPCELL_ACCESS_TOKEN"
LICENCE = "CellSAM: non-commercial academic use only"
INSTALL = "pip install git+https://github.com/vanvalenlab/cellSAM.git"
SIDE = 1024  # pixels of the encoder's side
PERCENTILE, KERNEL = 99.9, 128  # CellSAM's own
NORMALIZATION = f"non-zero percentile {PERCENTILE}, CLAHE with kernel {KERNEL}"


class CellSam:
    """The package is imported and the network loaded when it is asked for the first time."""

    name = "cellsam"
    licence = LICENCE

    def __init__(self, section: TeacherSection, weights: Path) -> None:
        self.section, self.weights, self.device = section, weights, choose(section.device)
        self.channels = tuple(name for name in section.rgb if name != "blank")
        self.needs_instances = section.prompts == "boxes"

    def key(self) -> Mapping[str, str]:
        """Weights, channels, its normalisation, and where the boxes are from."""
        of = f" of {self.section.prompt_labels}" if self.needs_instances else ""
        confined = f" confined to {self.section.confine} px" if self.section.confine >= 0 else ""
        return {
            "weights": checkpoint.digest(self.weights),
            "channels": ", ".join(self.section.rgb),
            "normalisation": NORMALIZATION,
            "prompts": f"{self.section.prompts}{of}{confined}",
        }

    def reference(self, sample: Sample) -> NDArray[np.int32] | None:
        """The labels that boxes are taken from."""
        return labels_of(sample, self.section.prompt_labels) if self.needs_instances else None

    def probability(self, image: NDArray[Any], instances: NDArray[Any] | None = None) -> NDArray[np.float32]:
        """See Teacher.probability."""
        return self.probabilities([image], [instances])[0]

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
    def _network(self) -> Network:
        return Network(getattr(self._model, self._used(self._model)), self.section.half and self.device == "cuda")

    @staticmethod
    def _used(model: Any) -> str:
        """The SAM that decodes: newer versions have a copy beside the one that their detector was trained from."""
        return "model_cp" if hasattr(model, "model_cp") else "model"

    def _square(self, image: NDArray[Any]) -> torch.Tensor:
        """(3, SIDE, SIDE) in [0, 1], padded with black at the bottom and right."""
        planes = iter(image)
        shape = image.shape[1:]
        shown = [
            np.zeros(shape, np.float32) if name == "blank" else normalize(next(planes)) for name in self.section.rgb
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
                msg = 'CellSAM is prompted with boxes of labels, and got none; give them, or teacher.prompts = "none".'
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
        return self._network.from_boxes(encoded, boxes, self.section.chunk, self.section.confine, least_iou=least)


class CellSamKind(TeacherKind):
    """See TeacherKind."""

    name = "cellsam"

    def open(self, section: TeacherSection) -> CellSam:
        """Settings, package and weights, each with what to do where it is missing."""
        if section.prompts not in ("boxes", "none"):
            msg = f"teacher.prompts is {section.prompts!r}; CellSAM takes boxes, or none for those of its own detector."
            raise InputError(msg)
        rgb = section.rgb
        if len(rgb) != 3 or rgb[0] != "blank" or rgb[1] not in ("nucleus", "blank") or set(rgb) == {"blank"}:
            msg = (
                f"teacher.rgb is {list(rgb)}; CellSAM was trained on blank, nuclear, whole-cell in this order: "
                '["blank", "nucleus", "membrane"], or ["blank", "nucleus", "blank"] without a membrane.'
            )
            raise InputError(msg)
        if section.chunk < 1 or section.batch < 1:
            msg = f"teacher.chunk and teacher.batch must be positive, not {section.chunk} and {section.batch}."
            raise InputError(msg)
        if not extras.available(PACKAGE):
            msg = f"{PACKAGE} is not installed; run: {INSTALL} ({LICENCE}; its weights need a token in {TOKEN})."
            raise EdgescopeError(msg)
        return CellSam(section, _weights(section.weights))


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


TEACHER = CellSamKind()
