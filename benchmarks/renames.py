"""A directory of many files that is renamed: no file is hashed again, and what is written is counted in directories.

Twice: while the daemon watches, and while it is down, when its first walk finds it. Once with all files in one
directory, and once with them in a thousand directories below the one that is renamed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.costs import cpu_of_command, cpu_of_family, written_bytes
from benchmarks.daemon import Daemon, running
from benchmarks.report import Line, at_most
from benchmarks.rescan import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT_RATIO = 5.0
LIMIT_START = 1.5
LIMIT_BYTES = 5_000.0
"""Written for each directory: some pages of 4 kB that the indexes of its path share."""
FIXED_BYTES = 1_000_000
"""Written besides: what a start, a walk and a few minutes of running write with nothing changed."""


class _Catalog(NamedTuple):
    """All rows of files and directories, by id, and how far the history is."""

    files: dict[int, Any]
    directories: dict[int, Any]
    seq: int


def run(folder: Path, root: Path, *, files: int) -> Iterator[Line]:
    """`root` is empty."""
    for directories in (1, 1_000):
        for number in range(directories):
            path = root / "new" / f"{number:04}"
            path.mkdir(parents=True)
            for each in range(number, files, directories):
                (path / f"{each:06}.mkv").touch()
        what = f"{files:,} files, {'1 directory' if directories == 1 else f'{directories:,} directories'}"
        yield from _renamed(folder / f"of-{directories}", root, what, directories)
        # The next is measured by itself.
        (root / "down").rename(folder / f"done-{directories}")


def _renamed(folder: Path, root: Path, what: str, directories: int) -> Iterator[Line]:
    with running(folder, root) as daemon:
        daemon.sync()
        # What was written before is in the database file, so what is written next belongs to the renaming.
        daemon.wait(lambda: daemon.metrics()['mediawatchd_db_size_bytes{file="wal"}'] == 0)
        before, hashed = _catalog(daemon), hashes(daemon)
        written, cpu = written_bytes(daemon.pid), cpu_of_family(daemon.pid)
        (root / "new").rename(root / "live")
        daemon.sync()
        written, cpu = written_bytes(daemon.pid) - written, cpu_of_family(daemon.pid) - cpu
        yield _line(f"renamed: {what}", daemon, before, written, directories, hashes(daemon) - hashed)
        find = cpu_of_command(["find", str(root), "-printf", FIELDS])
        yield at_most("  what it takes", cpu / find, LIMIT_RATIO, "x find -printf", f"{cpu:.2f} s of CPU")
    with running(folder, root) as daemon:
        daemon.sync()
        unchanged = cpu_of_family(daemon.pid)
        before = _catalog(daemon)
    (root / "live").rename(root / "down")
    with running(folder, root) as daemon:
        daemon.sync()
        cpu, written = cpu_of_family(daemon.pid), written_bytes(daemon.pid)
        yield _line(f"renamed while down: {what}", daemon, before, written, directories, hashes(daemon))
        detail = f"{cpu:.2f} s of CPU"
        yield at_most("  what the start takes", cpu / unchanged, LIMIT_START, "x a start with nothing renamed", detail)


def hashes(daemon: Daemon) -> int:
    """Quick hashes taken since the daemon started."""
    return int(daemon.metrics()['mediawatchd_files_processed_total{result="hashed"}'])


def seq(daemon: Daemon) -> int:
    """How far the history is."""
    ((last,),) = daemon.rows("SELECT max(seq) FROM history")
    return int(last)


def told_since(daemon: Daemon, last: int) -> str:
    """What the history tells of files and directories since then."""
    told = daemon.rows(f"SELECT count(*), event FROM history WHERE seq > {last} AND event <> 'root' GROUP BY event")
    return ", ".join(f"{count} {event}" for count, event in told)


def _line(name: str, daemon: Daemon, before: _Catalog, written: int, directories: int, hashed: int) -> Line:
    after = _catalog(daemon)
    files = _changed(before.files, after.files)
    rows = _changed(before.directories, after.directories)
    told = told_since(daemon, before.seq)
    allowed = LIMIT_BYTES * directories + FIXED_BYTES
    return Line(
        name,
        f"{files:,} files and {rows:,} directories written, {hashed:,} hashed, {told}",
        "0 files written, 0 hashed, 1 moved",
        (files, hashed, told) == (0, 0, "1 moved") and written <= allowed,
        f"{written:,} bytes written",
    )


def _catalog(daemon: Daemon) -> _Catalog:
    return _Catalog(_by_id(daemon, "media_files"), _by_id(daemon, "directories"), seq(daemon))


def _by_id(daemon: Daemon, table: str) -> dict[int, Any]:
    return {row[0]: row for row in daemon.rows(f"SELECT * FROM {table}")}


def _changed(before: dict[int, Any], after: dict[int, Any]) -> int:
    return sum(before.get(key) != after.get(key) for key in before.keys() | after.keys())
