"""The catalog as the queue: which rows the workers may have now. Read only."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog.reach import within_reach
from mediawatchd.model import ASKED, LIVE, PHASH, PROBE, QUICK_HASH, WALKED, Stamp, Task

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection

    from mediawatchd.model import Away

# Each kind has a partial index of the rows that lack it, in the order of the queue. A probe waits for the quick hash,
# and what is wanted of a video waits for both.
# What is held is not there to be read.
_LACKING = {
    QUICK_HASH: "f.lacks & 1 = 1 AND f.missing_since IS NULL AND NOT f.hidden AND NOT f.held",
    PROBE: "f.lacks & 3 = 2 AND f.missing_since IS NULL AND NOT f.hidden AND NOT f.held",
    PHASH: "f.wanted <> 0 AND f.lacks & 3 = 0 AND f.missing_since IS NULL AND NOT f.hidden AND NOT f.held",
}
# What a task lacks: of the perceptual hashes what is wanted. A probe may be had together with these.
_LACKS = {QUICK_HASH: "f.lacks & 1", PROBE: "f.lacks & 2 | f.wanted", PHASH: "f.wanted"}
_INDEX = {QUICK_HASH: "media_files_unhashed", PROBE: "media_files_unprobed", PHASH: "media_files_wanted"}
PRIORITIES = (LIVE, WALKED, ASKED)


class Cursor(NamedTuple):
    """How far rows of one priority were offered, in the order of the queue."""

    due_ns: int = -1
    file_id: int = 0


class Wanted(NamedTuple):
    """Which rows may be offered: at most `limit`, of roots that are `online` and of no file system
    that is `away` or `saturated`."""

    online: frozenset[int]
    saturated: frozenset[int]
    limit: int
    away: Collection[Away] = ()


START = Cursor()
NONE = frozenset([-1])


def to_be_tried(kind: int) -> str:
    """The condition on a file `f` that lacks `kind`: it has met no problem with that, or somebody asked for another
    attempt since; else it waits to be tried again later."""
    return f"(coalesce(f.problem_lacks, 0) & {kind} = 0 OR f.attempts = 0)"


def due(
    connection: sqlite3.Connection, kind: int, priority: int, wanted: Wanted, *, after: Cursor, now_ns: int
) -> tuple[list[Task], Cursor]:
    """The next rows of a priority that lack `kind` and are due, and where the last of them stands in the queue."""
    rows = connection.execute(
        "SELECT f.id, CAST(d.path || f.name AS BLOB), f.size, f.mtime_ns, f.ctime_ns, f.inode, f.links, "
        f"f.media_type, {_LACKS[kind]}, d.root_id, d.filesystem_id, f.due_ns "
        f"FROM media_files AS f INDEXED BY {_INDEX[kind]} JOIN directories AS d ON d.id = f.directory_id "
        f"WHERE {_LACKING[kind]} AND f.priority = ? AND f.due_ns <= ? AND (f.due_ns, f.id) > (?, ?) "
        f"AND {within_reach(wanted.online, wanted.away)} "
        f"AND coalesce(d.filesystem_id, 0) NOT IN ({_list(wanted.saturated or NONE)}) "
        "ORDER BY f.due_ns, f.id LIMIT ?",
        (priority, now_ns, *after, wanted.limit),
    ).fetchall()
    tasks = [
        Task(row[0], row[1], Stamp._make(row[2:7]), row[7], row[8], row[9] or 0, row[10] or 0, priority) for row in rows
    ]
    return tasks, Cursor(rows[-1][11], rows[-1][0]) if rows else after


def next_due_ns(connection: sqlite3.Connection, now_ns: int) -> int | None:
    """When the next row that is not due yet will be; None when none waits."""
    times = [
        connection.execute(
            f"SELECT min(f.due_ns) FROM media_files AS f INDEXED BY {_INDEX[kind]} "
            f"WHERE {lacking} AND f.priority = ? AND f.due_ns > ?",
            (priority, now_ns),
        ).fetchone()[0]
        for kind, lacking in _LACKING.items()
        for priority in PRIORITIES
    ]
    return min((time for time in times if time is not None), default=None)


def ahead(connection: sqlite3.Connection, kind: int, priority: int, after: Cursor, now_ns: int, *, look_at: int) -> int:
    """How many rows that lack `kind` and are due stand before a row of a priority, up to `look_at`."""
    earlier = [each for each in PRIORITIES if each < priority]
    of = f"SELECT 1 FROM media_files AS f INDEXED BY {_INDEX[kind]} WHERE {_LACKING[kind]} AND f.priority = ?"
    queries = [*(f"{of} AND f.due_ns <= ?" for _ in earlier), f"{of} AND (f.due_ns, f.id) < (?, ?)"]
    values = [*(value for each in earlier for value in (each, now_ns)), priority, *after]
    count: int = connection.execute(
        f"SELECT count(*) FROM ({' UNION ALL '.join(queries)} LIMIT ?)", (*values, look_at)
    ).fetchone()[0]
    return count


def settling(connection: sqlite3.Connection, now_ns: int, *, look_at: int = -1) -> int:
    """How many files are waited for to be left alone; among the first `look_at` that are not due yet, if given."""
    count: int = connection.execute(
        "SELECT count(*) FROM (SELECT f.problem_lacks AS problem_lacks "
        f"FROM media_files AS f INDEXED BY {_INDEX[QUICK_HASH]} "
        f"WHERE {_LACKING[QUICK_HASH]} AND f.priority IN (0, 1, 2) AND f.due_ns > ? LIMIT ?) "
        "WHERE coalesce(problem_lacks, 0) & 1 = 0",
        (now_ns, look_at),
    ).fetchone()[0]
    return count


def _list(ids: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(ids))) or "NULL"
