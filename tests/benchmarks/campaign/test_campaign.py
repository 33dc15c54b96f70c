"""The order of measuring, and how rounds become figures."""

from dataclasses import replace

import pytest

from benchmarks.campaign import campaign
from benchmarks.host.fingerprint import fingerprint
from benchmarks.measures.figures import Memory, Round
from benchmarks.measures.timing import combine, typical_memory
from benchmarks.report.report import Report
from runtime import open_artifact
from runtime.execution import DEFAULT

FAST = Round(1, 1, (1.0, 1.0, 1.0), (2.0,), None, Memory(50, 55, 60, None, None))
SLOW = Round(1, 1, (4.0, 4.0, 4.0), (8.0,), None, Memory(50, 70, 80, None, None))


def test_ratios_are_paired_by_round():
    disturbed = replace(SLOW, frame_ms=(80.0,))  # the second round of a busy machine
    timing = combine([FAST, replace(FAST, frame_ms=(20.0,))], [SLOW, disturbed], (64, 64))
    assert timing.speedup == 4.0


def test_memory_and_load_are_medians_and_latencies_are_pooled():
    timing = combine([FAST, SLOW, SLOW], [FAST, FAST, FAST], (64, 64))
    assert typical_memory([FAST, SLOW, SLOW]) == SLOW.memory
    assert timing.tile_ms.count == 9
    assert timing.frame_ms.max == 8.0


def test_bf16_is_a_row_of_its_own_where_the_processor_has_it(write_tiny):
    artifact, plan = open_artifact(write_tiny()), campaign.RunPlan(also_bf16=True)
    with_bf16 = replace(fingerprint(), isa=("avx512_bf16",))
    names = [(v.name, v.precision_hint) for v in campaign.list_variants([artifact], plan, with_bf16)]
    assert names == [("tiny-intel-fp32", None), ("tiny-intel-fp32-as-bf16", "bf16")]
    without = replace(with_bf16, isa=())
    assert len(campaign.list_variants([artifact], plan, without)) == 1


def test_equal_names_are_told_apart(write_tiny):
    artifact = open_artifact(write_tiny())
    names = [v.name for v in campaign.list_variants([artifact, artifact], campaign.RunPlan(), fingerprint())]
    assert names == ["tiny-intel-fp32", "tiny-intel-fp32-2"]


def test_rounds_go_over_all_rows_before_they_start_again(report: Report, monkeypatch: pytest.MonkeyPatch):
    told: list[str] = []
    monkeypatch.setattr(campaign, "in_fresh_process", lambda task, job, result: told.append(job.name) or FAST)
    (row,) = report.rows
    rows = [replace(row, name=name, timing=None) for name in "ab"]
    jobs = [campaign.MeasureJob(name, "", DEFAULT, 2, "", campaign.ImageSource(), None) for name in "ab"]
    timed, reference = campaign.time_rows(rows, jobs, campaign.RunPlan(rounds=2), (64, 64), lambda what: None)
    assert told == ["a", "b", "b", "a"]
    assert reference == "a"
    assert all(row.timing for row in timed)
