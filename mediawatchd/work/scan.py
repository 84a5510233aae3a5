"""A scan: the walk of some folders, and the quick hashes of what it found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mediawatchd.catalog import jobs as rows
from mediawatchd.catalog.outcomes import ask_again
from mediawatchd.work.jobs import POLL_SECONDS, JobFailed

if TYPE_CHECKING:
    import sqlite3
    import threading
    from collections.abc import Callable, Collection, Sequence

    from mediawatchd.catalog.database import Database
    from mediawatchd.catalog.jobs import JobRow, Scope
    from mediawatchd.catalog.writer import Writer
    from mediawatchd.model import Away


class Walked(Protocol):
    @property
    def current(self) -> bytes: ...


class Walk(Protocol):
    """A walk that was asked for: see `watching.walks.WalkRequest`."""

    @property
    def done(self) -> threading.Event: ...
    @property
    def error(self) -> str | None: ...
    @property
    def walked(self) -> Walked: ...


class Scan:
    """The errand of one job; owned by its thread. Cancelled, what it has found is hashed in the background."""

    def __init__(
        self,
        row: JobRow,
        cancelled: threading.Event,
        *,
        database: Database,
        writer: Writer,
        within_reach: Callable[[], frozenset[int]],
        away: Callable[[], Collection[Away]],
        walk: Callable[[Scope, Callable[[], bool]], Sequence[Walk]],
        current_file: Callable[[], bytes | None],
    ) -> None:
        self._row = row
        self._cancelled = cancelled
        self._database = database
        self._writer = writer
        self._within_reach = within_reach
        self._away = away
        self._walk = walk
        self._current_file = current_file
        self._walks: Sequence[Walk] = ()

    def begin(self) -> str | None:
        """Walk the scope."""
        scope = self._row.scope
        with self._database.reader() as connection:
            troubled = rows.problems(connection, scope)
        if troubled:
            self._writer.call(lambda tx: ask_again(tx, troubled)).result()
        self._walks = self._walk(scope, self._cancelled.is_set)
        for walk in self._walks:
            while not walk.done.wait(POLL_SECONDS):
                if self._cancelled.is_set():
                    return None
        errors = [walk.error for walk in self._walks if walk.error is not None]
        if len(errors) == len(self._walks):
            raise JobFailed("; ".join(errors) or "its folders lie in no configured root any more")
        return "; ".join(errors) or None

    def tally(self, connection: sqlite3.Connection, fact_ns: int) -> rows.Tally:
        """Count the files of the scope."""
        reached, away = self._within_reach(), self._away()
        return rows.tally(connection, self._row.scope, reached, away, since=self._row.started, fact_ns=fact_ns)

    def current_file(self) -> bytes | None:
        """The folder that is walked, or the file that is read."""
        walking = next((walk.walked.current for walk in self._walks if not walk.done.is_set()), None)
        return walking or self._current_file()

    def cancel(self) -> None:
        """The walks ask by themselves."""

    def finish(self) -> None:
        """Nothing is left of it."""
