"""Files that may be copies of each other: what is shown of each, and what decides which of them to keep.

Runs on the thread of whoever asks, with a read-only connection that is lent for one page.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog.directories import below
from mediawatchd.model import Stamp

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from mediawatchd.model import MediaType

    Clause = tuple[str, Sequence[object]]
    """A condition of a query, and the values of its question marks."""


class CopyRow(NamedTuple):
    """One path. `inode` is None where inodes are not stable; `first_seen` and `missing_since` are Unix seconds."""

    id: int
    path: bytes
    size: int
    mtime_ns: int
    ctime_ns: int | None
    inode: int | None
    links: int | None
    media_type: MediaType
    quick_hash: bytes | None
    first_seen: int
    missing_since: int | None
    container_format: str | None
    duration: float | None
    bitrate: int | None
    video_codec: str | None
    width: int | None
    height: int | None
    audio_codec: str | None
    root_id: int
    filesystem_id: int | None

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.size, self.mtime_ns, self.ctime_ns, self.inode, self.links)


COLUMNS = (
    "f.id, CAST(d.path || f.name AS BLOB), f.size, f.mtime_ns, f.ctime_ns, f.inode, f.links, f.media_type, "
    "f.quick_hash, f.first_seen, f.missing_since, f.container_format, f.duration, f.bitrate, v.codec, v.width, "
    "v.height, s.codec, d.root_id, d.filesystem_id"
)
JOINED = (
    "JOIN directories AS d ON d.id = f.directory_id LEFT JOIN video_metadata AS v ON v.file_id = f.id "
    "LEFT JOIN audio_metadata AS s ON s.file_id = f.id"
)
"""What the columns of a `CopyRow` are taken from, beside the files `f`."""


def is_listed(file: str, directory: str, root: str) -> str:
    """The condition under which a file may be named as somebody's copy: it is there, as far as the catalog knows.

    Files of a root that is away are there. One that is looked at again, as its stamp has moved, may be another file.
    """
    return f"{file}.missing_since IS NULL AND {file}.former_quick_hash IS NULL AND {is_shown(file, directory, root)}"


def is_shown(file: str, directory: str, root: str) -> str:
    """The condition under which the view `files` has a file, present or missing."""
    return f"NOT {file}.hidden AND {root}.id = {directory}.root_id AND {root}.configured"


def is_within(path: bytes, file: str, directory: str) -> Clause:
    """The condition under which a file is the one of a path, or lies below it."""
    low, high = below(path.rstrip(b"/") + b"/")
    parent, name = _split(path)
    return (
        f"({directory}.path >= ? AND {directory}.path < ? OR {directory}.path = ? AND {file}.name = ?)",
        (low, high, parent, name),
    )


def copies(connection: sqlite3.Connection, ids: Iterable[int]) -> dict[int, CopyRow]:
    """The rows of these ids, without those that are gone."""
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM json_each(?) AS wanted CROSS JOIN media_files AS f ON f.id = wanted.value {JOINED}",
        (json.dumps(list(ids)),),
    )
    return {row[0]: CopyRow._make(row) for row in rows}


def within(connection: sqlite3.Connection, path: bytes, ids: Iterable[int]) -> set[int]:
    """Which of these files are the one of a path, or lie below it."""
    condition, values = is_within(path, "f", "d")
    rows = connection.execute(
        "SELECT f.id FROM json_each(?) AS wanted CROSS JOIN media_files AS f ON f.id = wanted.value "
        f"CROSS JOIN directories AS d ON d.id = f.directory_id WHERE {condition}",
        (json.dumps(list(ids)), *values),
    )
    return {row[0] for row in rows}


def is_known(connection: sqlite3.Connection, path: bytes) -> bool:
    """Whether the catalog has a file or a folder of that path."""
    parent, name = _split(path)
    found = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM directories WHERE path >= ? AND path < ?) OR EXISTS ("
        "SELECT 1 FROM directories AS d JOIN media_files AS f ON f.directory_id = d.id "
        "WHERE d.path = ? AND f.name = ?)",
        (*below(path.rstrip(b"/") + b"/"), parent, name),
    ).fetchone()[0]
    return bool(found)


def _split(path: bytes) -> tuple[bytes, bytes]:
    parent, slash, name = path.rpartition(b"/")
    return parent + slash, name
