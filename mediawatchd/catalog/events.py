"""The history as a list: what happened, to which path, in the order in which it was committed.

Runs on the thread of whoever asks, with a read-only connection that is lent for one page. The history of a path is
that of the path, whatever file stood there, and that of what stands there now under the names it had before. A folder
that moved is one event, not one a file, so each name of a file may also have come with a folder on the way to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mediawatchd.catalog.browse import ROWS_AT_ONCE, path_fields
from mediawatchd.catalog.directories import below
from mediawatchd.model import MAX_INTEGER, SANE_TIME, Event
from mediawatchd.paths import unslashed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Iterator

    from mediawatchd.catalog.browse import Reader
    from mediawatchd.catalog.transaction import Transaction


MOST_NAMES = 50
"""How many earlier names of one path are followed; SQLite takes 500 parts of a query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Which events: those after number `since` and not before the Unix time `since_time`, all of them or those of
    `path`, of everything below it, and of its earlier names."""

    path: bytes | None = None
    since: int = 0
    since_time: float | None = None
    newest_first: bool = False


def history(
    connection: sqlite3.Connection, period: Period, *, limit: int, after: int | None
) -> tuple[list[dict[str, Any]], int | None]:
    """At most `limit` events beyond number `after`, and the number to go on from, None when these were the last."""
    conditions: list[str] = ["seq > ?"]
    values: list[Any] = [period.since]
    if period.since_time is not None:
        conditions.append("time >= ?")
        values.append(period.since_time)
    if after is not None:
        conditions.append("seq < ?" if period.newest_first else "seq > ?")
        values.append(after)
    if period.path is not None:
        clause, bound = _of_path(connection, period.path)
        conditions.append(clause)
        values += bound
    cursor = connection.execute(
        f"SELECT seq, time, event, path, former, detail FROM history WHERE {' AND '.join(conditions)} "
        f"ORDER BY seq {'DESC' if period.newest_first else 'ASC'} LIMIT ?",
        [*values, limit + 1],
    )
    events = [Event(*row) for row in cursor]
    more = len(events) > limit
    del events[limit:]
    return [event_fields(event) for event in events], events[-1].seq if more else None


def stream(reader: Reader, period: Period, *, limit: int | None, after: int | None) -> Generator[list[dict[str, Any]]]:
    """All events of the period, or the first `limit`, in lists; no transaction is open between two of them."""
    while True:
        wanted = ROWS_AT_ONCE if limit is None else min(limit, ROWS_AT_ONCE)
        with reader() as connection:
            events, after = history(connection, period, limit=wanted, after=after)
        yield events
        limit = None if limit is None else limit - wanted
        if after is None or limit == 0:
            return


def event_fields(event: Event) -> dict[str, Any]:
    """An event as a line of the history or of the event stream."""
    return {
        "seq": event.seq,
        "time": event.time,
        "event": event.event,
        **path_fields("path", event.path),
        **path_fields("from", event.former),
        "detail": event.detail,
    }


def _of_path(connection: sqlite3.Connection, path: bytes) -> tuple[str, list[Any]]:
    """SQL for the events of a path, of all below it, and of the names that it had before."""
    exact = unslashed(path)
    clauses: list[tuple[str, list[Any]]] = [
        ("former = ?", [exact]),
        ("former >= ? AND former < ?", [*below(_folder(exact))]),
        *(("former = ?", [folder]) for folder in _folders_above(exact)),
    ]
    for name, until in [(exact, MAX_INTEGER), *_former_names(connection, exact)]:
        clauses += [
            ("path = ? AND seq <= ?", [name, until]),
            ("path >= ? AND path < ? AND seq <= ?", [*below(_folder(name)), until]),
            *(("path = ? AND event = 'moved' AND seq <= ?", [folder, until]) for folder in _folders_above(name)),
        ]
    union = " UNION ALL ".join(f"SELECT seq FROM history WHERE {clause}" for clause, _ in clauses)
    return f"seq IN ({union})", [value for _, values in clauses for value in values]


def _former_names(connection: sqlite3.Connection, path: bytes) -> Iterator[tuple[bytes, int]]:
    """The names that what is at `path` had before, newest first, each with the number of the event that ended it."""
    before = MAX_INTEGER
    for _ in range(MOST_NAMES):
        ways = [path, _folder(path), *_folders_above(path)]
        row = connection.execute(
            "SELECT seq, event, path, former FROM history INDEXED BY history_path "
            f"WHERE path IN ({', '.join('?' * len(ways))}) AND seq < ? "
            "AND (event = 'moved' OR event = 'added' AND path = ?) ORDER BY seq DESC LIMIT 1",
            [*ways, before, path],
        ).fetchone()
        if row is None or row[1] == "added":
            return
        before, _, moved, former = row
        path = former.rstrip(b"/") + path[len(moved.rstrip(b"/")) :]
        yield path, before


def _folder(path: bytes) -> bytes:
    return path.rstrip(b"/") + b"/"


def _folders_above(path: bytes) -> list[bytes]:
    return [path[: end + 1] for end, byte in enumerate(path) if byte == 47 and 0 < end < len(path) - 1]


def forget_before(tx: Transaction, time: float) -> None:
    """Delete the history before a Unix time; on the writer's thread.

    What was told while the clock was wrong is as old as what was told around it: nothing goes that came after
    something of late.
    """
    tx.connection.execute(
        "DELETE FROM history WHERE seq <= (SELECT max(seq) FROM history WHERE time >= ? AND time < ? "
        "AND seq < coalesce((SELECT min(seq) FROM history WHERE time >= ?), ?))",
        (SANE_TIME, time, time, MAX_INTEGER),
    )
