"""Rows of `directories`, found by path or by id, made when first reported, and moved as one.

Used by the writer thread only. A bounded cache answers most look-ups; it is cleared after a rollback.
"""

from __future__ import annotations

from array import array
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog.rows import is_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from mediawatchd.catalog.transaction import RootRow
    from mediawatchd.model import DirectoryMove, Place

CACHED = 20_000
_AT_ONCE = 1_000
_COLUMNS = "id, root_id, path, filesystem_id, inode, fact_ns, absent_ns, gone"


class DirectoryRow(NamedTuple):
    id: int
    root_id: int | None
    path: bytes
    filesystem_id: int | None
    inode: int | None
    fact_ns: int
    absent_ns: int | None
    gone: int


def below(path: bytes) -> tuple[bytes, bytes]:
    """The byte range [low, high) of a directory's path and of everything below it."""
    return path, path[:-1] + b"0"  # "0" is the byte after "/"


@contextmanager
def index_for_deleting(connection: sqlite3.Connection) -> Iterator[None]:
    """Around the deletion of directories: without this index the check of the foreign key reads all files for each."""
    connection.execute("CREATE INDEX deleting ON media_files (directory_id)")
    yield
    connection.execute("DROP INDEX deleting")


def parent_path(path: bytes) -> bytes:
    return path[: path.rindex(b"/", 0, len(path) - 1) + 1]


def parent_and_name(path: bytes) -> tuple[bytes, bytes]:
    """Where a directory lies, and what it is called there."""
    parent = parent_path(path)
    return parent, path[len(parent) : -1]


class Directories:
    """The present directories, by path and by id."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._by_path: dict[bytes, DirectoryRow] = {}
        self._by_id: dict[int, DirectoryRow] = {}
        self._new: set[int] = set()

    def clear(self) -> None:
        self._by_path.clear()
        self._by_id.clear()
        self._new.clear()

    def present(self, path: bytes) -> DirectoryRow | None:
        cached = self._by_path.get(path)
        if cached is not None:
            return cached
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM directories WHERE path = ? AND NOT gone", (path,)
        ).fetchone()
        return self._keep(DirectoryRow._make(row)) if row else None

    def by_id(self, directory_id: int) -> DirectoryRow:
        row = self.find(directory_id)
        assert row is not None, f"no directory {directory_id}"
        return row

    def find(self, directory_id: int) -> DirectoryRow | None:
        """A directory that may have been forgotten meanwhile."""
        cached = self._by_id.get(directory_id)
        if cached is not None:
            return cached
        row = self._connection.execute(f"SELECT {_COLUMNS} FROM directories WHERE id = ?", (directory_id,)).fetchone()
        return self._keep(DirectoryRow._make(row)) if row else None

    def is_new(self, directory_id: int) -> bool:
        """Whether the directory was made a moment ago and nothing was recorded in it yet; asked once."""
        if directory_id in self._new:
            self._new.remove(directory_id)
            return True
        return False

    def ensure(self, root: RootRow, path: bytes, place: Place | None, at_ns: int) -> DirectoryRow:
        """The row of a directory that is there, made or revived if need be, with where it was seen."""
        row = self.present(path)
        if row is None:
            return self._make(root, path, place, at_ns)
        if place is None or at_ns < row.fact_ns:
            return row
        seen = row._replace(
            root_id=root.id,
            filesystem_id=place.filesystem_id,
            inode=place.inode,
            fact_ns=at_ns,
            absent_ns=None,
        )
        if seen._replace(fact_ns=row.fact_ns) == row:
            return row
        self._connection.execute(
            "UPDATE directories SET root_id = ?, filesystem_id = ?, inode = ?, fact_ns = ?, absent_ns = NULL "
            "WHERE id = ?",
            (seen.root_id, seen.filesystem_id, seen.inode, at_ns, row.id),
        )
        return self._keep(seen)

    def leave(self, directory_id: int, path: bytes) -> None:
        """Take a directory and all below it out of the tree, to a path that nothing else has."""
        row = self.by_id(directory_id)
        self._rename(row, path, row.root_id)
        self._connection.execute("UPDATE directories SET parent_id = NULL WHERE id = ?", (row.id,))
        self.clear()

    def arrive(self, directory_id: int, root: RootRow, move: DirectoryMove) -> None:
        """Put a directory that left, and all below it, where it was seen: one write a directory, none a file."""
        row = self.by_id(directory_id)
        parent = None if move.path == root.path else self.ensure(root, parent_path(move.path), None, 0)
        self._rename(row, move.path, root.id)
        self._connection.execute(
            "UPDATE directories SET parent_id = ?, filesystem_id = ?, inode = ?, fact_ns = ?, absent_ns = NULL, "
            "gone = 0 WHERE id = ?",
            (parent.id if parent else None, *move.place, move.at_ns, row.id),
        )
        self.clear()

    def _rename(self, row: DirectoryRow, path: bytes, root_id: int | None) -> None:
        """Replace the head of the paths of a directory and of all that are below it in the same state of being there
        or gone."""
        tree = self._connection.execute(
            # What went while its parent was elsewhere is remembered where it was then: not below it now.
            "WITH RECURSIVE tree (id, path) AS ("
            "  SELECT id, path FROM directories WHERE id = ?"
            "  UNION ALL SELECT d.id, d.path FROM directories AS d JOIN tree ON d.parent_id = tree.id "
            "  WHERE d.gone = ? AND substr(d.path, 1, length(tree.path)) = tree.path"
            ") SELECT id FROM tree",
            (row.id, row.gone),
        )
        # Ids take little; the paths of a hundred thousand directories are held a few at a time.
        ids = array("q", (directory_id for (directory_id,) in tree))
        for first in range(0, len(ids), _AT_ONCE):
            some = ids[first : first + _AT_ONCE]
            olds = self._connection.execute(
                f"SELECT path, id FROM directories WHERE id IN ({', '.join('?' * len(some))})", some
            ).fetchall()
            renamed = [(path + old[len(row.path) :], directory_id) for old, directory_id in olds]
            self._connection.executemany(
                "UPDATE directories SET path = ?, path_is_text = ?, root_id = ? WHERE id = ?",
                [(new, is_text(new), root_id, directory_id) for new, directory_id in renamed],
            )

    def _make(self, root: RootRow, path: bytes, place: Place | None, at_ns: int) -> DirectoryRow:
        parent_id = None
        if path != root.path:
            parent_id = self.ensure(root, parent_path(path), None, 0).id
        filesystem_id, inode = place or (None, None)
        gone = self._connection.execute(
            "SELECT id FROM directories WHERE path = ? AND gone ORDER BY id DESC", (path,)
        ).fetchone()
        if gone:
            directory_id = gone[0]
            self._connection.execute(
                "UPDATE directories SET parent_id = ?, root_id = ?, filesystem_id = ?, inode = ?, fact_ns = ?, "
                "absent_ns = NULL, gone = 0 WHERE id = ?",
                (parent_id, root.id, filesystem_id, inode, at_ns, directory_id),
            )
        else:
            directory_id = self._connection.execute(
                "INSERT INTO directories (parent_id, root_id, path, path_is_text, filesystem_id, inode, fact_ns) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (parent_id, root.id, path, is_text(path), filesystem_id, inode, at_ns),
            ).lastrowid
            assert directory_id is not None
            self._new.add(directory_id)
        return self._keep(DirectoryRow(directory_id, root.id, path, filesystem_id, inode, at_ns, None, 0))

    def _keep(self, row: DirectoryRow) -> DirectoryRow:
        if len(self._by_id) >= CACHED:
            self._by_id.clear()
            self._by_path.clear()
            # One that nothing was recorded in is only asked for once more than needed.
            self._new.clear()
        self._by_id[row.id] = row
        if not row.gone:
            self._by_path[row.path] = row
        return row
