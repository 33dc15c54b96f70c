"""A Micro-Manager core with its demo camera, and napari without a screen: the real things but for the hardware."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

START_QT = "from qtpy.QtWidgets import QApplication; QApplication([])"


@pytest.fixture
def core() -> Iterator[Any]:
    """A CMMCorePlus with a 16-bit camera of 96x80 pixels, 0.5 um wide, and a stage."""
    adapters = str(pytest.importorskip("mm_test_adapters").device_adapter_path())
    plus = pytest.importorskip("pymmcore_plus").CMMCorePlus(mm_path=adapters)
    plus.setDeviceAdapterSearchPaths([adapters])
    for label, device in (("Camera", "DCam"), ("XY", "DXYStage"), ("Z", "DStage"), ("Shutter", "DShutter")):
        plus.loadDevice(label, "DemoCamera", device)
        plus.initializeDevice(label)
    plus.setCameraDevice("Camera")
    plus.setXYStageDevice("XY")
    plus.setFocusDevice("Z")
    plus.setShutterDevice("Shutter")
    for name, value in (("PixelType", "16bit"), ("OnCameraCCDXSize", 80), ("OnCameraCCDYSize", 96)):
        plus.setProperty("Camera", name, value)
    plus.definePixelSizeConfig("Res", "Camera", "Binning", "1")
    plus.setPixelSizeUm("Res", 0.5)
    plus.setPixelSizeConfig("Res")
    plus.setExposure(5)
    yield plus
    if plus.isSequenceRunning():
        plus.stopSequenceAcquisition()
    pytest.importorskip("pymmcore").CMMCore.registerCallback(plus, None)  # its thread must not outlive Python
    plus.unloadAllDevices()


@pytest.fixture(scope="module")
def app() -> Any:
    """Qt without a screen. Where a system library is missing Qt ends the process, so another one tries first."""
    if not all(importlib.util.find_spec(name) for name in ("napari", "qtpy")):
        pytest.skip("napari is not installed")
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    tried = subprocess.run([sys.executable, "-c", START_QT], capture_output=True, text=True, check=False)
    if tried.returncode:
        said = (tried.stderr.strip().splitlines() or ["no word why"])[-1]
        pytest.skip(f"Qt cannot start here ({said}); on Debian it needs libegl1, libgl1, libxkbcommon0, libdbus-1-3")
    widgets = pytest.importorskip("qtpy.QtWidgets")
    return widgets.QApplication.instance() or widgets.QApplication([])


@pytest.fixture
def viewer(app: Any) -> Any:
    """What a viewer knows, without its window."""
    return pytest.importorskip("napari.components").ViewerModel()
