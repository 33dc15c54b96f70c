"""Tables on standard output."""

from distill.commands.tables import show, table_of


def test_no_figure_is_cut_where_the_terminal_is_narrow(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    table = table_of("artefact", "Dice", "drop")
    table.add_row("nuclei-fast-intel-int8 [bold]", "0.9157", "0.02")
    show(table, "A note that is longer than the terminal is wide.")
    _, row, note = capsys.readouterr().out.splitlines()
    assert row.split() == ["nuclei-fast-intel-int8", "[bold]", "0.9157", "0.02"]
    assert note == "A note that is longer than the terminal is wide."
