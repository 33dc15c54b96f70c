"""docs/devices.md is what the reports in benchmarks/history say, and hostile names stay text in it."""

from dataclasses import replace

from tools import device_table


def test_the_page_is_up_to_date():
    page = device_table.PAGE.read_text(encoding="utf-8")
    assert page == device_table.text(page, device_table.newest()), "run: python -m tools.device_table"


def test_a_row_for_each_timed_artefact_and_a_doubt_for_each_warning():
    report = device_table.newest()[0]
    timed = [row.name for row in report.rows if row.timing]
    noisy = replace(report, device=replace(report.device, warnings=("it is throttled",)))
    written = device_table.text(f"# T\n\n{device_table.BEGIN}\nold", [noisy])
    assert all(f"| {name} |" in written for name in timed)
    assert "- Warning: it is throttled." in written
    assert "old" not in written


def test_names_are_no_markup():
    hostile = replace(device_table.newest()[0], label="<script>|x`")
    written = "\n".join(device_table.lines([hostile]))
    assert "<script>" not in written
    assert "&lt;script>\\|x'" in written
