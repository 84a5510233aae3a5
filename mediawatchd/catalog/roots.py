"""Rows of `roots` and `filesystems`: which folders are configured, and what was seen mounted there.

The functions that take a transaction run on the writer thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog.directories import below, index_for_deleting, parent_path
from mediawatchd.catalog.missing import wait_anew
from mediawatchd.catalog.totals import FIELDS
from mediawatchd.catalog.transaction import RootRow, Transaction, get_state, set_state

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence


_COLUMNS = "id, path, configured, filesystem_id, online_ns, walks, last_reconcile"


def load_roots(connection: sqlite3.Connection) -> dict[int, RootRow]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM roots")
    return {row[0]: RootRow._make(row) for row in rows}


def root(connection: sqlite3.Connection, root_id: int) -> RootRow:
    row = connection.execute(f"SELECT {_COLUMNS} FROM roots WHERE id = ?", (root_id,)).fetchone()
    return RootRow._make(row)


def totals(connection: sqlite3.Connection) -> dict[int, dict[str, int]]:
    """What each root holds, by its id."""
    rows = connection.execute(f"SELECT root_id, {', '.join(FIELDS)} FROM totals").fetchall()
    return {row[0]: dict(zip(FIELDS, row[1:], strict=True)) for row in rows}


def identity(connection: sqlite3.Connection, filesystem_id: int | None) -> str | None:
    """By what a file system was known when it was first seen."""
    row = connection.execute("SELECT identity FROM filesystems WHERE id = ?", (filesystem_id,)).fetchone()
    return row[0] if row else None


def place_of(connection: sqlite3.Connection, directory_id: int) -> tuple[bytes, int | None]:
    """A directory's path, and the file system that it was last seen on."""
    row = connection.execute("SELECT path, filesystem_id FROM directories WHERE id = ?", (directory_id,)).fetchone()
    return row[0], row[1]


def configure(tx: Transaction, paths: Sequence[bytes]) -> dict[bytes, int]:
    """Make `paths` the configured roots; rows of the others are hidden and kept. Returns the id of each path."""
    ids = {}
    tx.connection.execute("UPDATE roots SET configured = 0")
    for path in paths:
        tx.connection.execute(
            "INSERT INTO roots (path) VALUES (?) ON CONFLICT (path) DO UPDATE SET configured = 1", (path,)
        )
        ids[path] = tx.connection.execute("SELECT id FROM roots WHERE path = ?", (path,)).fetchone()[0]
    _reload(tx)
    for path, root_id in ids.items():
        _adopt(tx, root_id, path)
    return ids


def _adopt(tx: Transaction, root_id: int, path: bytes) -> None:
    """What lies below a root belongs to it, whoever's it was: a root may have been narrowed, widened or upgraded."""
    others = tx.connection.execute(
        "SELECT DISTINCT root_id FROM directories WHERE path >= ? AND path < ? AND root_id IS NOT ?",
        (*below(path), root_id),
    ).fetchall()
    if not others:
        return
    wait_anew(tx, root_id, below(path))
    tx.connection.execute("UPDATE directories SET root_id = ? WHERE path >= ? AND path < ?", (root_id, *below(path)))
    orphans = tx.connection.execute(
        "SELECT id, path FROM directories WHERE path > ? AND path < ? AND parent_id IS NULL AND NOT gone", below(path)
    ).fetchall()
    tx.directories.clear()
    for directory_id, orphan in orphans:
        parent = tx.directories.ensure(tx.roots[root_id], parent_path(orphan), None, 0)
        tx.connection.execute("UPDATE directories SET parent_id = ? WHERE id = ?", (parent.id, directory_id))
    tx.directories.clear()
    for other in {root_id, *(row[0] for row in others)}:
        if other is not None:
            tx.totals.recount(tx.connection, other)


def filesystem_id(tx: Transaction, identity: str, kind: str) -> int:
    """The id of a file system, given when it is first seen."""
    tx.connection.execute("INSERT OR IGNORE INTO filesystems (identity, type) VALUES (?, ?)", (identity, kind))
    row = tx.connection.execute("SELECT id FROM filesystems WHERE identity = ?", (identity,)).fetchone()
    return int(row[0])


def accept(tx: Transaction, root_id: int, filesystem: int | None) -> None:
    """Take the file system that is mounted at a root for the root's own; rows of the former one may go missing.

    None: whatever is found there at the next look.
    """
    root = tx.roots[root_id]
    tx.connection.execute("UPDATE roots SET filesystem_id = ? WHERE id = ?", (filesystem, root_id))
    if root.filesystem_id is not None:
        tx.connection.execute(
            "UPDATE directories SET filesystem_id = ? WHERE root_id = ? AND filesystem_id = ?",
            (filesystem, root_id, root.filesystem_id),
        )
        tx.directories.clear()
    _reload(tx)


class WalkRecord(NamedTuple):
    """A walk that ended, as `scans` keeps it; `complete` when it saw all of its scope."""

    scope: bytes
    cause: str
    result: str
    seconds: float
    directories: int
    files: int


KEPT_SCANS = 1_000
FORGOTTEN_AT_ONCE = 50_000


def record_walk(tx: Transaction, root_id: int, walk: WalkRecord) -> None:
    """Keep a record of a walk; one that saw the whole root counts for the purge and for `last_reconcile`."""
    if root_id not in tx.roots:
        return
    tx.walks[root_id, walk.result] += 1
    tx.connection.execute(
        "INSERT INTO scans (root_id, scope, cause, result, started, seconds, directories, files) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (root_id, *walk[:3], int(tx.time - walk.seconds), *walk[3:]),
    )
    tx.connection.execute("DELETE FROM scans WHERE id <= (SELECT max(id) FROM scans) - ?", (KEPT_SCANS,))
    if walk.result != "complete" or walk.scope != tx.roots[root_id].path:
        return
    tx.connection.execute(
        "UPDATE roots SET walks = walks + 1, last_reconcile = ? WHERE id = ?", (int(tx.time), root_id)
    )
    _reload(tx)


def add_online(tx: Transaction, root_ids: Sequence[int], nanoseconds: int) -> None:
    """Let the purge's clock of the roots that are online go on."""
    tx.connection.executemany(
        "UPDATE roots SET online_ns = online_ns + ? WHERE id = ?", [(nanoseconds, root_id) for root_id in root_ids]
    )
    _reload(tx)


def forget(tx: Transaction, root_id: int) -> int:
    """Delete files of a root that is no longer configured, FORGOTTEN_AT_ONCE at most, and at last the root.

    Returns how many files that were: 0 when nothing was left of it.
    """
    if root_id not in tx.roots:
        return 0
    count = tx.connection.execute(
        "DELETE FROM media_files WHERE id IN (SELECT f.id FROM directories AS d "
        "JOIN media_files AS f ON f.directory_id = d.id WHERE d.root_id = ? LIMIT ?)",
        (root_id, FORGOTTEN_AT_ONCE),
    ).rowcount
    tx.totals.recount(tx.connection, root_id)
    tx.totals.write(tx.connection)
    if count == FORGOTTEN_AT_ONCE:
        return count
    tx.connection.execute(
        "UPDATE directories SET parent_id = NULL WHERE parent_id IN (SELECT id FROM directories WHERE root_id = ?)",
        (root_id,),
    )
    with index_for_deleting(tx.connection):
        tx.connection.execute("DELETE FROM directories WHERE root_id = ?", (root_id,))
    tx.connection.execute("DELETE FROM roots WHERE id = ?", (root_id,))
    tx.directories.clear()
    tx.totals.load(tx.connection)
    _reload(tx)
    return count


def apply_rules(tx: Transaction, fingerprint: str, visible: Callable[[bytes, bytes], bool]) -> int:
    """Hide rows that the rules leave out and show the others again, when rules or roots are not those of the last time.

    `visible` takes the root's path and the file's. Returns how many rows changed. Reads every row.
    """
    # While a root is not configured, its rows do not follow the rules.
    applied = f"{fingerprint} {sorted(root.path for root in tx.roots.values() if root.configured)}"
    if get_state(tx.connection, "rules") == applied:
        return 0
    changed = []
    for file_id, root, path, hidden in tx.connection.execute(
        "SELECT f.id, r.path, CAST(d.path || f.name AS BLOB), f.hidden FROM media_files AS f "
        "JOIN directories AS d ON d.id = f.directory_id JOIN roots AS r ON r.id = d.root_id WHERE r.configured"
    ):
        if hidden == visible(root, path):
            changed.append((not hidden, file_id))
    tx.connection.executemany("UPDATE media_files SET hidden = ? WHERE id = ?", changed)
    # Nobody looks again at a folder that is ignored now, and the others are found absent anew by the walk that follows.
    tx.connection.execute("UPDATE directories SET absent_ns = NULL WHERE absent_ns IS NOT NULL AND NOT gone")
    tx.directories.clear()
    if changed:
        for root_id in tx.roots:
            tx.totals.recount(tx.connection, root_id)
    set_state(tx.connection, "rules", applied)
    return len(changed)


def _reload(tx: Transaction) -> None:
    tx.roots.clear()
    tx.roots.update(load_roots(tx.connection))
