from __future__ import annotations

import io

from rich.console import Console

from mesh.demo.figures import PodFigures
from mesh.demo.screen import PLAIN_EVERY, PlainScreen, cells, open_screen, render_table

BUSY = PodFigures("emoji", "emoji-1", 90, 9.0, 0.9, 0.889, 40.4, 59.0, 60.6)
IDLE = PodFigures("voting", "voting-1", 0, 0.0, 0.0, None, None, None, None)


def test_cells_show_a_dash_where_there_is_no_figure() -> None:
    assert cells(BUSY) == ("emoji-1", "9.0", "88.9%", "40 ms", "59 ms", "61 ms", "90%")
    assert cells(IDLE) == ("voting-1", "0.0", "-", "-", "-", "-", "0%")


def test_no_terminal_gets_plain_lines() -> None:
    stream = io.StringIO()
    screen = open_screen(stream)
    assert isinstance(screen, PlainScreen)
    screen.begin("Title")
    for _ in range(PLAIN_EVERY):
        screen.update([BUSY, IDLE])
    screen.end([BUSY, IDLE])
    screen.close()
    lines = stream.getvalue().splitlines()
    assert lines[:3] == ["", "Title", "  emoji-1 9/s  voting-1 0/s"]
    assert [line.split()[0] for line in lines[3:]] == ["pod", "emoji-1", "voting-1"]
    assert "\x1b" not in stream.getvalue()


def test_live_table_fits_a_terminal_of_80_columns() -> None:
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as capture:
        console.print(render_table("Title", [BUSY, IDLE]))
    shown = capture.get()
    assert "…" not in shown
    assert "emoji-1" in shown
    assert "90% █████████" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
