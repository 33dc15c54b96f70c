"""What the examples share so that they run as they are: an artefact, a camera without hardware, and a sample."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from runtime import EdgescopeError

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / "demo" / "artifacts" / "nuclei-fast-intel-int8"  # where `make demo` puts it too
FIELD_UM, NUCLEI, RADIUS_UM = 1000.0, 120, 6.0
PIXEL_UM, ROTATION_DEG = 0.5, 30.0  # of the demo camera, which is mirrored, too, as seen from the stage


def artifact(given: Path | None) -> Path:
    """The artefact that was given, or the bundled student's, compiled once for this machine."""
    if given is not None:
        return given
    if not BUILT.is_dir():
        print("compiling the bundled student once", file=sys.stderr)
        compiled = [sys.executable, "-m", "compile", "--target", "intel", "--out", str(BUILT.parent)]
        if subprocess.run(compiled, cwd=ROOT, stdout=sys.stderr, check=False).returncode:
            msg = "The bundled student could not be compiled here; give an artefact as the first argument."
            raise EdgescopeError(msg)
    return BUILT


def camera(config: Path | None = None, side: int = 512) -> Any:
    """A CMMCorePlus with a microscope's own configuration, or with a demo camera of `side` pixels, 0.5 um wide.

    The demo camera is rotated and mirrored against the stage, and its pixel-size affine says so.
    """
    from pymmcore_plus import CMMCorePlus

    if config is not None:
        core = CMMCorePlus()
        core.loadSystemConfiguration(str(config))
        return core
    import mm_test_adapters

    adapters = str(mm_test_adapters.device_adapter_path())
    core = CMMCorePlus(mm_path=adapters)
    core.setDeviceAdapterSearchPaths([adapters])
    for label, device in (("Camera", "DCam"), ("XY", "DXYStage"), ("Shutter", "DShutter")):
        core.loadDevice(label, "DemoCamera", device)
        core.initializeDevice(label)
    core.setCameraDevice("Camera")
    core.setXYStageDevice("XY")
    core.setShutterDevice("Shutter")
    for name, value in (("PixelType", "16bit"), ("OnCameraCCDXSize", side), ("OnCameraCCDYSize", side)):
        core.setProperty("Camera", name, value)
    core.definePixelSizeConfig("demo", "Camera", "Binning", "1")
    core.setPixelSizeUm("demo", PIXEL_UM)
    cos, sin = PIXEL_UM * np.cos(np.radians(ROTATION_DEG)), PIXEL_UM * np.sin(np.radians(ROTATION_DEG))
    core.setPixelSizeAffine("demo", [-cos, -sin, 0.0, -sin, cos, 0.0])
    core.setPixelSizeConfig("demo")
    core.setExposure(20)
    return core


def put_away(core: Any) -> None:
    """Let go of a core before the program ends: a thread of it that calls back into a Python that is no more aborts."""
    from pymmcore import CMMCore

    CMMCore.registerCallback(core, None)
    core.unloadAllDevices()


class Sample:
    """Nuclei scattered over a millimetre; what a camera sees of it depends on where the stage stands."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.centres = self.random.uniform(-FIELD_UM / 2, FIELD_UM / 2, (NUCLEI, 2))  # x, y in um

    def view(self, x: float, y: float, shape: tuple[int, int], affine: Sequence[float]) -> np.ndarray:
        """A camera's frame, uint16 (H, W), with the stage at (x, y) um; affine : as core.getPixelSizeAffine()."""
        rows, cols = np.indices(shape)
        right, down = np.array([affine[0], affine[3]]), np.array([affine[1], affine[4]])  # um that a pixel goes
        pixel = right[0] * down[1] - right[1] * down[0]
        frame = self.random.normal(300, 20, shape)
        for nucleus_x, nucleus_y in self.centres - (x, y):
            col = (nucleus_x * down[1] - nucleus_y * down[0]) / pixel + (shape[1] - 1) / 2
            row = (nucleus_y * right[0] - nucleus_x * right[1]) / pixel + (shape[0] - 1) / 2
            if -50 < row < shape[0] + 50 and -50 < col < shape[1] + 50:
                distance = np.hypot(rows - row, cols - col) * np.sqrt(abs(pixel))
                frame += 3000 / (1 + np.exp(np.minimum((distance - RADIUS_UM) * 2, 60)))
        return frame.clip(0, 65535).astype(np.uint16)


def put_under_the_camera(core: Any, sample: Sample) -> None:
    """Let MDAs on this core see the sample, in place of the demo camera's stripes."""
    from pymmcore_plus.mda import MDAEngine

    class SampleEngine(MDAEngine):
        def exec_event(self, event: Any) -> Any:
            for frame, acquired, meta in super().exec_event(event):
                x, y = self.mmcore.getXYPosition()
                yield sample.view(x, y, frame.shape, self.mmcore.getPixelSizeAffine()), acquired, meta

    core.mda.set_engine(SampleEngine(core))
