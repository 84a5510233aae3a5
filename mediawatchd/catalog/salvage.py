"""Perceptual hashes, fingerprints and dismissed pairs in a damaged catalog, read where it can still be read.

Runs in the thread that opens the database. They are what takes long to compute again, or a person's word; all else
comes from the disk. A salvaged row has its old quick hash as `former_quick_hash`, so that they count only after the
file was read again and still has that quick hash.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from mediawatchd.catalog import legacy_layout
from mediawatchd.catalog.connection import connect, file_size, is_corrupt
from mediawatchd.catalog.legacy_values import perceptual_hash
from mediawatchd.catalog.restore import Remembered, Restore
from mediawatchd.catalog.rows import everything
from mediawatchd.model import FINGERPRINT, PERCEPTUAL_HASH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mediawatchd.model import MediaType

_HIGHEST_ID = 1 << 48
_PATIENCE_SECONDS = 30.0
_QUICK_HASH_BYTES = 32
_READ = (
    "SELECT id, directory_id, name, media_type, size, mtime_ns, coalesce(quick_hash, former_quick_hash), video_phash, "
    "first_seen, missing_since IS NOT NULL FROM media_files"
)


def salvage(source: bytes, connection: sqlite3.Connection, *, now: int) -> int:
    """Insert what `source` still knows into a new catalog, inside the caller's transaction; returns how many rows.

    What is wrong with `source` is never raised.
    """
    restore = Restore(connection)
    # Without the WAL at the second attempt: it may be what is damaged.
    for immutable in (False, True) if file_size(source + b"-wal") else (True,):
        try:
            opened = connect(source, mode="ro", immutable=immutable)
        except sqlite3.DatabaseError:
            rows = 0
            continue
        with closing(opened) as damaged:
            rows = restore.insert(_as_far_as_readable(_remembered(damaged, now=now)))
            _restore_fingerprints(connection, damaged)
            _restore_verdicts(connection, damaged)
        if rows:
            break
    restore.finish()
    return rows


def _as_far_as_readable(rows: Iterator[Remembered]) -> Iterator[Remembered]:
    with suppress(sqlite3.DatabaseError, UnicodeDecodeError):  # the latter where SQLite's message quotes what was hit
        yield from rows


def _remembered(damaged: sqlite3.Connection, *, now: int) -> Iterator[Remembered]:
    """The rows with either kind of hash, as far as they can be read; present ones first, for paths are theirs."""
    damaged.execute("PRAGMA trusted_schema = OFF")
    damaged.execute("PRAGMA cell_size_check = ON")
    # So that a file that is shorter than its header says can be read as far as it goes.
    damaged.execute("PRAGMA writable_schema = ON")
    if legacy_layout.is_legacy(damaged):
        query = f"{legacy_layout.file_selection(damaged, 'media_files')}"
        damaged.text_factory = bytes
        base = os.getcwdb()
        for values in _readable(damaged, query):
            row = legacy_layout.remembered(values, base=base, now=now)
            if row is not None and row.video_phash is not None:
                yield _unverified(row)
        return
    damaged.text_factory = bytes
    directories = _Directories(damaged)
    for missing in (0, 1):
        for *known, is_missing in _readable(damaged, _READ):
            if is_missing != missing or (row := _checked(known, directories, now)) is None:
                continue
            if row.video_phash is not None or _fingerprint(damaged, row.id) is not None:
                yield row


def _restore_fingerprints(connection: sqlite3.Connection, damaged: sqlite3.Connection) -> None:
    """Insert those of the rows that were salvaged."""
    for (file_id,) in connection.execute("SELECT id FROM media_files").fetchall():
        if (found := _fingerprint(damaged, file_id)) is not None:
            connection.execute(
                "INSERT OR IGNORE INTO fingerprints (file_id, hashed_at, fingerprint) VALUES (?, ?, ?)",
                (file_id, *found),
            )
    connection.execute(
        f"UPDATE media_files SET lacks = lacks & ~{FINGERPRINT} WHERE id IN (SELECT file_id FROM fingerprints)"
    )


def _restore_verdicts(connection: sqlite3.Connection, damaged: sqlite3.Connection) -> None:
    """Insert what a person said of two rows that were both salvaged."""
    known = {file_id for (file_id,) in connection.execute("SELECT id FROM media_files")}
    query = "SELECT b_id, dismissed_at FROM dismissed_pairs WHERE a_id = ?"
    for a_id in known:
        with suppress(sqlite3.DatabaseError, UnicodeDecodeError):  # also in a catalog of a version that had none
            for b_id, at in damaged.execute(query, (a_id,)):
                if b_id in known and a_id < b_id and isinstance(at, int):
                    connection.execute("INSERT OR IGNORE INTO dismissed_pairs VALUES (?, ?, ?)", (a_id, b_id, at))


def _fingerprint(damaged: sqlite3.Connection, file_id: int) -> tuple[float, bytes] | None:
    """When a file was hashed, and its fingerprint; None where there is none that can be read."""
    try:
        row = damaged.execute(
            "SELECT hashed_at, fingerprint FROM fingerprints WHERE file_id = ?", (file_id,)
        ).fetchone()
    except (sqlite3.DatabaseError, UnicodeDecodeError):  # also in a catalog of a version that had none
        return None
    return row if row and isinstance(row[0], float) and isinstance(row[1], bytes) else None


def _readable(damaged: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """The rows of `query` by rising id, stepping over the pages that cannot be read.

    The query leaves no row out: between two rows it would otherwise come to pages that the step does not know of.
    """
    query += " WHERE id > ? ORDER BY id"
    last = 0
    # What is damaged can be a tree without an end.
    end = time.monotonic() + _PATIENCE_SECONDS
    damaged.set_progress_handler(lambda: time.monotonic() > end, 100_000)
    while last < _HIGHEST_ID:
        try:
            for row in damaged.execute(query, (last,)):
                if row[0] > last:
                    last = row[0]
                    yield row
                    end = time.monotonic() + _PATIENCE_SECONDS
        except sqlite3.DatabaseError as exc:
            if not is_corrupt(exc):
                raise
            row = _next(damaged, query, last)
            if row is not None and row[0] > last:
                last = row[0]
                yield row
            else:
                last = _beyond(damaged, last)
        else:
            return


def _next(damaged: sqlite3.Connection, query: str, last: int) -> tuple[Any, ...] | None:
    """The row before one that cannot be read: Python steps to the next row before it hands one out, and loses both."""
    with suppress(sqlite3.DatabaseError):
        row: tuple[Any, ...] | None = damaged.execute(f"{query} LIMIT 1", (last,)).fetchone()
        return row
    return None


def _beyond(damaged: sqlite3.Connection, last: int) -> int:
    """The lowest id above `last` after which a row can be read; a page that cannot covers a range of ids."""
    step = 1
    while not _can_read_after(damaged, last + step):
        if last + step >= _HIGHEST_ID:
            return _HIGHEST_ID
        step *= 2
    low, high = last + step // 2, last + step
    while high - low > 1:
        middle = (low + high) // 2
        if _can_read_after(damaged, middle):
            high = middle
        else:
            low = middle
    return high


def _can_read_after(damaged: sqlite3.Connection, file_id: int) -> bool:
    try:
        damaged.execute("SELECT * FROM media_files WHERE id > ? ORDER BY id LIMIT 1", (file_id,)).fetchone()
    except sqlite3.DatabaseError as exc:
        if not is_corrupt(exc):
            raise
        return False
    return True


class _Directories:
    """Paths by id, read once each; None for those that cannot be read."""

    def __init__(self, damaged: sqlite3.Connection) -> None:
        self._damaged = damaged
        self._paths: dict[object, bytes | None] = {}

    def path(self, directory_id: object) -> bytes | None:
        if directory_id not in self._paths:
            self._paths[directory_id] = self._read(directory_id)
        return self._paths[directory_id]

    def _read(self, directory_id: object) -> bytes | None:
        try:
            row = self._damaged.execute("SELECT path FROM directories WHERE id = ?", (directory_id,)).fetchone()
        except sqlite3.DatabaseError as exc:
            if not is_corrupt(exc):
                raise
            return None
        path = row[0] if row else None
        if isinstance(path, bytes) and os.path.join(os.path.normpath(path), b"") == path and path.startswith(b"/"):
            return path
        return None


def _checked(values: list[Any], directories: _Directories, now: int) -> Remembered | None:
    """A row whose every value is one that could have been written: a damaged page may hold anything."""
    file_id, directory_id, name, media_type, size, mtime_ns, quick_hash, video_phash, first_seen = values
    if (
        media_type not in (b"video", b"vr", b"audio")
        or not (isinstance(name, bytes) and 0 < len(name) <= 255)
        or b"/" in name
        or b"\0" in name
        or not (isinstance(size, int) and size >= 0)
        or not isinstance(mtime_ns, int)
    ):
        return None
    kind: MediaType = media_type.decode()
    directory = directories.path(directory_id)
    if directory is None:
        return None
    known = isinstance(quick_hash, bytes) and len(quick_hash) == _QUICK_HASH_BYTES
    seen = first_seen if isinstance(first_seen, int) and 0 < first_seen <= now else now
    row = Remembered(
        file_id, directory + name, kind, size, mtime_ns, 0, quick_hash if known else None, None,
        perceptual_hash(video_phash), None, None, None, seen,
    )  # fmt: skip
    return _unverified(row)


def _unverified(row: Remembered) -> Remembered:
    return row._replace(
        lacks=everything(row.media_type) & ~(PERCEPTUAL_HASH if row.video_phash is not None else 0),
        quick_hash=None,
        former_quick_hash=row.quick_hash or row.former_quick_hash,
        container_format=None,
        duration=None,
        bitrate=None,
    )
