"""What the catalog knows of a directory, for those who compare it with the disk. Read only, one short query each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from mediawatchd.catalog.directories import below, parent_path
from mediawatchd.model import Stamp

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

T = TypeVar("T")

VARIABLES = 500
"""How many values one statement is given; SQLite takes many more, but compiles each number of them anew."""


class KnownDirectory(NamedTuple):
    """`is_parent`: present directories are known in it."""

    id: int
    path: bytes
    filesystem_id: int | None
    inode: int | None
    gone: int
    absent_ns: int | None
    is_parent: int


class KnownFile(NamedTuple):
    """A row that a newly found file may have been; `missing` when its path is known to be free."""

    id: int
    directory: bytes
    name: bytes
    size: int
    mtime_ns: int
    inode: int
    missing: bool


_DIRECTORY = (
    "id, path, filesystem_id, inode, gone, absent_ns, "
    "EXISTS (SELECT 1 FROM directories AS child WHERE child.parent_id = directories.id AND NOT child.gone)"
)


def directory(connection: sqlite3.Connection, path: bytes) -> KnownDirectory | None:
    row = connection.execute(f"SELECT {_DIRECTORY} FROM directories WHERE path = ? AND NOT gone", (path,)).fetchone()
    return KnownDirectory._make(row) if row else None


def known_as(connection: sqlite3.Connection, path: bytes) -> bytes | None:
    """What a path that is written as a directory is: as it is, a present file's path without the slash, or None."""
    if directory(connection, path) is not None:
        return path
    folder = parent_path(path)
    row = connection.execute(
        "SELECT 1 FROM directories AS d JOIN media_files AS f ON f.directory_id = d.id "
        "WHERE d.path = ? AND NOT d.gone AND f.name = ? AND f.missing_since IS NULL AND NOT f.hidden",
        (folder, path[len(folder) : -1]),
    ).fetchone()
    return None if row is None else path[:-1]


def subdirectories(connection: sqlite3.Connection, directory_id: int) -> dict[bytes, KnownDirectory]:
    """The present directories in a directory, by path."""
    rows = connection.execute(f"SELECT {_DIRECTORY} FROM directories WHERE parent_id = ? AND NOT gone", (directory_id,))
    return {row[1]: KnownDirectory._make(row) for row in rows.fetchall()}


Stamps = dict[bytes, tuple[int, ...]]
"""Stamps by name, as plain tuples with None where a field is empty. A file whose absence or hold waits for a decision
has the stamp (), which equals none: seeing it is news."""

_STAMPS = (
    "SELECT name, size, mtime_ns, ctime_ns, inode, links, absent_ns IS NULL FROM media_files "
    "WHERE directory_id = ? AND missing_since IS NULL AND NOT hidden"
)


def files(connection: sqlite3.Connection, directory_id: int, limit: int) -> Stamps | None:
    """The present files in a directory; None when there are more than `limit`."""
    rows = connection.execute(_STAMPS, (directory_id,)).fetchmany(limit + 1)
    return None if len(rows) > limit else _stamps(rows)


def files_named(connection: sqlite3.Connection, directory_id: int, names: Sequence[bytes]) -> Stamps:
    """Those of the present files in a directory that have one of these names."""
    stamps: Stamps = {}
    for chunk in _chunks(names):
        rows = connection.execute(f"{_STAMPS} AND name IN ({_marks(chunk)})", (directory_id, *chunk))
        stamps |= _stamps(rows.fetchall())
    return stamps


def names(connection: sqlite3.Connection, directory_id: int, page: int) -> Iterator[list[bytes]]:
    """The names of the present files in a directory, in pages; each page is a query of its own."""
    last = b""
    while rows := connection.execute(
        "SELECT name FROM media_files WHERE directory_id = ? AND missing_since IS NULL AND NOT hidden AND name > ? "
        "ORDER BY name LIMIT ?",
        (directory_id, last, page),
    ).fetchall():
        last = rows[-1][0]
        yield [name for (name,) in rows]


def count(connection: sqlite3.Connection, directory_id: int) -> int:
    """How many present files there are in a directory."""
    (number,) = connection.execute(
        "SELECT count(*) FROM media_files WHERE directory_id = ? AND missing_since IS NULL AND NOT hidden",
        (directory_id,),
    ).fetchone()
    return int(number)


def _stamps(rows: list[tuple[Any, ...]]) -> Stamps:
    return {row[0]: row[1:6] if row[6] else () for row in rows}


def sample(
    connection: sqlite3.Connection, paths: tuple[bytes, bytes], limit: int, *, gone: bool = False
) -> list[tuple[bytes, Stamp]]:
    """Paths and stamps of some files in a range of directories: present ones, or what is remembered of gone ones."""
    which = "d.gone" if gone else "NOT d.gone AND f.missing_since IS NULL"
    rows = connection.execute(
        "SELECT d.path, f.name, f.size, f.mtime_ns, f.ctime_ns, f.inode, f.links FROM directories AS d "
        "JOIN media_files AS f ON f.directory_id = d.id "
        f"WHERE d.path >= ? AND d.path < ? AND {which} LIMIT ?",
        (*paths, limit),
    ).fetchall()
    return [(row[0] + row[1], Stamp._make(row[2:])) for row in rows]


def holds_files(connection: sqlite3.Connection, path: bytes, filesystem_id: int | None) -> bool:
    """Whether present files are known below a path on a file system."""
    row = connection.execute(
        "SELECT 1 FROM directories AS d JOIN media_files AS f ON f.directory_id = d.id "
        "WHERE d.path >= ? AND d.path < ? AND NOT d.gone AND d.filesystem_id IS ? AND f.missing_since IS NULL LIMIT 1",
        (*below(path), filesystem_id),
    ).fetchone()
    return row is not None


def files_with_inodes(connection: sqlite3.Connection, filesystem_id: int, inodes: Sequence[int]) -> Iterator[KnownFile]:
    """The rows, present or missing, that were last seen under some inodes of a file system."""
    for chunk in _chunks(inodes):
        yield from map(
            KnownFile._make,
            connection.execute(
                "SELECT f.id, d.path, f.name, f.size, f.mtime_ns, f.inode, f.missing_since IS NOT NULL "
                "FROM media_files AS f JOIN directories AS d ON d.id = f.directory_id "
                f"WHERE f.inode IN ({_marks(chunk)}) AND d.filesystem_id = ? AND NOT f.hidden",
                (*chunk, filesystem_id),
            ).fetchall(),
        )


def directories_with_inodes(
    connection: sqlite3.Connection, filesystem_id: int, inodes: Sequence[int]
) -> Iterator[KnownDirectory]:
    """The directories, present or gone, that were last seen under some inodes of a file system."""
    for chunk in _chunks(inodes):
        yield from map(
            KnownDirectory._make,
            connection.execute(
                f"SELECT {_DIRECTORY} FROM directories WHERE inode IN ({_marks(chunk)}) AND filesystem_id = ?",
                (*chunk, filesystem_id),
            ).fetchall(),
        )


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _chunks(values: Sequence[T]) -> Iterable[Sequence[T]]:
    return (values[start : start + VARIABLES] for start in range(0, len(values), VARIABLES))
