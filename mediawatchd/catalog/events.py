"""The history as a list: what happened, to which path, in the order in which it was committed.

Runs on the thread of whoever asks, with a read-only connection that is lent for one page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mediawatchd.catalog.browse import ROWS_AT_ONCE, path_fields
from mediawatchd.model import Event

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator

    from mediawatchd.catalog.browse import Reader
    from mediawatchd.catalog.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Which events: those after number `since`, all of them or those of `path` and of everything below it."""

    path: bytes | None = None
    since: int = 0
    newest_first: bool = False


def history(
    connection: sqlite3.Connection, period: Period, *, limit: int, after: int | None
) -> tuple[list[dict[str, Any]], int | None]:
    """At most `limit` events beyond number `after`, and the number to go on from, None when these were the last."""
    conditions, values = ["seq > ?"], [period.since]
    if after is not None:
        conditions.append("seq < ?" if period.newest_first else "seq > ?")
        values.append(after)
    source, bound = _source(period.path)
    cursor = connection.execute(
        f"SELECT seq, time, event, path, former, detail FROM {source} WHERE {' AND '.join(conditions)} "
        f"ORDER BY seq {'DESC' if period.newest_first else 'ASC'} LIMIT ?",
        [*bound, *values, limit + 1],
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


def _source(path: bytes | None) -> tuple[str, list[Any]]:
    if path is None:
        return "history", []
    exact = path.rstrip(b"/") or b"/"
    folder = exact.rstrip(b"/") + b"/"
    return (
        "(SELECT * FROM history WHERE path = ? UNION ALL SELECT * FROM history WHERE path >= ? AND path < ?)",
        [exact, folder, folder[:-1] + b"0"],
    )


def forget_before(tx: Transaction, time: float) -> None:
    """Delete the history before a Unix time; on the writer's thread."""
    tx.connection.execute("DELETE FROM history WHERE time < ?", (time,))
