"""A daemon over a few roots for the tests of what happens to files: each test in folders of its own.

Starting a daemon costs a second or two, so a module's tests share one. The settle time is 0.2 s instead of 5 s, and
all that follows from it is shorter by the same factor of 25.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.oracle import differences
from tests.running import Running, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

SETTLE_SECONDS = 0.2
TRUSTING: Mapping[str, Any] = {"missing": {"hold_share": None}}
"""Without the breaker, so that tests may delete whole roots."""

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_libc: Any = ctypes.CDLL(None, use_errno=True)


class Library:
    """`roots` are two folders on one file system; what is beside them is watched by nobody."""

    def __init__(self, base: Path, daemon: Running, roots: tuple[Path, ...]) -> None:
        self.base = base
        self.daemon = daemon
        self.roots = roots

    def folder(self, name: str, *, root: int = 0) -> Path:
        """A new folder in a root, known to the daemon before anything happens in it."""
        path = self.roots[root] / name
        path.mkdir()
        return path

    def outside(self, name: str) -> Path:
        """A new folder beside the roots, on the same file system."""
        path = self.base / "outside" / name
        path.mkdir(parents=True)
        return path

    def sync(self, *, walk: bool = False) -> Any:
        """Sync, and hold the catalog against the disk."""
        answer = self.daemon.sync(walk=walk)
        assert answer["unsettled"] == []
        self.check()
        return answer

    def check(self) -> None:
        wrong = differences(self.daemon, [os.fsencode(root) for root in self.roots])
        if wrong:
            pytest.fail("\n".join(wrong))

    def give_phashes(self) -> None:
        """Let every video have a perceptual hash, as a phash job would; restarts the daemon."""
        self.daemon.stop()
        with closing(sqlite3.connect(self.daemon.database)) as connection, connection:
            connection.execute("UPDATE media_files SET video_phash = 'phash of ' || id WHERE media_type = 'video'")
            connection.execute(
                "UPDATE totals SET phashed = "
                "(SELECT coalesce(sum(phashed), 0) FROM contributions AS c WHERE c.root_id = totals.root_id)"
            )
        self.daemon.start()
        self.daemon.sync()

    def row(self, path: Path) -> dict[str, Any]:
        """The present row of a path."""
        return self.daemon.present()[os.fsencode(path)]

    def ids(self, folder: Path) -> dict[str, int]:
        """The ids of the present rows below a folder, by the path below it."""
        prefix = os.fsencode(folder) + b"/"
        return {
            os.fsdecode(path[len(prefix) :]): row["id"]
            for path, row in self.daemon.present().items()
            if path.startswith(prefix)
        }

    def hashed(self) -> int:
        """How many quick hashes were taken since the daemon started."""
        return hashed(self.daemon)

    def events(self, folder: Path, *kinds: str) -> list[tuple[str, str]]:
        """What the history tells of a folder: events of these kinds and their paths below it, oldest first."""
        items = self.daemon.get("/api/history", {"path": os.fsdecode(folder), "limit": 1000})["items"]
        prefix = os.fsdecode(folder) + "/"
        return [
            (item["event"], item["path"].removeprefix(prefix))
            for item in items
            if item["path"] and item["path"].startswith(prefix) and item["event"] in kinds
        ]


def metric(daemon: Running, name: str) -> float:
    """The value of a metric with its labels, as Prometheus would read it; 0 where there is none."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.fspath(daemon.socket))
        connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        text = b"".join(iter(lambda: connection.recv(65_536), b"")).decode()
    values = re.findall(f"^{re.escape(name)} (\\S+)$", text, re.MULTILINE)
    return float(values[0]) if values else 0.0


def hashed(daemon: Running) -> int:
    """How many quick hashes were taken since the daemon started."""
    return int(metric(daemon, 'mediawatchd_files_processed_total{result="hashed"}'))


@contextmanager
def library(base: Path, *, settings: Mapping[str, Any] | None = None) -> Iterator[Library]:
    roots = (base / "media", base / "media2")
    for root in roots:
        root.mkdir(parents=True)
    with running(base / "daemon", *roots, settings=settings or {}) as daemon:
        daemon.sync()
        yield Library(base, daemon, roots)


def exchange(one: bytes | os.PathLike[str], other: bytes | os.PathLike[str]) -> None:
    """Two paths swap what they name, at once."""
    if _libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def overwrite_secretly(path: Path, content: bytes) -> None:
    """Write over a file's bytes and put its times back, so that only the ctime tells."""
    status = path.stat()
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
