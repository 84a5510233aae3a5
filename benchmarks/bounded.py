"""More events than anything holds while nobody takes them, and more directories than a library has.

Memory stays flat, no queue grows beyond its cap, and afterwards everything is in the catalog, once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from benchmarks.costs import cpu_of_command, cpu_of_family, forget_peak_memory, peak_memory, resident_memory
from benchmarks.daemon import Daemon, running
from benchmarks.renames import hashes, seq, told_since
from benchmarks.report import Line, at_most
from benchmarks.rescan import FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

WRITERS = 4
FOLDERS = 500
EVENTS_OF_A_FILE = 2
LIMIT_MB = 20.0
MESSAGE = 1_000
"""Facts in one message to the writer at most."""
WATCH_BYTES = 500.0
"""What a watched directory may take in the watcher child, which has an object for each."""
LIMIT_RATIO = 20.0
"""A new directory is found by its event, watched, listed and written; `find` lists it."""
MEGABYTE = 1e6


class _Memory(NamedTuple):
    """Resident memory in MB of the daemon and of the watcher child, since their peaks were forgotten."""

    before: float
    peak: float
    after: float

    @property
    def growth(self) -> float:
        return self.peak - self.before

    def __str__(self) -> str:
        return f"{self.before:.1f}, at the peak {self.peak:.1f}, after {self.after:.1f}"


class _Gauge:
    """Looks at both processes and at the queues, from when it is made."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._pids = (daemon.pid, daemon.watcher_pid)
        for pid in self._pids:
            forget_peak_memory(pid)
        self._before = [resident_memory(pid) / MEGABYTE for pid in self._pids]
        self._counted = daemon.metrics()
        self.lengths: dict[str, float] = {}

    def look(self) -> None:
        """Remember how long the queues are."""
        for name, length in self._daemon.metrics().items():
            if name.startswith("mediawatchd_queue_length"):
                queue = name.split('"')[1]
                self.lengths[queue] = max(length, self.lengths.get(queue, 0))

    def is_bounded(self) -> bool:
        """Whether no queue was longer than its capacity and the last message that it took."""
        metrics = self._daemon.metrics()
        return all(
            length <= metrics[f'mediawatchd_queue_capacity{{queue="{queue}"}}'] + MESSAGE
            for queue, length in self.lengths.items()
        )

    def counted(self, name: str) -> int:
        """By how much a counter, in all its labels, has grown."""
        return round(_sum(self._daemon.metrics(), name) - _sum(self._counted, name))

    def memory(self) -> tuple[_Memory, _Memory]:
        daemon, watcher = (
            _Memory(before, peak_memory(pid) / MEGABYTE, resident_memory(pid) / MEGABYTE)
            for before, pid in zip(self._before, self._pids, strict=True)
        )
        return daemon, watcher


def events(folder: Path, root: Path, *, files: int) -> Iterator[Line]:
    """Two events a file while the workers are stopped: by themselves, with the daemon, and with the watcher.

    The workers are stopped by a pause, as threads of a process cannot be stopped alone: nothing is hashed or probed
    then, and watching and recording go on. `root` is empty.
    """
    for number in range(FOLDERS):
        (root / f"{number:03}").mkdir()
    with running(folder / "events", root) as daemon:
        # Filled once, the caches are no part of what a flood takes; they are bounded too.
        _write_all(daemon, root, "first", files)
        made = files
        _hash_all(daemon, made)
        stopped: list[tuple[str, Callable[[], int] | None]] = [
            ("the workers", None),
            ("workers and daemon", lambda: daemon.pid),
            ("workers and watcher", lambda: daemon.watcher_pid),
        ]
        for what, pid in stopped:
            made += files
            yield from _flood(daemon, root, what, pid and pid(), files=files, made=made)


def _flood(daemon: Daemon, root: Path, what: str, pid: int | None, *, files: int, made: int) -> Iterator[Line]:
    gauge, hashed = _Gauge(daemon), hashes(daemon)
    if pid is not None:
        os.kill(pid, signal.SIGSTOP)
    try:
        _write_all(daemon, root, what, files, look=gauge.look if pid != daemon.pid else None)
    finally:
        if pid is not None:
            os.kill(pid, signal.SIGCONT)

    def is_taken() -> bool:
        # What was lost is found by a walk, and a walk waits for the end of the pause.
        gauge.look()
        return _files(daemon) == made or gauge.counted("mediawatchd_watch_lost_total") > 0

    daemon.wait(is_taken)
    _hash_all(daemon, made, gauge.look)
    told = gauge.counted("mediawatchd_watch_events_total")
    lost = gauge.counted("mediawatchd_watch_lost_total")
    hashed = hashes(daemon) - hashed
    ((rows, names),) = daemon.rows("SELECT count(*), count(DISTINCT file_path) FROM files")
    name = f"{EVENTS_OF_A_FILE * files:,} events, {what} stopped"
    yield Line(
        name,
        f"{names:,} paths",
        f"{made:,} paths",
        rows == names == made and hashed == files and gauge.is_bounded(),
        f"{rows:,} rows; {hashed:,} hashed; {told:,} events taken, lost {lost} times; "
        f"the longest that queues were: {', '.join(f'{each} {length:.0f}' for each, length in gauge.lengths.items())}",
    )
    for process, memory in zip(("daemon", "watcher"), gauge.memory(), strict=True):
        yield at_most(f"  memory that it takes, {process}", memory.growth, LIMIT_MB, "MB", f"RSS {memory}")


def tree(folder: Path, root: Path, *, directories: int) -> Iterator[Line]:
    """A tree with an empty file in each directory, which takes no time to probe: made, walked, renamed, and there when
    the daemon starts. `root` is empty."""
    with running(folder / "tree", root) as daemon:
        daemon.sync()
        before = _Gauge(daemon)
        half = directories // 2
        first, _ = _cpu_of(daemon, lambda: _grow(daemon, root / "tree", 0, half))
        # The first half fills the caches; what the second takes on top grows with the tree.
        gauge = _Gauge(daemon)
        second, known = _cpu_of(daemon, lambda: _grow(daemon, root / "tree", half, directories))
        yield Line(
            f"tree of {directories:,} directories",
            f"{known:,} files",
            f"{directories:,} files",
            known == directories and _are_all_there(daemon, directories),
            f"{_watches(daemon)}; {first:.1f} and {second:.1f} s of CPU for its halves, hashes and probes included",
        )
        ours, theirs = gauge.memory()
        told = f"RSS {ours}; with nothing {before.memory()[0].before:.1f}"
        yield at_most("  memory of its second half, daemon", ours.growth, LIMIT_MB, "MB", told)
        each = 1e6 * theirs.growth / (directories - half)
        yield at_most("  memory of its second half, watcher", each, WATCH_BYTES, "bytes a directory", f"RSS {theirs}")

        walk, _ = _cpu_of(daemon, lambda: daemon.sync(walk=True))
        find = cpu_of_command(["find", str(root), "-printf", FIELDS])
        yield at_most("  a walk of it", walk / find, LIMIT_RATIO, "x find -printf", f"{walk:.2f} s of CPU")

        gauge, hashed = _Gauge(daemon), hashes(daemon)
        rename, told = _cpu_of(daemon, lambda: _rename(daemon, root))
        find = cpu_of_command(["find", str(root), "-printf", FIELDS])
        hashed = hashes(daemon) - hashed
        yield Line(
            "  renamed",
            f"told as {told}, {hashed} hashed",
            "1 moved, 0 hashed",
            (told, hashed) == ("1 moved", 0) and _are_all_there(daemon, directories),
            f"{_watches(daemon)}; {rename:.1f} s of CPU, {rename / find:.1f} x find -printf",
        )
        for process, memory in zip(("daemon", "watcher"), gauge.memory(), strict=True):
            yield at_most(f"  memory that it takes, {process}", memory.growth, LIMIT_MB, "MB", f"RSS {memory}")
    with running(folder / "tree", root) as daemon:
        start, _ = _cpu_of(daemon, daemon.sync)
        ours, theirs = _Gauge(daemon).memory()
        yield at_most(
            "  a start with it", start / find, LIMIT_RATIO, "x find -printf", f"{start:.1f} s of CPU, watches and walk"
        )
        yield Line("  memory after it", f"{ours.after:.1f} and {theirs.after:.1f} MB", detail="daemon and watcher")


def _grow(daemon: Daemon, top: Path, first: int, end: int) -> int:
    """A hundred directories in each, with a file in every one; how many files are known then."""
    for number in range(first, end):
        path = top / f"{number // 10_000:03}" / f"{number // 100 % 100:02}" / f"{number % 100:02}"
        path.mkdir(parents=True)
        (path / "film.mkv").touch()
    daemon.sync()
    return _files(daemon)


def _rename(daemon: Daemon, root: Path) -> str:
    """What the history tells of it."""
    last = seq(daemon)
    (root / "tree").rename(root / "renamed")
    daemon.sync()
    return told_since(daemon, last)


def _write_all(daemon: Daemon, root: Path, burst: str, files: int, look: Callable[[], None] | None = None) -> None:
    """Returns when several processes have made the files, and closed each."""
    writers = [multiprocessing.Process(target=_write, args=(root, burst, files, each)) for each in range(WRITERS)]
    for writer in writers:
        writer.start()
    if look is not None:
        daemon.wait(lambda: look() or not any(writer.is_alive() for writer in writers))
    for writer in writers:
        writer.join()


def _write(root: Path, burst: str, files: int, writer: int) -> None:
    for number in range(writer, files, WRITERS):
        (root / f"{number % FOLDERS:03}" / f"{burst} {number:06}.mkv").write_bytes(b"%s %d" % (burst.encode(), number))


def _hash_all(daemon: Daemon, files: int, look: Callable[[], None] = lambda: None) -> None:
    """Let the workers go on until so many files are known and hashed; probes would take much longer, and are left."""

    def is_done() -> bool:
        look()
        catalog = daemon.status()["catalog"]
        return bool(catalog["files"] >= files and catalog["pending_quick_hash"] == 0)

    daemon.post("/api/resume")
    daemon.wait(is_done)
    daemon.post("/api/pause")


def _cpu_of(daemon: Daemon, act: Callable[[], T]) -> tuple[float, T]:
    before = cpu_of_family(daemon.pid)
    result = act()
    return cpu_of_family(daemon.pid) - before, result


def _files(daemon: Daemon) -> int:
    return int(daemon.status()["catalog"]["files"])


def _watches(daemon: Daemon) -> str:
    return f"{daemon.metrics()['mediawatchd_watches']:,.0f} watches"


def _are_all_there(daemon: Daemon, files: int) -> bool:
    (counts,) = daemon.rows(
        "SELECT count(*), count(DISTINCT file_path), count(quick_hash), count(missing_since) FROM files"
    )
    return tuple(counts) == (files, files, files, 0)


def _sum(metrics: dict[str, float], name: str) -> float:
    return sum(value for each, value in metrics.items() if each == name or each.startswith(f"{name}{{"))
