"""StarDist 2D (Schmidt et al., MICCAI 2018; Weigert et al., WACV 2020)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rivals.network import NetworkJob, Run

X86 = "platform_machine == 'x86_64' or platform_machine == 'AMD64'"


@dataclass(frozen=True)
class StarDist:
    """Keras on TensorFlow, called by `predict_on_batch`: the quickest of the ways it offers."""

    title: str = "StarDist 2D"
    description: str = "U-Net of Config2D(n_rays=32, grid=(2, 2)), as 2D_versatile_fluo"
    requirements: tuple[str, ...] = (
        "stardist>=0.9",
        f"tensorflow-cpu>=2.16 ; {X86}",
        "tensorflow>=2.16 ; platform_machine == 'arm64' or platform_machine == 'aarch64'",
        "psutil",
    )
    with_torch: bool = False
    packages: tuple[str, ...] = ("stardist", "tensorflow-cpu", "tensorflow", "keras")

    def open(self, frame: NDArray[Any], job: NetworkJob) -> Run:
        """(1, H, W, 1)."""
        import tensorflow as tf  # pyright: ignore[reportMissingImports, reportMissingModuleSource] - in an environment of its own
        from stardist.models import Config2D, StarDist2D  # pyright: ignore[reportMissingImports]

        tf.config.threading.set_intra_op_parallelism_threads(job.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        model = StarDist2D(Config2D(n_rays=32, grid=(2, 2), n_channel_in=1), name=None, basedir=None).keras_model
        batch = np.ascontiguousarray(frame[None, :, :, None])
        return lambda: model.predict_on_batch(batch)


NETWORK = StarDist()
