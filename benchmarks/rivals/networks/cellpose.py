"""Cellpose 3 (Stringer and Pachitariu, Nature Methods 2025): the residual U-Net of Cellpose before version 4."""

# Libraries are imported where they are installed: in an environment of its own.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals.network import NetworkJob, Run, in_stages

CHANNELS = [2, 32, 64, 128, 256]
OUTPUTS = 3  # two flows and the probability
FLOW = 5.0  # its loss trains flows that are so many times as long as the targets
SURE = 6.0  # the probability's logit, inside of objects; its negative outside


@dataclass(frozen=True)
class Cellpose:
    """PyTorch, in oneDNN's layout, as Cellpose itself runs on a CPU; converted once and not for each call.

    Around it, what `CellposeModel.eval` does at a rescaling of 1: percentiles 1 and 99, then 200 steps along the flows,
    masks where they end, a comparison of their flows with the network's, holes filled, small masks removed.
    """

    title: str = "Cellpose 3"
    description: str = (
        "CPnet of CellposeModel: 32 to 256 channels, 2 channels in, oneDNN layout; dynamics with the defaults of eval, "
        "maps by labels_to_flows"
    )
    requirements: tuple[str, ...] = ("cellpose>=3,<4", "scikit-image", "psutil")
    with_torch: bool = True
    packages: tuple[str, ...] = ("cellpose", "torch", "scikit-image")

    def open(self, frame: NDArray[Any], truth: NDArray[Any], job: NetworkJob) -> Run:
        """The network takes (1, 2, H, W): the channel, and an empty one."""
        import torch
        from cellpose import dynamics, transforms
        from cellpose.resnet_torch import CPnet
        from torch.utils import mkldnn

        torch.set_num_threads(job.threads)
        has_onednn = torch.backends.mkldnn.is_available()
        model: Any = CPnet(list(CHANNELS), OUTPUTS, sz=3, mkldnn=has_onednn).eval()
        if has_onednn:
            model = mkldnn.to_mkldnn(model)
        flow, logit = _maps(truth) if job.needs_maps else (None, None)

        def pre(frame: NDArray[Any]) -> Any:
            image = transforms.normalize99(frame.astype(np.float32))
            return torch.from_numpy(np.stack([image, np.zeros_like(image)])[None])

        def network(batch: Any) -> NDArray[Any]:
            with torch.no_grad():
                return model(batch)[0].numpy()

        def labels(_: Any) -> NDArray[Any]:
            return dynamics.resize_and_compute_masks(flow, logit, niter=200)

        return in_stages(frame, job.until, pre=pre, network=network, labels=labels)


def _maps(truth: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a perfect network would give: flows (2, H, W) and the logit of the probability (H, W)."""
    import torch
    from cellpose import dynamics

    _, inside, *flows = dynamics.labels_to_flows([truth.copy()], device=torch.device("cpu"))[0]
    return FLOW * np.stack(flows).astype(np.float32), np.where(inside > 0, SURE, -SURE).astype(np.float32)


NETWORK = Cellpose()
