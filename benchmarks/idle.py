"""What a daemon costs that has nothing to do, with both listeners open."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.costs import cpu_of_family
from benchmarks.report import Line, at_most

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.daemon import Daemon

LIMIT = 5.0
SECONDS = 60.0
"""One round of the canary, the slowest of what a daemon does by the clock."""


def run(daemon: Daemon) -> Iterator[Line]:
    before = cpu_of_family(daemon.pid)
    time.sleep(SECONDS)
    spent = cpu_of_family(daemon.pid) - before
    yield at_most("idle, all processes", spent * 3600 / SECONDS, LIMIT, "CPU s an hour", f"{spent:.2f} s in a minute")
