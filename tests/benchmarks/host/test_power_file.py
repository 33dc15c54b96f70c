"""A meter's file of time and watts, joined to a run by the clock."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.campaign.campaign import RunPlan
from benchmarks.host import power_file
from benchmarks.host.power_file import PowerFile
from benchmarks.measures import energy
from runtime.errors import InputError


def written(path: Path, text: str) -> PowerFile:
    path.write_text(text, encoding="utf-8")
    return PowerFile(path)


@pytest.mark.parametrize(
    "text",
    [
        "time,watts\n100,4.0\n101,5.0\n102,6.0\n",
        "\ufeffTime;Power (W);Note\n1970-01-01T00:01:40Z;4.0;x\n1970-01-01T00:01:41+00:00;5.0;\n102;6.0;\n",
        "102,6\n100,4\nnonsense,9\n101,5\n103,nan\n104,-1\n104\n",
    ],
    ids=["plain", "semicolons and ISO", "out of order, with lines of no use"],
)
def test_readings_are_taken_as_meters_write_them(tmp_path: Path, text: str):
    times, watts = written(tmp_path / "power.csv", text).readings()
    assert times.tolist() == [100, 101, 102]
    assert watts.tolist() == [4, 5, 6]


def test_the_mean_power_of_a_stretch_is_by_trapezoids(tmp_path: Path):
    lines = [f"{t},{10 if t < 105 else 20}" for t in range(100, 111)]
    file = written(tmp_path / "power.csv", "\n".join(lines))
    assert file.watts(100.5, 103.5) == pytest.approx(10)
    assert file.watts(106, 109.9) == pytest.approx(20)
    assert file.watts(103, 107) == pytest.approx((1 * 10 + 15 + 2 * 20) / 4)


@pytest.mark.parametrize(("start", "end"), [(99, 105), (105, 112), (100.1, 101.9)])
def test_readings_that_do_not_cover_the_time_are_refused(tmp_path: Path, monkeypatch, start: float, end: float):
    monkeypatch.setattr(power_file, "WAIT_S", 0.0)
    file = written(tmp_path / "power.csv", "\n".join(f"{t},10" for t in range(100, 111)))
    with pytest.raises(InputError, match=r"has \d+ readings of the \d+ s until .*let the meter write while"):
        file.watts(start, end)


def test_what_is_late_is_waited_for(tmp_path: Path, monkeypatch):
    file = written(tmp_path / "power.csv", "\n".join(f"{t},10" for t in range(100, 105)))
    rest = "\n" + "\n".join(f"{t},10" for t in range(105, 111))
    monkeypatch.setattr(power_file, "sleep", lambda _: file.path.write_text(file.path.read_text() + rest))
    assert file.watts(101, 109) == pytest.approx(10)


@pytest.mark.parametrize(("text", "words"), [("time,watts\n", "holds no line with a time"), (None, "cannot be read")])
def test_what_is_no_meters_file_is_refused_before_anything_is_measured(tmp_path: Path, text: str | None, words: str):
    if text is not None:
        (tmp_path / "power.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        RunPlan(power_csv=tmp_path / "power.csv")


def test_the_energy_of_a_frame_is_what_the_meter_saw_beyond_idling(tmp_path: Path, monkeypatch):
    clock = iter([100.0, 115.0, 120.0, 135.0])  # of the meter: idle from 100 to 115, busy from 120 to 135
    ours = iter([0.0, 1.0, 6.0, 11.0, 15.0])  # three frames in 15 s
    monkeypatch.setattr(energy, "time", lambda: next(clock))
    monkeypatch.setattr(energy, "monotonic", lambda: next(ours))
    monkeypatch.setattr(energy, "sleep", lambda _: None)
    monkeypatch.setattr(energy, "warm_up", lambda _: None)
    monkeypatch.setattr(energy, "run_until", lambda *_: None)
    np.save(tmp_path / "frame.npy", np.zeros((4, 5), np.uint16))
    written(tmp_path / "power.csv", "\n".join(f"{t},{3 if t <= 117 else 9}" for t in range(99, 140)))

    class Segment:
        def __enter__(self) -> "Segment":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    job = SimpleNamespace(
        power_csv=str(tmp_path / "power.csv"), frame=str(tmp_path / "frame.npy"), until="objects", open=Segment
    )
    found = energy.measure_energy(job)
    assert (found.idle_w, found.busy_w, found.frames, found.seconds) == (3, 9, 3, 15)
    assert found.joules_per_frame == pytest.approx(30)
    assert found.sensor == "meter, power.csv"
