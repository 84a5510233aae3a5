"""A real catalog with its writer and nothing around them: the test says what is on disk and what the workers found.

`with catalog(tmp_path) as parts:` opens it; `parts.found(...)` and `parts.hashed(...)` are what keepers and workers
would hand over, and return when it is committed.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mediawatchd.catalog import roots
from mediawatchd.catalog.database import Database
from mediawatchd.catalog.missing import make_missing
from mediawatchd.catalog.rows import file_by_id
from mediawatchd.catalog.transaction import Policy
from mediawatchd.catalog.writer import Committed, Writer
from mediawatchd.model import QUICK_HASH, SECOND, WALKED, Failed, Found, Hashed, Place, Problem, Report, Stamp
from mediawatchd.telemetry.heartbeat import Heartbeats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WITHIN = 30.0
MEDIA = b"/media/"
FILESYSTEM = "uuid:test"


class Parts:
    """`online` is what the writer and others are told of the roots; `listeners` hear each commit on its thread."""

    def __init__(self, folder: Path, *, settle_seconds: float, hold_share: float | None) -> None:
        self.online: frozenset[int] = frozenset()
        self.listeners: list[Callable[[Committed], None]] = []
        self.heartbeats = Heartbeats()
        self.database = Database(bytes(folder / "catalog.db"))
        self.database.open()
        self.writer = Writer(
            database=self.database,
            clock=self.database.clock,
            policy=Policy(round(settle_seconds * SECOND), hold_share, 50, 7 * 86_400 * SECOND),
            heart=self.heartbeats.register("writer"),
            mounts_unchanged=lambda _generation, _path: True,
            online=lambda: self.online,
            away=frozenset,
            listened=lambda: True,
            committed=self._committed,
        )
        self.writer.start()
        self.root_ids: dict[bytes, int] = {}

    def close(self) -> None:
        assert self.writer.stop(WITHIN)
        self.database.close()

    def configure(self, *paths: bytes) -> None:
        """Make these the roots, all of them online."""
        self.root_ids = self.call(lambda tx: roots.configure(tx, paths))
        self.online = frozenset(self.root_ids.values())

    def call(self, function: Callable[[Any], Any]) -> Any:
        return self.writer.call(function).result(WITHIN)

    def found(
        self,
        directory: bytes,
        *names: bytes,
        root: bytes = MEDIA,
        stamp: Stamp | None = None,
        settle_ns: int = 0,
        priority: int = WALKED,
        filesystem: str = FILESYSTEM,
    ) -> list[int]:
        """Report these names, each a video; returns their ids."""
        place = Place(self.call(lambda tx: roots.filesystem_id(tx, filesystem, "ext4")), None)
        media = tuple(Found(name, "video", stamp or a_stamp(), settle_ns) for name in names)
        at_ns = self.database.clock.now_ns()
        self.writer.reports([Report(self.root_ids[root], directory, place, at_ns, priority, media)])
        self.flush()
        return [self.row(directory + name)["id"] for name in names]

    def hashed(self, *ids: int) -> None:
        """Hand over a quick hash for each of these."""
        stamps = {row["id"]: row["stamp"] for row in self.rows()}
        self.writer.outcomes([Hashed(each, stamps[each], bytes(32), 10) for each in ids])
        self.flush()

    def failed(self, *ids: int, reason: Any = "io", lacks: int = QUICK_HASH, final: bool = False) -> None:
        """Hand over a failed attempt for each of these."""
        stamps = {row["id"]: row["stamp"] for row in self.rows()}
        problem = Problem(reason, "It cannot be read.")
        self.writer.outcomes([Failed(each, stamps[each], lacks, problem, final) for each in ids])
        self.flush()

    def gone(self, *ids: int) -> None:
        """Make these missing."""
        wanted = set(ids)
        self.call(lambda tx: make_missing(tx, [file_by_id(tx.connection, each) for each in wanted]))

    def flush(self) -> int:
        """Wait until what was handed over is committed; returns the catalog time of that."""
        now_ns: int = self.call(lambda tx: tx.now_ns)
        return now_ns

    def rows(self) -> list[dict[str, Any]]:
        with self.database.reader() as connection:
            found = connection.execute(
                "SELECT f.id, CAST(d.path || f.name AS BLOB) AS path, f.size, f.mtime_ns, f.ctime_ns, f.inode, "
                "f.links, f.lacks, f.due_ns, f.priority, f.missing_since FROM media_files AS f "
                "JOIN directories AS d ON d.id = f.directory_id ORDER BY f.id"
            )
            names = [column[0] for column in found.description]
            rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        return [row | {"stamp": Stamp(*(row[field] for field in Stamp._fields))} for row in rows]

    def row(self, path: bytes) -> dict[str, Any]:
        return next(row for row in self.rows() if row["path"] == path)

    def _committed(self, committed: Committed) -> None:
        for listener in list(self.listeners):
            listener(committed)


def a_stamp(size: int = 1000, mtime_ns: int = 10**18) -> Stamp:
    return Stamp(size, mtime_ns, mtime_ns, 1, 1)


@contextmanager
def catalog(folder: Path, *, settle_seconds: float = 0.0, hold_share: float | None = None) -> Iterator[Parts]:
    """An open catalog with the root `MEDIA`; closed with the block."""
    parts = Parts(folder, settle_seconds=settle_seconds, hold_share=hold_share)
    try:
        parts.configure(MEDIA)
        yield parts
    finally:
        parts.close()
