"""Files with the same size and quick hash, found in the index, and which of them were compared byte for byte.

What lists runs on the thread of whoever asks, with a read-only connection; `store_comparison` on the writer's. Only
what the index of quick hashes holds more than once is looked at: of a million files without copies no row is read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog.copies import COLUMNS, JOINED, CopyRow, is_listed, is_within

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping

    from mediawatchd.catalog.transaction import Transaction
    from mediawatchd.model import Stamp

Key = tuple[int, bytes]
"""Size and quick hash of a group: the largest files come first."""


class Member(NamedTuple):
    """One path; `content` as in `compared_files`, None where its bytes were not compared under its present stamp."""

    row: CopyRow
    content: int | None


# Both columns stand in the index, so no row is read; grouped by SQLite, each would be.
_STARTS = (
    "SELECT substr(quick_hash, 1, 8), id FROM media_files INDEXED BY media_files_quick_hash "
    "WHERE quick_hash IS NOT NULL ORDER BY 1"
)
_REPEATED = (
    "SELECT f.size, f.quick_hash, min(f.id) FROM json_each(?) AS wanted "
    "CROSS JOIN media_files AS f ON f.id = wanted.value "
    "CROSS JOIN directories AS d ON d.id = f.directory_id CROSS JOIN roots AS r "
    f"WHERE f.size > 0 AND {is_listed('f', 'd', 'r')} "
)
_GROUPED = "GROUP BY f.quick_hash, f.size HAVING count(*) > 1"
_ORDER = "ORDER BY f.size DESC, f.quick_hash"
_MEMBERS = (
    f"SELECT wanted.key, c.content, {COLUMNS} FROM json_each(?) AS wanted "
    "CROSS JOIN media_files AS one ON one.id = wanted.value "
    "CROSS JOIN media_files AS f INDEXED BY media_files_quick_hash "
    "ON substr(f.quick_hash, 1, 8) = substr(one.quick_hash, 1, 8) "
    f"AND f.quick_hash = one.quick_hash AND f.size = one.size {JOINED} CROSS JOIN roots AS r "
    "LEFT JOIN compared_files AS c ON c.file_id = f.id AND c.size = f.size AND c.mtime_ns = f.mtime_ns "
    "AND c.ctime_ns IS f.ctime_ns AND c.inode IS f.inode "
    f"WHERE {is_listed('f', 'd', 'r')} ORDER BY wanted.key, f.id"
)


def repeated(
    connection: sqlite3.Connection, *, under: bytes | None, after: Key | None, limit: int | None
) -> Iterator[tuple[Key, int]]:
    """The keys that more than one path has, with the id of one of them; `under`: one path is that, or lies below it."""
    having = _GROUPED
    values: list[object] = [json.dumps(_sharing(connection))]
    if under is not None:
        within, bound = is_within(under, "f", "d")
        having, values = f"{having} AND max({within})", [*values, *bound]
    if after is not None:
        having, values = f"{having} AND (f.size < ? OR f.size = ? AND f.quick_hash > ?)", [*values, after[0], *after]
    for size, quick_hash, file_id in connection.execute(
        f"{_REPEATED} {having} {_ORDER} LIMIT ?", (*values, -1 if limit is None else limit)
    ):
        yield (size, quick_hash), file_id


def _sharing(connection: sqlite3.Connection) -> list[int]:
    """The files of which the index holds the start of the quick hash more than once."""
    found = []
    last, last_id, is_noted = None, 0, False
    for start, file_id in connection.execute(_STARTS):
        if start == last:
            found += [file_id] if is_noted else [last_id, file_id]
        is_noted = start == last
        last, last_id = start, file_id
    return found


def members(connection: sqlite3.Connection, file_ids: Iterable[int]) -> list[list[Member]]:
    """For each file all that share its key, itself among them; nothing for one that is gone or has no copy any more."""
    found: dict[int, list[Member]] = {}
    for key, content, *row in connection.execute(_MEMBERS, (json.dumps(list(file_ids)),)):
        found.setdefault(key, []).append(Member(CopyRow._make(row), content))
    return list(found.values())


def with_key(connection: sqlite3.Connection, key: Key) -> list[Member]:
    """All paths of a key."""
    size, quick_hash = key
    row = connection.execute(
        "SELECT id FROM media_files WHERE substr(quick_hash, 1, 8) = substr(?, 1, 8) AND quick_hash = ? AND size = ? "
        "LIMIT 1",
        (quick_hash, quick_hash, size),
    ).fetchone()
    return [member for group in members(connection, row or ()) for member in group]


def store_comparison(tx: Transaction, compared: Mapping[int, tuple[Stamp, int] | None]) -> None:
    """Remember of all files of a key the stamp each was read under and the number of its content, None: not read.

    What was known of them before goes: the numbers of two comparisons say nothing of each other.
    """
    tx.connection.executemany("DELETE FROM compared_files WHERE file_id = ?", [(file_id,) for file_id in compared])
    tx.connection.executemany(
        "INSERT INTO compared_files (file_id, content, size, mtime_ns, ctime_ns, inode) "
        "SELECT id, ?, ?, ?, ?, ? FROM media_files WHERE id = ?",
        [
            (content, stamp.size, stamp.mtime_ns, stamp.ctime_ns, stamp.inode, file_id)
            for file_id, (stamp, content) in ((file_id, each) for file_id, each in compared.items() if each)
        ],
    )
