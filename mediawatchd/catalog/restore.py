"""Rows that an older or a damaged catalog knew, put into this one.

Runs in the thread that opens the database, inside its transaction. The rows are present and belong to no root;
their stamps are incomplete until a walk finds the files and completes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog.directories import parent_path
from mediawatchd.catalog.rows import is_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from mediawatchd.model import MediaType


class Remembered(NamedTuple):
    """What is known of a file: the columns of `media_files` beside `path`, which is absolute and normal."""

    id: int
    path: bytes
    media_type: MediaType
    size: int
    mtime_ns: int
    lacks: int
    quick_hash: bytes | None
    former_quick_hash: bytes | None
    video_phash: str | None
    container_format: str | None
    duration: float | None
    bitrate: int | None
    first_seen: int


_COLUMNS = ("directory_id", "name", "name_is_text", "id", *Remembered._fields[2:])
_INSERT = f"INSERT OR IGNORE INTO media_files ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"


class Restore:
    """Inserts rows and the directories that they lie in. What lies between those and a root is made with the root."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._directories: dict[bytes, int] = {}
        # Filling an index in order afterwards takes a fraction of the time.
        self._indexes: list[tuple[str, str]] = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'media_files' "
            "AND name <> 'media_files_present'"
        ).fetchall()
        for name, _ in self._indexes:
            connection.execute(f"DROP INDEX {name}")

    def insert(self, rows: Iterable[Remembered]) -> int:
        """How many; those whose id or path is taken are left out."""
        return self._connection.executemany(_INSERT, map(self._values, rows)).rowcount

    def finish(self) -> None:
        """Hang each directory below its parent, where that one holds files too, and make the indexes."""
        links = [
            (parent_id, directory_id)
            for path, directory_id in self._directories.items()
            if path != b"/" and (parent_id := self._directories.get(parent_path(path))) is not None
        ]
        self._connection.executemany("UPDATE directories SET parent_id = ? WHERE id = ?", links)
        for _, statement in self._indexes:
            self._connection.execute(statement)

    def holder(self, path: bytes) -> tuple[int, object, object] | None:
        """Id, video_phash and quick_hash of the row that has the path."""
        folder, _, name = path.rpartition(b"/")
        found: tuple[int, object, object] | None = self._connection.execute(
            "SELECT id, video_phash, coalesce(quick_hash, former_quick_hash) FROM media_files "
            "WHERE directory_id = ? AND name = ?",
            (self._directory_id(folder + b"/"), name),
        ).fetchone()
        return found

    def _values(self, row: Remembered) -> tuple[object, ...]:
        folder, _, name = row.path.rpartition(b"/")
        return (self._directory_id(folder + b"/"), name, is_text(name), row.id, *row[2:])

    def _directory_id(self, path: bytes) -> int:
        known = self._directories.get(path)
        if known is not None:
            return known
        cursor = self._connection.execute(
            "INSERT INTO directories (path, path_is_text) VALUES (?, ?)", (path, is_text(path))
        )
        assert cursor.lastrowid is not None
        self._directories[path] = cursor.lastrowid
        return cursor.lastrowid
