"""What a measuring process tells its caller."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.inputs.source import ImageSource
from benchmarks.measures.figures import Round
from benchmarks.measures.job import MeasureJob
from benchmarks.measures.process import in_fresh_process
from runtime.errors import EdgescopeError
from runtime.execution import Execution

JOB = MeasureJob("nothing", "/no/such/artefact", Execution(), 2, "/no/such/frame.npy", ImageSource(), None)


def test_the_error_of_the_process_is_the_error_of_the_measurement():
    with pytest.raises(EdgescopeError, match=r"/no/such/artefact"):
        in_fresh_process("score", JOB, Round)


def test_a_job_survives_the_way_to_its_process():
    job = MeasureJob(
        "a",
        "b",
        Execution(threads=2, precision_hint="bf16"),
        5,
        "c",
        ImageSource(data="synthetic:1", names=("x",), labels="nuclei"),
        "d",
    )
    assert MeasureJob.from_json(job.to_json()) == job


@pytest.mark.skipif(sys.platform != "linux", reason="a limit can be set on Linux alone")
def test_a_process_that_outgrows_its_limit_is_the_error_of_its_row(write_tiny, tmp_path: Path):
    # A frame that alone is too much: OpenVINO's threads can wait for each other for ever where it is they that fail.
    with (tmp_path / "frame.npy").open("wb") as file:  # with a hole for its pixels, so that nothing waits for the disk
        header = {"descr": "<u2", "fortran_order": False, "shape": (24000, 24000)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 2 * 24000**2)
    job = replace(JOB, artifact=str(write_tiny()), frame=str(tmp_path / "frame.npy"), memory_limit_mb=600)
    with pytest.raises(EdgescopeError, match=r"memory|allocate"):
        in_fresh_process("time", job, Round)
