"""The progress bar of a job, on a terminal. The only module of mediawatchctl that imports rich."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Column
from rich.text import Text

from mediawatchd.cli import joblines
from mediawatchd.control.client import raw_path

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from mediawatchd.cli.screen import Screen

    Json = dict[str, Any]


class _WithFile(RichProgress):
    """A bar, and below it the file that is being worked on."""

    current = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if self.current:
            yield Text(f"  {self.current}", style="dim", no_wrap=True, overflow="crop")


class Bar:
    """Shows one job; owned by the thread that follows it. Leaves nothing behind when closed."""

    def __init__(self, *, screen: Screen) -> None:
        self._screen = screen
        self._rate = joblines.Rate()
        self._bar = _WithFile(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
            TextColumn("{task.fields[numbers]}", markup=False, table_column=Column(no_wrap=True)),
            console=Console(file=sys.stderr),
            transient=True,
            expand=True,
        )
        self._task = self._bar.add_task("", total=None, numbers="")
        self._bar.start()

    def update(self, job: Json) -> None:
        processed = job.get("processed") or 0
        rate = self._rate.after(time.monotonic(), processed)
        current = raw_path(job, "current_file")
        width = (self._screen.width or 80) - 3
        self._bar.current = self._screen.end_of(self._screen.shown(current), width) if current else ""
        self._bar.update(
            self._task,
            description=joblines.name(job),
            completed=processed,
            total=job.get("total"),
            numbers=joblines.numbers(job, rate=rate),
            refresh=True,
        )

    def note(self, message: str) -> None:
        self._bar.console.print(message, markup=False, highlight=False)

    def close(self) -> None:
        self._bar.stop()
