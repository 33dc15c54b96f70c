"""A Micro-Manager core with its demo camera: no hardware, but the real thing otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


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
