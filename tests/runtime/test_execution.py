"""How an artefact is executed: what is refused at the edge, and that it survives a file."""

import pytest

from runtime.errors import InputError
from runtime.execution import Execution


@pytest.mark.parametrize("threads", [0, -1])
def test_fewer_than_one_thread_is_refused(threads: int):
    with pytest.raises(InputError, match=f"Threads is {threads}; it must be at least 1"):
        Execution(threads=threads)


def test_an_unknown_performance_is_refused():
    with pytest.raises(InputError, match="Performance is 'fast'; it must be one of latency, throughput"):
        Execution(performance="fast")


def test_it_is_read_back_as_it_was_written():
    execution = Execution("openvino", "GPU.1", 3, "bf16", "throughput")
    assert Execution.from_json(execution.to_json()) == execution
