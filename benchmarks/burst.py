"""Many files made at once by several writers: all in the catalog, none twice, and no memory kept for it."""

from __future__ import annotations

import multiprocessing
import time
from typing import TYPE_CHECKING

from benchmarks.costs import cpu_of_family, family, forget_peak_memory, peak_memory
from benchmarks.daemon import Daemon, running
from benchmarks.report import Line, at_most

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITERS = 4
FILES = 40_000
FOLDERS = 100
LIMIT_MB = 20.0


def run(folder: Path, root: Path) -> Iterator[Line]:
    """`root` is empty."""
    for number in range(FOLDERS):
        (root / f"{number:03}").mkdir()
    with running(folder / "burst", root) as daemon:
        daemon.sync()
        # The first fills the caches, which are bounded; what the second one takes on top would be kept for bursts.
        detail = _burst(daemon, root, 1)
        ((rows, names),) = daemon.rows("SELECT count(*), count(DISTINCT file_path) FROM files")
        before = _peaks(daemon)
        _burst(daemon, root, 2)
        growth = max(now - then for now, then in zip(_peaks(daemon), before, strict=True)) / 1e6
        daemon.post("/api/pause")
    complete = rows == names == FILES
    yield Line(
        f"burst of {FILES:,} files", f"{names:,} paths", f"{FILES:,} paths", complete, f"{rows:,} rows; {detail}"
    )
    yield at_most("memory that a second one takes", growth, LIMIT_MB, "MB", "RSS of the process that grew most")


def _burst(daemon: Daemon, root: Path, burst: int) -> str:
    """Returns when the catalog has as many files as were made; says what that took."""
    cpu = cpu_of_family(daemon.pid)
    began = time.monotonic()
    writers = [multiprocessing.Process(target=_write, args=(root, burst, number)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    written = time.monotonic() - began
    daemon.wait(lambda: daemon.status()["catalog"]["files"] >= burst * FILES, every_seconds=0.1)
    known = time.monotonic() - began
    cpu = cpu_of_family(daemon.pid) - cpu
    return f"written in {written:.1f} s, all known after {known:.1f} s, {1e6 * cpu / FILES:.0f} us of CPU a file"


def _peaks(daemon: Daemon) -> list[int]:
    """Of the daemon and its watcher child; they count anew from here on."""
    members = family(daemon.pid)[:2]
    peaks = [peak_memory(pid) for pid in members]
    for pid in members:
        forget_peak_memory(pid)
    return peaks


def _write(root: Path, burst: int, writer: int) -> None:
    for number in range(FILES // WRITERS):
        (root / f"{number % FOLDERS:03}" / f"{burst}-{writer}-{number:05}.mkv").write_bytes(b"film")
