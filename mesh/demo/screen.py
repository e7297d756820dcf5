"""What the user watches: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TextIO

from mesh.demo.figures import PodFigures

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("pod", "requests/s", "success", "p50", "p95", "p99", "share")
PLAIN_EVERY = 4  # reports, of half a second each
BAR_CELLS = 10
MIN_COLUMNS = 76  # a narrower terminal would cut the figures


class Screen(Protocol):
    """Where the story is shown: notes, and one table at a time."""

    def note(self, text: str) -> None: ...

    def begin(self, title: str) -> None: ...

    def update(self, rows: Sequence[PodFigures]) -> None:
        """Show the figures of the last few seconds."""

    def end(self, rows: Sequence[PodFigures]) -> None:
        """Leave the figures of the whole mode on the screen."""

    def close(self) -> None:
        """Give the terminal back, also in the middle of a table."""


def open_screen(stream: TextIO) -> Screen:
    is_wide = shutil.get_terminal_size().columns >= MIN_COLUMNS
    return LiveScreen() if stream.isatty() and is_wide else PlainScreen(stream)


def cells(row: PodFigures) -> tuple[str, ...]:
    success = "-" if row.success_rate is None else f"{row.success_rate:.1%}"
    times = ["-" if value is None else f"{value:.0f} ms" for value in (row.p50_ms, row.p95_ms, row.p99_ms)]
    return (row.pod, f"{row.rate:.1f}", success, *times, f"{row.share:.0%}")


class PlainScreen:
    """Lines of text, for a pipe or a file: requests/s every two seconds, and the table at the end of a mode."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._updates = 0

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def begin(self, title: str) -> None:
        self._updates = 0
        self.note(f"\n{title}")

    def update(self, rows: Sequence[PodFigures]) -> None:
        self._updates += 1
        if self._updates % PLAIN_EVERY == 0:
            self.note("  " + "  ".join(f"{row.pod} {row.rate:.0f}/s" for row in rows))

    def end(self, rows: Sequence[PodFigures]) -> None:
        width = max(10, *(len(row.pod) + 1 for row in rows))
        for line in (COLUMNS, *map(cells, rows)):
            self.note(f"  {line[0]:<{width}}" + "".join(f"{cell:>11}" for cell in line[1:]))

    def close(self) -> None:
        self._stream.flush()


class LiveScreen:
    """A table that is redrawn in place, by whoever reports: no thread of its own."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=sys.stdout, highlight=False)
        self._live: Live | None = None
        self._title = ""

    def note(self, text: str) -> None:
        self._console.print(text, markup=False)

    def begin(self, title: str) -> None:
        from rich.live import Live
        from rich.text import Text

        self._title = title
        self._console.print()
        self._live = Live(console=self._console, auto_refresh=False)
        self._live.start()
        self._live.update(Text(f"{title} (warming up)", style="bold"), refresh=True)

    def update(self, rows: Sequence[PodFigures]) -> None:
        if self._live is not None:
            self._live.update(render_table(self._title, rows), refresh=True)

    def end(self, rows: Sequence[PodFigures]) -> None:
        self.update(rows)
        self.close()

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def render_table(title: str, rows: Sequence[PodFigures]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in {"pod", "share"} else "right", no_wrap=True)
    for above, row in zip([None, *rows], rows, strict=False):
        if above is not None and above.service != row.service:
            table.add_section()
        *figures, share = cells(row)
        bar = "█" * round(row.share * BAR_CELLS)
        table.add_row(*figures, f"{share:>4} [cyan]{bar:<{BAR_CELLS}}[/cyan]", style=_style(row))
    return table


def _style(row: PodFigures) -> str:
    if row.success_rate is None:
        return "dim"
    return "red" if row.success_rate < 0.5 else ""
