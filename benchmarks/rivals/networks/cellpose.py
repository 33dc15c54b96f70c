"""Cellpose 3 (Stringer and Pachitariu, Nature Methods 2025): the residual U-Net of Cellpose before version 4."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals.network import NetworkJob, Run

CHANNELS = [2, 32, 64, 128, 256]
OUTPUTS = 3  # two flows and the probability


@dataclass(frozen=True)
class Cellpose:
    """PyTorch, in oneDNN's layout, as Cellpose itself runs on a CPU; converted once and not for each call."""

    title: str = "Cellpose 3"
    description: str = "CPnet of CellposeModel: 32 to 256 channels, 2 channels in, oneDNN layout"
    requirements: tuple[str, ...] = ("cellpose>=3,<4", "psutil")
    with_torch: bool = True
    packages: tuple[str, ...] = ("cellpose", "torch")

    def open(self, frame: NDArray[Any], job: NetworkJob) -> Run:
        """(1, 2, H, W): the channel, and an empty one."""
        import torch
        from cellpose.resnet_torch import CPnet  # pyright: ignore[reportMissingImports]
        from torch.utils import mkldnn

        torch.set_num_threads(job.threads)
        has_onednn = torch.backends.mkldnn.is_available()
        network: Any = CPnet(list(CHANNELS), OUTPUTS, sz=3, mkldnn=has_onednn).eval()
        if has_onednn:
            network = mkldnn.to_mkldnn(network)
        batch = torch.from_numpy(np.stack([frame, np.zeros_like(frame)])[None])

        def run() -> NDArray[Any]:
            with torch.no_grad():
                return network(batch)[0].numpy()

        return run


NETWORK = Cellpose()
