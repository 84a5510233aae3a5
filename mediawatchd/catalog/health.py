"""What can be said of the catalog's health without disturbing who writes: read only, each question with a time limit.

Runs on the thread of whoever asks.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_STEPS = 10_000
"""Instructions of SQLite between two looks at the clock: less than a millisecond."""


class Health(NamedTuple):
    """`damage`: what the check of the pages found. What took longer than its time is None, or `is_partial`."""

    damage: str | None
    is_partial: bool
    directories: int
    problems: dict[str, int]
    future_files: int | None
    last_event: float | None


def examine(connection: sqlite3.Connection, *, now: float, limit_seconds: float) -> Health:
    """Look through the catalog; `now` in Unix seconds. Takes twice `limit_seconds` at most."""
    with _limit(connection, limit_seconds):
        try:
            pages = _rows(connection, "PRAGMA quick_check(1)")
        except sqlite3.DatabaseError as error:
            pages = [(str(error),)]
    if pages not in (None, [("ok",)]):
        return Health(str(pages[0][0]), False, 0, {}, None, None)
    with _limit(connection, limit_seconds):
        directories = _rows(
            connection,
            "SELECT count(*) FROM directories AS d JOIN roots AS r ON r.id = d.root_id "
            "WHERE r.configured AND NOT d.gone",
        )
        last = _rows(connection, "SELECT time FROM history ORDER BY seq DESC LIMIT 1")
        problems = _rows(
            connection,
            "SELECT problem_reason, count(*) FROM media_files WHERE problem IS NOT NULL AND missing_since IS NULL "
            "AND NOT hidden GROUP BY problem_reason",
        )
        future = _rows(
            connection,
            "SELECT count(*) FROM media_files WHERE mtime_ns > ? AND missing_since IS NULL AND NOT hidden",
            round((now + 86_400) * 1e9),
        )
    return Health(
        damage=None,
        is_partial=pages is None,
        directories=_first(directories) or 0,
        problems={str(reason): int(count) for reason, count in problems or ()},
        future_files=_first(future),
        last_event=float(last[0][0]) if last else None,
    )


@contextmanager
def _limit(connection: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """What is asked meanwhile is interrupted after so many seconds."""
    deadline = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


def _rows(connection: sqlite3.Connection, sql: str, *values: object) -> list[tuple[Any, ...]] | None:
    """None when the time is over."""
    try:
        return connection.execute(sql, values).fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            return None
        raise


def _first(rows: list[tuple[Any, ...]] | None) -> int | None:
    return int(rows[0][0]) if rows else None
