"""Files known by their content: a row whose path is gone and a new path with the same bytes are one file that moved.

Used by the writer thread only. Where more than one row could be meant, none is: then the file is a new one. Between
two disks a move is a copy and a deletion, in this order, so both may be seen first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediawatchd.catalog.rows import COLUMNS, FileRow
from mediawatchd.model import QUICK_HASH, away_of

if TYPE_CHECKING:
    from mediawatchd.catalog.transaction import Transaction

COPIED_SECONDS = 86_400
"""A copy that is older has a life of its own. `mv` deletes the originals of a tree when all of it is copied."""

_SAME = "substr(quick_hash, 1, 8) = substr(?, 1, 8) AND quick_hash = ? AND size = ? AND NOT hidden"


def missing_with(tx: Transaction, quick_hash: bytes, size: int) -> FileRow | None:
    """The one missing row with this content; None when there is none, more than one, or its root is not online."""
    rows = tx.connection.execute(
        f"SELECT {COLUMNS} FROM media_files WHERE {_SAME} AND missing_since IS NOT NULL LIMIT 2",
        (quick_hash, quick_hash, size),
    ).fetchall()
    return _online(tx, FileRow._make(rows[0])) if len(rows) == 1 else None


def copy_of(tx: Transaction, row: FileRow) -> FileRow | None:
    """The only other row with the content of one that is going, if that came after it, of late, and is there."""
    if row.quick_hash is None:
        return None
    rows = tx.connection.execute(
        f"SELECT {COLUMNS} FROM media_files WHERE {_SAME} AND id <> ? LIMIT 2",
        (row.quick_hash, row.quick_hash, row.size, row.id),
    ).fetchall()
    if len(rows) != 1:
        return None
    copy = FileRow._make(rows[0])
    if copy.id < row.id or tx.time - copy.first_seen >= COPIED_SECONDS:
        return None
    if copy.missing_since is not None or copy.absent_ns is not None or _is_away(tx, copy):
        return None
    return _online(tx, copy)


def move(tx: Transaction, former: FileRow, here: FileRow, quick_hash: bytes) -> None:
    """`former` takes the place of `here` with all it knows; the row of `here` is deleted."""
    path, old_path = tx.path(here), tx.path(former)
    tx.totals.add(tx.directory(here).root_id, here, -1)
    tx.connection.execute("DELETE FROM media_files WHERE id = ?", (here.id,))
    tx.store(
        former,
        former._replace(
            directory_id=here.directory_id,
            name=here.name,
            fact_ns=here.fact_ns,
            due_ns=tx.now_ns,
            quick_hash=quick_hash,
            former_quick_hash=None,
            lacks=former.lacks & ~QUICK_HASH,
            wanted=former.wanted | here.wanted & former.lacks,
            attempts=0,
            absent_ns=None,
            held=0,
            missing_since=None,
            missing_online_ns=None,
            missing_walks=None,
        )
        .with_stamp(here.stamp)
        .with_kind(here.media_type, tx.wants(here.media_type)),
    )
    tx.tell("moved", tx.directory(here).root_id, path, former=old_path, detail="known by its content")


def _online(tx: Transaction, row: FileRow) -> FileRow | None:
    return row if tx.directory(row).root_id in tx.online else None


def _is_away(tx: Transaction, row: FileRow) -> bool:
    """Whether its disk, mounted below a root, is not there now."""
    directory = tx.directory(row)
    return away_of(tx.away, directory.path, directory.filesystem_id) is not None
