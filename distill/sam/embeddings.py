"""SAM's embeddings, computed once: the encoder is nearly all of SAM's cost. In half precision, 2 MB a field."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from segment_anything.utils.transforms import ResizeLongestSide

from distill.sam.network import Encoded, SamNetwork
from distill.store import Damaged, Store
from runtime.errors import EdgescopeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from distill.sam.checkpoint import Checkpoint
    from distill.sam.rgb import Rgb

log = logging.getLogger(__name__)


@dataclass
class Embeddings:
    """Embeddings of fields, from the store where they are there; SAM is loaded when one is not."""

    checkpoint: Checkpoint
    rgb: Rgb
    store: Store
    device: str
    half: bool
    computed: int = field(default=0, init=False)

    def of(self, images: Sequence[NDArray[Any]], names: Sequence[str]) -> list[Encoded]:
        """images : planes of rgb.channels, (C, H, W) each; names : of the fields, for errors."""
        pictures = [self.rgb.picture(image) for image in images]
        keys = [self.key(picture) for picture in pictures]
        known = {key: self._read(key, name) for key, name in zip(keys, names, strict=True)}
        missing = [place for place, key in enumerate(keys) if known[key] is None]
        if missing:
            for place, encoded in zip(missing, self.network.encode([pictures[i] for i in missing]), strict=True):
                values = encoded.embedding.cpu().numpy().astype(np.float16)
                self.store.write(keys[place], values, {"name": names[place], "holds": "embedding of SAM"})
                known[keys[place]] = values
                self.computed += 1
        return [self._encoded(known[key], picture) for key, picture in zip(keys, pictures, strict=True)]

    @cached_property
    def network(self) -> SamNetwork:
        """SAM on its device."""
        return SamNetwork(self.checkpoint.load(self.device), self.half)

    def _read(self, key: str, name: str) -> NDArray[np.float16] | None:
        try:
            return self.store.read(key, name)
        except Damaged as error:
            log.warning("%s It is computed again now.", error)
            self.store.discard(key)
            return None

    def _encoded(self, values: NDArray[np.float16] | None, picture: NDArray[np.uint8]) -> Encoded:
        assert values is not None
        height, width = picture.shape[:2]
        side = self.side(values.shape[-1])
        scaled = ResizeLongestSide.get_preprocess_shape(height, width, side)
        return Encoded(torch.from_numpy(values.astype(np.float32)).to(self.device), scaled, (height, width))

    @staticmethod
    def side(tokens: int) -> int:
        """Pixels of the encoder's side, of its tokens along it: each is 16 pixels wide in every SAM."""
        return 16 * tokens

    def stored(self, key: str, name: str) -> NDArray[np.float16]:
        """An embedding that `of` has put into the store; Damaged where it is not whole any more."""
        values = self.store.read(key, name)
        if values is None:
            msg = f"The embedding of {name} is gone from {self.store.path}; run the same command again."
            raise EdgescopeError(msg)
        return values

    def key(self, picture: NDArray[np.uint8]) -> str:
        """Under which the embedding of a picture is stored."""
        content = hashlib.sha256(picture.tobytes()).hexdigest()
        ingredients = ["embedding", self.checkpoint.sha256, list(picture.shape), content]
        return hashlib.sha256(json.dumps(ingredients).encode()).hexdigest()[:32]
