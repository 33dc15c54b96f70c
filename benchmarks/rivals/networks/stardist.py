"""StarDist 2D (Schmidt et al., MICCAI 2018; Weigert et al., WACV 2020)."""

# Libraries are imported where they are installed: in an environment of its own.
# pyright: reportMissingImports=false, reportMissingModuleSource=false

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals.network import NetworkJob, Run, in_stages

X86 = "platform_machine == 'x86_64' or platform_machine == 'AMD64'"
RAYS, GRID = 32, (2, 2)
PROB_THRESHOLD, NMS_THRESHOLD = 0.479071, 0.3  # of 2D_versatile_fluo


@dataclass(frozen=True)
class StarDist:
    """Keras on TensorFlow, called by `predict_on_batch`: the quickest of the ways it offers.

    Around it, what `predict_instances` does: percentiles 1 and 99.8, candidates over a threshold, non-maximum
    suppression of polygons, and their rendering.
    """

    title: str = "StarDist 2D"
    description: str = (
        "U-Net of Config2D(n_rays=32, grid=(2, 2)), as 2D_versatile_fluo; non-maximum suppression at 0.3 of candidates "
        "over 0.479, maps by edt_prob and star_dist"
    )
    requirements: tuple[str, ...] = (
        "stardist>=0.9",
        f"tensorflow-cpu>=2.16 ; {X86}",
        "tensorflow>=2.16 ; platform_machine == 'arm64' or platform_machine == 'aarch64'",
        "psutil",
    )
    with_torch: bool = False
    packages: tuple[str, ...] = ("stardist", "tensorflow-cpu", "tensorflow", "keras", "scikit-image")

    def open(self, frame: NDArray[Any], truth: NDArray[Any], job: NetworkJob) -> Run:
        """The network takes (1, H, W, 1)."""
        import tensorflow as tf
        from csbdeep.utils import normalize
        from stardist.models import Config2D, StarDist2D
        from stardist.nms import _ind_prob_thresh

        tf.config.threading.set_intra_op_parallelism_threads(job.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        model = StarDist2D(Config2D(n_rays=RAYS, grid=GRID, n_channel_in=1), name=None, basedir=None)
        prob, dist = _maps(truth) if job.needs_maps else (None, None)

        def labels(_: Any) -> NDArray[Any]:
            assert prob is not None and dist is not None
            inside = _ind_prob_thresh(prob, PROB_THRESHOLD, b=2)
            points = np.stack(np.where(inside), axis=1) * np.array(GRID)
            return model._instances_from_prediction(
                frame.shape, prob[inside], np.maximum(1e-3, dist[inside]), points=points, nms_thresh=NMS_THRESHOLD
            )[0]

        def pre(frame: NDArray[Any]) -> NDArray[Any]:
            return np.ascontiguousarray(normalize(frame, 1, 99.8)[None, :, :, None])

        return in_stages(frame, job.until, pre=pre, network=model.keras_model.predict_on_batch, labels=labels)


def _maps(truth: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """What a perfect network would give: probabilities (h, w) and distances (h, w, rays), on the grid."""
    from stardist.geometry import star_dist
    from stardist.utils import edt_prob

    return edt_prob(truth)[:: GRID[0], :: GRID[1]], star_dist(truth, RAYS, grid=GRID)


NETWORK = StarDist()
