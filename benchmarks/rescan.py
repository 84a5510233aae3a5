"""A walk over a library in which nothing has changed, by the whole daemon, against `find` printing the same fields."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.costs import cpu_of_command, cpu_of_family, in_turns
from benchmarks.daemon import Daemon, running
from benchmarks.report import Line, at_most

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT = 2.0
FIELDS = r"%p\0%y %s %T@ %C@ %i %n\n"


def prepare(folder: Path, root: Path) -> Path:
    """A catalog that knows all files of `root`; returns the folder of a daemon that has it."""
    state = folder / "state"
    state.mkdir(exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "benchmarks.scan", root, state / "catalog.db"], check=True, stdout=subprocess.DEVNULL
    )
    return state


def run(state: Path, root: Path, *, files: int, turns: int) -> Iterator[Line]:
    with running(state, root) as daemon:
        daemon.sync()
        pair = in_turns(lambda: _walk(daemon), lambda: cpu_of_command(["find", str(root), "-printf", FIELDS]), turns)
    each = f"{1e6 * pair.ours / files:.2f} against {1e6 * pair.theirs / files:.2f} us of CPU a file, {files:,} files"
    yield at_most("unchanged rescan, whole daemon", pair.ratio, LIMIT, "x find -printf", each)


def _walk(daemon: Daemon) -> float:
    before = cpu_of_family(daemon.pid)
    daemon.sync(walk=True)
    return cpu_of_family(daemon.pid) - before
