"""Directories that moved: one write a directory, none a file. Used by the writer thread only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediawatchd.catalog.directories import DirectoryRow, below
from mediawatchd.catalog.missing import make_missing, wait_anew
from mediawatchd.catalog.rows import COLUMNS, FileRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediawatchd.catalog.transaction import Transaction
    from mediawatchd.model import DirectoryMove


def apply_moves(tx: Transaction, moves: Sequence[DirectoryMove]) -> None:
    """Carry out the moves that are still true of the rows; two directories that swapped names swap paths.

    All movers leave their paths before the first arrives, as paths are unique among what is present; one may lie in
    another, or where another wants to be.
    """
    moving = [(move, row) for move in moves if (row := _row(tx, move)) is not None]
    for _, row in moving:
        tx.directories.leave(row.id, _way(row))
    for move, _ in moving:
        if (standing := tx.directories.present(move.path)) is not None:
            _overwrite(tx, standing)
    for move, row in moving:
        root = tx.roots[move.root_id]
        wait_anew(tx, root.id, below(_way(row)))
        tx.totals.carry(tx.connection, below(_way(row)), row.root_id, root.id)
        tx.directories.arrive(row.id, root, move)
        tx.tell("moved", root.id, move.path, former=move.former, detail="directory")


def _way(row: DirectoryRow) -> bytes:
    """Where a directory is between two paths: nothing that is reported begins with a zero byte."""
    return b"\0%d/" % row.id


def _row(tx: Transaction, move: DirectoryMove) -> DirectoryRow | None:
    row = tx.directories.find(move.directory_id)
    root = tx.roots.get(move.root_id)
    if row is None or root is None or not root.configured:
        return None
    # What has come to its path since may have taken its row.
    if (row.path, row.filesystem_id, row.inode) != (move.former, *move.place):
        return None
    if row.fact_ns > move.at_ns and row.absent_ns is None and not row.gone:
        return None  # seen later where it stands; that it is not there would say nothing against the move
    standing = tx.directories.present(move.path)
    if standing is not None and standing.id != row.id and standing.inode in {None, move.place.inode}:
        return None  # it is known here already: a file in it was seen first, and the others follow it
    return row


def _overwrite(tx: Transaction, directory: DirectoryRow) -> None:
    """Another known directory has taken this one's path: what was in it is remembered as missing."""
    rows = tx.connection.execute(
        f"SELECT {COLUMNS} FROM media_files WHERE missing_since IS NULL AND directory_id IN ("
        "SELECT id FROM directories WHERE path >= ? AND path < ? AND NOT gone)",
        below(directory.path),
    ).fetchall()
    make_missing(tx, map(FileRow._make, rows), detail="overwritten")
    tx.connection.execute(
        "UPDATE directories SET gone = 1, absent_ns = NULL WHERE path >= ? AND path < ? AND NOT gone",
        below(directory.path),
    )
    tx.directories.clear()
