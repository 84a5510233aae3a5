"""A real catalog in memory, with a clock that the test sets, and words for what an observer would report.

`catalog.look(b"films/", file(b"a.mkv"))` writes what that report means; `catalog.row(b"films/a.mkv")` is what the
catalog then holds. Paths are relative to the first root, or absolute; times are seconds of catalog time.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mediawatchd.catalog import outcomes, roots, schema
from mediawatchd.catalog.directories import Directories, parent_path
from mediawatchd.catalog.moving import apply_moves
from mediawatchd.catalog.observing import Observing
from mediawatchd.catalog.rows import COLUMNS, FileRow
from mediawatchd.catalog.totals import FIELDS, Totals
from mediawatchd.catalog.transaction import Policy, Transaction
from mediawatchd.model import (
    FINGERPRINT,
    LIVE,
    PERCEPTUAL_HASH,
    PHASH,
    SECOND,
    Away,
    DirectoryMove,
    Former,
    Found,
    Hashed,
    MediaType,
    Outcome,
    PerceptuallyHashed,
    Place,
    Probe,
    Probed,
    Report,
    Stamp,
    VideoStream,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MEDIA = b"/media/"
SETTLE = 5
"""Seconds."""
WALL = 1_700_000_000
"""Unix time at catalog time 0."""
POLICY = Policy(settle_ns=SETTLE * SECOND, hold_share=0.5, hold_files=50, keep_ns=7 * 86_400 * SECOND)


def inode_of(path: bytes) -> int:
    """The inode that a file or directory has in these tests unless they say another."""
    return zlib.crc32(path)


def stamp(size: int = 1_000, mtime: int = 1_000, ctime: int | None = 1_000, inode: int | None = 1) -> Stamp:
    """Times in nanoseconds: one more is another time."""
    return Stamp(size, mtime, ctime, inode, 1)


def file(
    name: bytes,
    size: int = 1_000,
    *,
    mtime: int = 1_000,
    ctime: int = 1_000,
    inode: int | None = -1,
    links: int = 1,
    settle: float = 0,
    former: Former | None = None,
    media_type: MediaType = "video",
) -> Found:
    """A media file as a look has found it; `settle` in seconds, `mtime` and `ctime` in nanoseconds."""
    inode = inode_of(name) if inode == -1 else inode
    return Found(name, media_type, Stamp(size, mtime, ctime, inode, links), round(settle * SECOND), former)


def digest(content: object) -> bytes:
    """The quick hash of some content."""
    return hashlib.sha256(repr(content).encode()).digest()


PROBE = Probe("matroska", 60.0, 8_000_000, VideoStream("h264", 1920, 1080, 24.0, 0, 8, None), None, None)


class _DiskFull(Exception):
    pass


class Catalog:
    """What the writer thread owns, without the thread. `now` is catalog time in seconds; the test sets it."""

    def __init__(self, path: str = ":memory:", *, policy: Policy = POLICY) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA foreign_keys = ON")
        schema.upgrade(self.connection)
        self.policy = policy
        self.now: float = 100
        self.online: frozenset[int] | None = None
        self.away: frozenset[Away] = frozenset()
        self.listened = True
        self.mounts_unchanged = True
        self.directories = Directories(self.connection)
        self.totals = Totals()
        self.observing = Observing(mounts_unchanged=lambda generation, path: self.mounts_unchanged)
        self._roots: dict[int, roots.RootRow] = {}
        self._seq = 0
        self.disk = 0
        self.configure(MEDIA)
        self.disk = self.filesystem("disk")
        self.run(lambda tx: roots.accept(tx, 1, self.disk))

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One batch of the writer: committed at the end, or rolled back as the writer does it."""
        tx = Transaction(
            connection=self.connection,
            totals=self.totals,
            directories=self.directories,
            roots=self._roots,
            policy=self.policy,
            now_ns=round(self.now * SECOND),
            time=WALL + self.now,
            seq=self._seq,
            listened=self.listened,
            online=frozenset(self._roots) if self.online is None else self.online,
            away=self.away,
        )
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield tx
            tx.finish()
            self.connection.execute("COMMIT")
        except BaseException:
            self.connection.execute("ROLLBACK")
            self.directories.clear()
            self.totals.load(self.connection)
            self._roots = roots.load_roots(self.connection)
            raise
        self._seq = tx.seq
        self.observing.committed(tx)
        self.check()

    @contextmanager
    def rolled_back(self) -> Iterator[Transaction]:
        """One batch of the writer that cannot be committed."""
        with suppress(_DiskFull), self.transaction() as tx:
            yield tx
            raise _DiskFull
        self.check()

    def run(self, function: object) -> object:
        """A function of a transaction, in one of its own."""
        assert callable(function)
        with self.transaction() as tx:
            return function(tx)

    # What is reported

    def absolute(self, path: bytes) -> bytes:
        return path if path.startswith(b"/") else MEDIA + path

    def place(self, path: bytes) -> Place:
        """Where a directory is seen unless the test says otherwise."""
        return Place(self.disk, inode_of(self.absolute(path)))

    def report(
        self,
        directory: bytes,
        *found: Found,
        absent: Sequence[bytes] = (),
        gone: Sequence[bytes] = (),
        at: float | None = None,
        place: Place | None = None,
        priority: int = LIVE,
        root: int | None = None,
    ) -> Report:
        """One look at one directory, at the present time unless `at` says another; `gone` are directories below it."""
        path = self.absolute(directory)
        return Report(
            self.root_id(path) if root is None else root,
            path,
            place or self.place(path),
            round((self.now if at is None else at) * SECOND),
            priority,
            found,
            tuple(absent),
            tuple(self.absolute(each) for each in gone),
        )

    def observe(self, *reports: Report) -> Transaction:
        """Apply reports that came together; returns the committed transaction, for its events and looks."""
        with self.transaction() as tx:
            self.observing.apply(tx, reports)
        return tx

    def look(self, directory: bytes, *found: Found, **more: object) -> Transaction:
        """Report one directory and apply that."""
        return self.observe(self.report(directory, *found, **more))  # type: ignore[arg-type]  # the same keywords

    def miss(self, directory: bytes, *names: bytes) -> Transaction:
        """Two looks that find names absent, far enough apart to be believed."""
        self.look(directory, absent=names)
        self.now += 2 * SETTLE
        return self.look(directory, absent=names)

    def lose(self, directory: bytes, *, place: Place | None = None) -> Transaction:
        """Two looks that find a directory absent, far enough apart to be believed."""
        path = self.absolute(directory)
        self.look(parent_path(path), gone=[path], place=place)
        self.now += 2 * SETTLE
        return self.look(parent_path(path), gone=[path], place=place)

    def former(self, path: bytes) -> Former:
        """The row at a path, present or missing, as an observer would name it that has seen it gone from there."""
        row = self.remembered(path) if self.find(path) is None else self.row(path)
        path = self.absolute(path)
        return Former(row.id, parent_path(path), row.name)

    def moved(self, path: bytes, *, here: bytes, settle: float = 0) -> Found:
        """The file of a path, found as `here`: a rename changes nothing but the change time."""
        former = self.former(path)
        row = self.by_id(former.file_id)
        stamp = row.stamp._replace(ctime_ns=(row.ctime_ns or 0) + 1)
        return Found(here, row.media_type, stamp, round(settle * SECOND), former)

    def move_directories(self, *moves: tuple[bytes, bytes], at: float | None = None) -> Transaction:
        """Directories, present or gone, seen at other paths: (from, to) each."""
        with self.transaction() as tx:
            apply_moves(tx, [self.directory_move(*move, at=at) for move in moves])
        return tx

    def directory_move(self, former: bytes, path: bytes, *, at: float | None = None) -> DirectoryMove:
        former, path = self.absolute(former), self.absolute(path)
        (directory_id, inode) = self.connection.execute(
            "SELECT id, inode FROM directories WHERE path = ? ORDER BY gone, id DESC", (former,)
        ).fetchone()
        at_ns = round((self.now if at is None else at) * SECOND)
        return DirectoryMove(self.root_id(path), directory_id, former, path, Place(self.disk, inode), at_ns)

    # What workers find

    def tell(self, *found: Outcome) -> Transaction:
        """Apply outcomes."""
        with self.transaction() as tx:
            outcomes.apply(tx, found)
        return tx

    def hash(self, path: bytes, content: object = None) -> Transaction:
        """The quick hash of a file under its present stamp; by default no two paths hold the same."""
        row = self.row(path)
        return self.tell(Hashed(row.id, row.stamp, digest(content or self.absolute(path)), row.size))

    def probe(self, path: bytes, probe: Probe = PROBE) -> Transaction:
        row = self.row(path)
        return self.tell(Probed(row.id, row.stamp, probe))

    def phash(self, path: bytes, fingerprint: bytes | None = b"print", *, lacks: int = PHASH) -> Transaction:
        """The perceptual hash of a file, its fingerprint or both, under its present stamp."""
        row = self.row(path)
        string = "0123456789abcdef" if lacks & PERCEPTUAL_HASH else None
        return self.tell(
            PerceptuallyHashed(row.id, row.stamp, lacks, string, fingerprint if lacks & FINGERPRINT else None)
        )

    def know(self, path: bytes, content: object = None) -> FileRow:
        """Hash and probe a file, and give it a perceptual hash."""
        self.hash(path, content)
        self.probe(path)
        row = self.row(path)
        with self.transaction() as tx:
            tx.store(row, row._replace(video_phash="0123456789abcdef", lacks=0))
        return self.row(path)

    # What is configured

    def configure(self, *paths: bytes) -> dict[bytes, int]:
        with self.transaction() as tx:
            return roots.configure(tx, paths)

    def filesystem(self, identity: str) -> int:
        with self.transaction() as tx:
            return roots.filesystem_id(tx, identity, "ext4")

    def root_id(self, path: bytes) -> int:
        """The configured root that a path lies in."""
        return next(root.id for root in self._roots.values() if root.configured and path.startswith(root.path))

    def root(self, root_id: int = 1) -> roots.RootRow:
        return self._roots[root_id]

    # What the catalog holds

    def find(self, path: bytes) -> FileRow | None:
        """The present row of a path."""
        row = self.connection.execute(
            f"SELECT {_COLUMNS} FROM media_files AS f JOIN directories AS d ON d.id = f.directory_id "
            "WHERE CAST(d.path || f.name AS BLOB) = ? AND f.missing_since IS NULL",
            (self.absolute(path),),
        ).fetchone()
        return FileRow._make(row) if row else None

    def row(self, path: bytes) -> FileRow:
        row = self.find(path)
        assert row is not None, f"{path!r} is not present; present are {self.present()}"
        return row

    def remembered(self, path: bytes) -> FileRow:
        """The one missing row of a path."""
        row, *others = [FileRow._make(row) for row in self._missing(path)]
        assert not others
        return row

    def by_id(self, file_id: int) -> FileRow:
        return FileRow._make(
            self.connection.execute(f"SELECT {COLUMNS} FROM media_files WHERE id = ?", (file_id,)).fetchone()
        )

    def present(self) -> dict[bytes, int]:
        """The ids of the present rows by path; below the first root without that."""
        return dict(self._paths("f.missing_since IS NULL"))

    def missing(self) -> list[bytes]:
        return sorted(path for path, _ in self._paths("f.missing_since IS NOT NULL"))

    def directory_paths(self, *, gone: bool = False) -> dict[bytes, int]:
        rows = self.connection.execute("SELECT path, id FROM directories WHERE gone = ?", (gone,))
        return {path.removeprefix(MEDIA): directory_id for path, directory_id in rows}

    def counts(self, root_id: int = 1) -> dict[str, int]:
        """What the table of totals says of a root, without the zeros."""
        row = self.connection.execute(
            f"SELECT {', '.join(FIELDS)} FROM totals WHERE root_id = ?", (root_id,)
        ).fetchone() or (0,) * len(FIELDS)
        return {field: value for field, value in zip(FIELDS, row, strict=True) if value}

    def value(self, sql: str, *values: object) -> object:
        """The first column of the first row of a query."""
        return self.connection.execute(sql, values).fetchone()[0]

    def _missing(self, path: bytes) -> list[tuple[object, ...]]:
        return self.connection.execute(
            f"SELECT {_COLUMNS} FROM media_files AS f JOIN directories AS d ON d.id = f.directory_id "
            "WHERE CAST(d.path || f.name AS BLOB) = ? AND f.missing_since IS NOT NULL",
            (self.absolute(path),),
        ).fetchall()

    def _paths(self, which: str) -> list[tuple[bytes, int]]:
        return [
            (path.removeprefix(MEDIA), file_id)
            for path, file_id in self.connection.execute(
                "SELECT CAST(d.path || f.name AS BLOB), f.id FROM media_files AS f "
                f"JOIN directories AS d ON d.id = f.directory_id WHERE {which} ORDER BY 1"
            )
        ]

    # What holds always

    def check(self) -> None:
        """What must be true after every commit."""
        rows = self.connection.execute
        assert rows("PRAGMA foreign_key_check").fetchall() == []
        sums = ", ".join(f"coalesce(sum({field}), 0)" for field in FIELDS)
        for root_id in self._roots:
            contributed = rows(f"SELECT {sums} FROM contributions WHERE root_id = ?", (root_id,)).fetchone()
            assert self.counts(root_id) == {f: v for f, v in zip(FIELDS, contributed, strict=True) if v}, root_id
            assert tuple(self.totals.of(root_id).values()) == contributed, root_id
        for name, sql in _NEVER.items():
            assert rows(sql).fetchall() == [], name
        for path, directory_id, parent in rows(
            "SELECT d.path, d.id, p.path FROM directories AS d JOIN directories AS p ON p.id = d.parent_id "
            "WHERE NOT d.gone AND NOT p.gone"
        ):
            assert parent_path(path) == parent, f"directory {directory_id} is at {path!r}, its parent at {parent!r}"
        for directory in self.directories._by_id.values():
            columns = ", ".join(directory._fields)
            stored = rows(f"SELECT {columns} FROM directories WHERE id = ?", (directory.id,)).fetchone()
            assert directory == stored


_COLUMNS = ", ".join("f." + column for column in FileRow._fields)
_NEVER = {
    "two present rows of one path": "SELECT CAST(d.path || f.name AS BLOB) FROM media_files AS f JOIN directories AS d "
    "ON d.id = f.directory_id WHERE f.missing_since IS NULL GROUP BY 1 HAVING count(*) > 1",
    "a present file in a gone directory": "SELECT f.id FROM media_files AS f JOIN directories AS d "
    "ON d.id = f.directory_id WHERE d.gone AND f.missing_since IS NULL",
    "a present directory in a gone one": "SELECT d.path FROM directories AS d JOIN directories AS p "
    "ON p.id = d.parent_id WHERE p.gone AND NOT d.gone",
    "a directory on its way": "SELECT id FROM directories WHERE path < '/'",
    "a hash that is known and wanted": "SELECT id FROM media_files WHERE quick_hash IS NOT NULL AND lacks & 1 = 1",
    "an audio file whose looks are waited for": "SELECT id FROM media_files WHERE wanted AND media_type = 'audio'",
    "an old hash beside a new one": "SELECT id FROM media_files "
    "WHERE quick_hash IS NOT NULL AND former_quick_hash IS NOT NULL",
    "a missing row that waits to be missing": "SELECT id FROM media_files "
    "WHERE missing_since IS NOT NULL AND (absent_ns IS NOT NULL OR held)",
    "a held row that is not absent": "SELECT id FROM media_files WHERE held AND absent_ns IS NULL",
    "a gone directory that waits to be gone": "SELECT id FROM directories WHERE gone AND absent_ns IS NOT NULL",
    "a missing row that is never purged": "SELECT id FROM media_files "
    "WHERE missing_since IS NOT NULL AND (missing_online_ns IS NULL OR missing_walks IS NULL)",
}
