"""The small adapters. pycro-manager, acquire and EDA are run themselves where they are installed; of FARO, Squid
and ImSwitch, of which no package index has a current one, the published interface is written down here."""

from __future__ import annotations

import abc
import csv
import json
import pickle
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import pytest

from runtime import InputError, Segmenter
from runtime.hosts.eda import DecidesByObjects
from runtime.hosts.faro import FaroSegmentator
from runtime.hosts.imswitch import DetectorFeed
from runtime.hosts.squid import SegmentsCapture
from runtime.hosts.stage import StageView, affine_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(__file__).parents[3]


def spots() -> NDArray[np.uint16]:
    """Two bright squares."""
    frame = np.full((70, 90), 100, np.uint16)
    frame[10:30, 20:40] = frame[45:60, 50:80] = 4000
    return frame


@pytest.fixture
def expected(artifact_path: Path) -> NDArray[np.int32]:
    with Segmenter.open(artifact_path) as segment:
        return segment(spots()).labels()


def run(program: str, *arguments: object) -> Any:
    """What a program prints as its last line, JSON: the packages start threads of their own, and end with a process."""
    command = [sys.executable, "-c", program, str(ROOT), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# FARO: `class Segmentator: def segment(self, image: np.ndarray) -> np.ndarray` of labels, whose maximum is the count.


def test_faro_gets_labels_from_several_threads(artifact_path: Path, expected: NDArray[np.int32]):
    segmentator = FaroSegmentator(artifact_path)
    images = np.stack([np.zeros_like(spots()), spots()])
    results: list[NDArray[np.int32]] = []
    threads = [Thread(target=lambda: results.append(segmentator.segment(images[1, :, :]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for labels in results:
        np.testing.assert_array_equal(labels, expected)
        assert int(labels.max()) == 2
    segmentator.close()


def test_faro_is_told_at_once_that_there_is_no_artefact(tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        FaroSegmentator(tmp_path / "none")


PYCRO = """
import json, sys
root, artifact, adapters, config = sys.argv[1:]
sys.path.insert(0, root)
from pycromanager import Acquisition, multi_d_acquisition_events, start_headless
from runtime.hosts.pycromanager import PycroProcess

start_headless(adapters, config, python_backend=True)
shown, axes = [], []

def decide(segmentation, metadata):
    time = metadata["Axes"]["time"]
    axes.append(time)
    return [{"axes": {"time": 7}}] if time == 1 else [None] if time == 7 else None

def show(segmentation, metadata):
    shown.append([*segmentation.mask.shape, segmentation.pixel_size_um])

with PycroProcess(artifact, decide=decide, on_result=show) as process:
    acquisition = Acquisition(name="cells", image_process_fn=process, show_display=False)
    acquisition.acquire(multi_d_acquisition_events(num_time_points=2))
    acquisition.await_completion()
    saved = acquisition.get_dataset().read_image(time=7).shape
print(json.dumps({"axes": axes, "shown": shown, "saved": saved}))
"""
CONFIG = """
Property,Core,Initialize,0
Device,Camera,DemoCamera,DCam
Device,Z,DemoCamera,DStage
Device,Shutter,DemoCamera,DShutter
Property,Core,Initialize,1
Property,Core,Camera,Camera
Property,Core,Focus,Z
Property,Core,Shutter,Shutter
ConfigPixelSize,Res,Camera,Binning,1
PixelSize_um,Res,0.5
"""


@pytest.mark.slow
def test_pycro_manager_acquires_what_follows_from_an_image(artifact_path: Path, tmp_path: Path):
    pytest.importorskip("pycromanager")
    adapters = pytest.importorskip("mm_test_adapters").device_adapter_path()
    (tmp_path / "demo.cfg").write_text(CONFIG)
    result = run(PYCRO, artifact_path, adapters, tmp_path / "demo.cfg")
    assert result["axes"] == [0, 1, 7]
    assert result["shown"] == [[512, 512, 0.5]] * 3
    assert result["saved"] == [512, 512]


ACQUIRE = """
import json, sys
root, artifact = sys.argv[1:]
sys.path.insert(0, root)
import acquire
from runtime import LiveSegmenter
from runtime.hosts.acquire import follow

runtime = acquire.Runtime()
devices, settings = runtime.device_manager(), runtime.get_configuration()
video = settings.video[0]
video.camera.identifier = devices.select(acquire.DeviceKind.Camera, "simulated.*radial.*")
video.storage.identifier = devices.select(acquire.DeviceKind.Storage, "Trash")
video.camera.settings.shape, video.camera.settings.exposure_time_us, video.max_frame_count = (192, 108), 5000, 20
runtime.set_configuration(settings)
with LiveSegmenter(artifact, policy="block", spare=False) as live:
    runtime.start()
    count = follow(runtime, live, pixel_size_um=0.3)
    runtime.stop()
    live.drain()
    results = list(live.results())
print(json.dumps({"count": count, "ids": [r.metadata["frame_id"] for r in results],
                  "shape": results[0].segmentation.mask.shape, "um": results[0].segmentation.pixel_size_um}))
"""


@pytest.mark.slow
def test_acquire_s_frames_are_all_taken(artifact_path: Path):
    pytest.importorskip("acquire")
    result = run(ACQUIRE, artifact_path)
    assert result == {"count": 20, "ids": list(range(20)), "shape": [108, 192], "um": 0.3}


# Squid: control/core/job_processing.py.
T = TypeVar("T")


@dataclass
class Job(abc.ABC, Generic[T]):
    capture_info: Any
    capture_image: Any
    job_id: str = field(default="1")

    def image_array(self) -> Any:
        return self.capture_image.image_array

    @abc.abstractmethod
    def run(self) -> T: ...


class SegmentJob(SegmentsCapture, Job[Any]):
    affine = affine_of(0.5, rotation_deg=90, flip_y=True)
    channel = "Fluorescence 405 nm Ex"


def capture(folder: Path, channel: str = SegmentJob.channel) -> SegmentJob:
    info = SimpleNamespace(
        position=SimpleNamespace(x_mm=12.5, y_mm=-3.25, z_mm=0.1),
        z_index=2,
        configuration=SimpleNamespace(name=channel),
        save_directory=str(folder),
        file_id="B3_0007_2",
        region_id="B3",
        fov=7,
    )
    return SegmentJob(capture_info=info, capture_image=SimpleNamespace(image_array=spots()))


def test_squid_s_job_writes_objects_with_their_places(
    artifact_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(SegmentJob, "artifact", str(artifact_path), raising=False)
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__, SimpleNamespace(SegmentJob=SegmentJob)))
    job = pickle.loads(pickle.dumps(capture(tmp_path)))  # Squid's worker is another process
    assert job.run() == 2
    with (tmp_path / "B3_0007_2-Fluorescence_405_nm_Ex-objects.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    view = StageView.of(SegmentJob.affine, (12500, -3250), spots().shape)
    assert [(row["region_id"], row["fov"], row["z_index"]) for row in rows] == [("B3", "7", "2")] * 2
    for row in rows:
        place = view.to_stage((float(row["centroid_row_px"]), float(row["centroid_col_px"])))
        np.testing.assert_allclose((float(row["stage_x_um"]), float(row["stage_y_um"])), place)
    assert float(rows[0]["mean_intensity"]) > 3000


def test_squid_s_job_takes_options_of_the_segmenter(
    artifact_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(SegmentJob, "artifact", str(artifact_path), raising=False)
    assert capture(tmp_path).run() == 2
    monkeypatch.setattr(SegmentJob, "options", {"min_area": 10_000})
    assert capture(tmp_path).run() == 0


def test_eda_takes_options_of_the_segmenter(artifact_path: Path):
    class Worker(DecidesByObjects):
        artifact = str(artifact_path)

    class Strict(Worker):
        options = {"min_area": 10_000}  # noqa: RUF012

    stack = spots().astype(float)[:, :, None, None]
    assert [one().extract_decision_parameter(stack) for one in (Worker, Strict, Worker)] == [2, 0, 2]


def test_squid_s_job_leaves_out_other_channels(artifact_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(SegmentJob, "artifact", str(artifact_path), raising=False)
    assert capture(tmp_path, "BF LED matrix full").run() is None
    assert not [*tmp_path.glob("*.csv")]


# ImSwitch: detector.getLatestFrame(returnFrameNumber=True) -> frame, number; positioner.getPosition() -> {"X": um}.


class Detector:
    frame: Any = None
    number = -1

    def getLatestFrame(self, is_resize: bool = True, returnFrameNumber: bool = False) -> Any:
        return (self.frame, self.number) if returnFrameNumber else self.frame


def test_imswitch_s_detector_is_followed_and_its_objects_are_ready_for_json(artifact_path: Path, caplog: Any):
    detector, positions = Detector(), [{"X": 1000.0, "Y": -500.0, "Z": 3.0}]
    positioner = SimpleNamespace(getPosition=lambda: positions[-1])
    affine = affine_of(0.5, rotation_deg=180)
    feed = DetectorFeed(detector, artifact_path, positioner, affine, spare=False)
    assert feed.objects()["objects"] == []
    feed.start()
    detector.frame, detector.number = spots(), 1
    until(lambda: feed.objects()["frame"] == 1)
    answer = json.loads(json.dumps(feed.objects(), allow_nan=False))
    assert [one["label"] for one in answer["objects"]] == [1, 2]
    view = StageView.of(affine, (1000, -500), spots().shape)
    for one in answer["objects"]:
        place = view.to_stage((one["centroid_row_px"], one["centroid_col_px"]))
        np.testing.assert_allclose((one["stage_x_um"], one["stage_y_um"]), place)
        assert one["mean_intensity"] > 3000
    detector.frame, detector.number = np.zeros((70, 90, 3), np.uint8), 2  # colour
    until(lambda: "cannot be segmented" in caplog.text)
    positions.append({"X": 0.0, "Y": 0.0})
    detector.frame, detector.number = np.zeros((70, 90), np.uint16), 3
    until(lambda: feed.objects()["frame"] == 3)
    assert feed.objects()["objects"] == []
    feed.stop()
    detector.number = 4
    feed.close()
    assert feed.counters.done == 2


def until(holds: Any, seconds: float = 60) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


# EDA: the worker's `extract_decision_parameter(images) -> float`.


def test_eda_decides_by_the_number_of_objects(artifact_path: Path):
    class Worker(DecidesByObjects):
        artifact = str(artifact_path)
        channel = 1

    images = np.zeros((70, 90, 2, 1))
    images[:, :, 1, 0] = spots()
    assert Worker().extract_decision_parameter(images) == 2.0


EDA = """
import json, sys
root, artifact_path = sys.argv[1:]
sys.path.insert(0, root)
import numpy as np
from PyQt5.QtCore import QCoreApplication, QThreadPool
from eda_plugin.analysers.image import ImageAnalyserWorker
from runtime.hosts.eda import DecidesByObjects

class Worker(DecidesByObjects, ImageAnalyserWorker):
    artifact = artifact_path

app = QCoreApplication([])
images = np.full((70, 90, 1, 1), 100.0)
images[10:30, 20:40] = 4000
worker = Worker(images, 3, 0)
emitted = []
worker.signals.new_decision_parameter.connect(lambda *values: emitted.append(values))
assert QThreadPool.globalInstance().tryStart(worker)
QThreadPool.globalInstance().waitForDone()
app.processEvents()
print(json.dumps([emitted[0][0], emitted[0][2]]))
"""


@pytest.mark.slow
def test_eda_s_own_worker_emits_the_decision(artifact_path: Path):
    pytest.importorskip("eda_plugin")
    assert run(EDA, artifact_path) == [1.0, 3]
