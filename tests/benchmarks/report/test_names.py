"""What machines are called: two never by one name, and one by no more words than are needed."""

from dataclasses import replace

from benchmarks.report.names import machine_name, name_machines, short_name


def test_a_board_is_called_by_its_name_and_cores(make_report):
    report = make_report()
    board = replace(report, device=replace(report.device, board="Raspberry Pi 5"))
    assert (machine_name(report), machine_name(board)) == ("Some CPU, 2 cores", "Raspberry Pi 5, 2 cores")


def test_trade_marks_are_left_out():
    assert short_name("Intel(R) Core(TM) i7") == "Intel Core i7"


def test_two_machines_of_one_kind_are_told_apart_by_what_differs(make_report):
    report = make_report()
    larger = replace(report, device=replace(report.device, memory_mb=16000))
    assert name_machines([report, larger]) == ["Some CPU, 2 cores, 8 GB", "Some CPU, 2 cores, 16 GB"]


def test_the_same_machine_has_one_name(make_report):
    assert name_machines([make_report(), make_report(seed=1)]) == ["Some CPU, 2 cores"] * 2


def test_a_label_is_the_name(make_report):
    assert machine_name(replace(make_report(), label="microscope 2")) == "microscope 2, 2 cores"
