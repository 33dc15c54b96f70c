"""InstanSeg (Goldsborough et al., arXiv 2408.15954 and 2409.03080)."""

# Libraries are imported where they are installed: in an environment of its own.
# pyright: reportMissingImports=false

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals.network import NetworkJob, Run, in_stages

LAYERS = [256, 128, 64, 32]
COORDINATES, SIGMAS, SEEDS = OUTPUTS = (2, 2, 1)
REACH = 3.99  # of a coordinate: the network's sigmoid gives less than 4, which is 16 pixels
PER_PIXEL = 64 / 256  # of its coordinates
NEAR = 1.0  # pixels whose coordinates are so near to the seed's belong to its object


@dataclass(frozen=True)
class InstanSeg:
    """PyTorch, in inference mode. Its trainer's defaults: three channels in, batch normalisation.

    Around it, percentiles 0.1 and 99.9, and its `postprocessing`: peaks of the seed map, a window of 128 pixels around
    each, its pixel classifier in all windows, and windows merged that overlap by half.
    """

    title: str = "InstanSeg"
    description: str = (
        "InstanSeg_UNet with its trainer's defaults: layers 32 to 256, 3 channels in, nuclei only; postprocessing with "
        "its defaults, seeds by instance_wise_edt, coordinates that point at the object's centre, and a pixel "
        "classifier with weights that accept what points near the seed"
    )
    # the others are imported by its post-processing, and by no requirement of its own
    requirements: tuple[str, ...] = ("instanseg-torch>=0.1", "edt", "pandas", "seaborn", "scikit-image", "psutil")
    with_torch: bool = True
    packages: tuple[str, ...] = ("instanseg-torch", "torch", "scikit-image")

    def open(self, frame: NDArray[Any], truth: NDArray[Any], job: NetworkJob) -> Run:
        """The network takes (1, 3, H, W): the one channel thrice."""
        import torch
        from instanseg.utils.loss.instanseg_loss import InstanSeg as Method
        from instanseg.utils.models.InstanSeg_UNet import InstanSeg_UNet
        from instanseg.utils.utils import percentile_normalize

        torch.set_num_threads(job.threads)
        model = InstanSeg_UNet(in_channels=3, out_channels=[list(OUTPUTS)], layers=LAYERS, norm="BATCH").eval()
        method = Method(n_sigma=SIGMAS, device="cpu", seed_loss_fn="l1_distance", window_size=128)
        model = method.initialize_pixel_classifier(model)
        _accept_what_is_near(method.pixel_classifier)
        maps = torch.from_numpy(_maps(truth)) if job.needs_maps else None

        def pre(frame: NDArray[Any]) -> Any:
            image = percentile_normalize(frame.astype(np.float32))
            return torch.from_numpy(np.repeat(image.reshape(1, 1, *frame.shape), 3, axis=1))

        def network(batch: Any) -> NDArray[Any]:
            with torch.inference_mode():
                return model(batch).numpy()

        def labels(_: Any) -> NDArray[Any]:
            with torch.inference_mode():
                return method.postprocessing(maps, window_size=128)[0].numpy()

        return in_stages(frame, job.until, pre=pre, network=network, labels=labels)


def _maps(truth: NDArray[Any]) -> NDArray[np.float32]:
    """What a perfect network would give: float32 (5, H, W), coordinates, sigmas and seeds."""
    import torch
    from instanseg.utils.pytorch_utils import instance_wise_edt
    from skimage.measure import regionprops

    result = np.zeros((sum(OUTPUTS), *truth.shape), np.float32)
    seeds = np.zeros(truth.shape, np.float32)
    for region in regionprops(truth):
        mask = region.image
        alone = torch.from_numpy(np.pad(mask, 1).astype(np.float32))[
            None
        ]  # its window alone, as memory is objects x area
        seeds[region.slice][mask] = instance_wise_edt(alone, edt_type="edt").numpy()[1:-1, 1:-1][mask]
        for axis, (centre, places) in enumerate(zip(region.centroid[::-1], region.coords.T[::-1], strict=True)):
            towards = np.clip((centre - places) * PER_PIXEL, -REACH, REACH) / 8 + 0.5
            result[axis][tuple(region.coords.T)] = np.log(towards / (1 - towards))
    result[-1] = (seeds - 0.5) * 15
    return result


def _accept_what_is_near(classifier: Any) -> None:
    """Set its three layers to 10 * (NEAR - |dx| - |dy|)."""
    import torch

    with torch.no_grad():
        for layer in (classifier.fc1, classifier.fc2, classifier.fc3):
            layer.weight.zero_()
            layer.bias.zero_()
        for unit, (axis, sign) in enumerate(((0, 1), (0, -1), (1, 1), (1, -1))):
            classifier.fc1.weight[unit, axis] = sign
            classifier.fc2.weight[0, unit] = 1
        classifier.fc3.weight[0, 0], classifier.fc3.bias[0] = -10, 10 * NEAR


NETWORK = InstanSeg()
