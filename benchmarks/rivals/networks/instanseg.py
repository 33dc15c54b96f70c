"""InstanSeg (Goldsborough et al., arXiv 2408.15954 and 2409.03080)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals.network import NetworkJob, Run

LAYERS = [256, 128, 64, 32]
OUTPUTS = [[2, 2, 1]]  # coordinates, sigma, seeds


@dataclass(frozen=True)
class InstanSeg:
    """PyTorch, in inference mode. Its trainer's defaults: three channels in, batch normalisation."""

    title: str = "InstanSeg"
    description: str = "InstanSeg_UNet with its trainer's defaults: layers 32 to 256, 3 channels in, nuclei only"
    requirements: tuple[str, ...] = ("instanseg-torch>=0.1", "psutil")
    with_torch: bool = True
    packages: tuple[str, ...] = ("instanseg-torch", "torch")

    def open(self, frame: NDArray[Any], job: NetworkJob) -> Run:
        """(1, 3, H, W): the one channel thrice."""
        import torch
        from instanseg.utils.models.InstanSeg_UNet import (  # pyright: ignore[reportMissingImports]
            InstanSeg_UNet,
        )

        torch.set_num_threads(job.threads)
        network = InstanSeg_UNet(in_channels=3, out_channels=OUTPUTS, layers=LAYERS, norm="BATCH").eval()
        batch = torch.from_numpy(np.repeat(frame[None, None], 3, axis=1))

        def run() -> NDArray[Any]:
            with torch.inference_mode():
                return network(batch).numpy()

        return run


NETWORK = InstanSeg()
