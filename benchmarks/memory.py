"""What a daemon holds in memory after a full scan that it made itself, and how that grows with the library.

The decode processes are left out: they end when they are idle. To be done in minutes, decoding is paused when all
files are hashed, which leaves the daemon with everything that it keeps.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.costs import family, memory_of_family
from benchmarks.daemon import Daemon, running
from benchmarks.libraries import make_files
from benchmarks.report import Line, at_most

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT_MB = 120.0
LIMIT_GROWTH_MB = 10.0
"""Half of it for what is allowed to grow: the kernel's watches have a Python object each in the watcher child."""
MEGABYTE = 1e6
_OWN_PROCESSES = 3
"""The daemon, its watcher child, and the tracker that multiprocessing starts with the first decode process."""


def run(folder: Path, root: Path, *, files: int) -> Iterator[Line]:
    """`root` is empty, and has `files` files at the end."""
    with running(folder / "memory", root) as daemon:
        sizes = []
        for first, end in ((0, files // 2), (files // 2, files)):
            make_files(root, first, end)
            sizes.append(_after_scan(daemon, end))
    half, whole = sizes
    yield at_most("memory of daemon and watcher child", whole, LIMIT_MB, "MB", f"PSS, idle after {files:,} files")
    yield at_most(
        "its growth while the library doubled", whole - half, LIMIT_GROWTH_MB, "MB", f"from {files // 2:,} files"
    )


def _after_scan(daemon: Daemon, files: int) -> float:
    def is_hashed() -> bool:
        catalog = daemon.status()["catalog"]
        return bool(catalog["files"] == files and catalog["pending_quick_hash"] == 0)

    daemon.wait(is_hashed)
    daemon.post("/api/pause")
    daemon.wait(lambda: len(family(daemon.pid)) <= _OWN_PROCESSES)
    time.sleep(2)
    memory = memory_of_family(daemon.pid) / MEGABYTE
    daemon.post("/api/resume")
    return memory
