"""A phash run: perceptual hashes and fingerprints of the videos in some folders, or of some files.

What it is to do is written to the rows, in pieces, and the feeder takes it from there; so a crash loses nothing, and
a cancel is to take it back from them. `Standing` does the same for what the configuration wants of every video.
"""

from __future__ import annotations

import math
import threading
from functools import partial
from typing import TYPE_CHECKING

from mediawatchd.catalog import wanting
from mediawatchd.catalog.jobs import covers
from mediawatchd.catalog.roots import load_roots
from mediawatchd.catalog.transaction import get_state, set_state
from mediawatchd.paths import printable
from mediawatchd.work.jobs import JobFailed

if TYPE_CHECKING:
    import sqlite3
    from array import array
    from collections.abc import Callable, Collection, Sequence

    from mediawatchd.catalog.database import Database
    from mediawatchd.catalog.jobs import JobRow, Tally
    from mediawatchd.catalog.transaction import Policy, Transaction
    from mediawatchd.catalog.writer import Writer
    from mediawatchd.model import Away, Task

AT_ONCE = 1_000
"""Rows in one piece: 60 ms of the writer's time."""


class PhashRun:
    """The errand of one job; owned by its thread."""

    def __init__(
        self,
        row: JobRow,
        cancelled: threading.Event,
        *,
        database: Database,
        writer: Writer,
        policy: Callable[[], Policy],
        within_reach: Callable[[], frozenset[int]],
        away: Callable[[], Collection[Away]],
        withdraw: Callable[[Callable[[Task], bool]], None],
        current_file: Callable[[], bytes | None],
    ) -> None:
        self._row = row
        self._cancelled = cancelled
        self._database = database
        self._writer = writer
        self._policy = policy
        self._within_reach = within_reach
        self._away = away
        self._withdraw = withdraw
        self._current_file = current_file

    def begin(self) -> str | None:
        """Ask for everything in the scope that is not finished; forced, for everything that the job itself has not."""
        row = self._row
        unreached = self._unreached()
        since = (math.inf if row.state == "queued" else row.started) if row.force else None
        with self._database.reader() as connection:
            ids = wanting.unfinished(connection, row.scope, self._policy().phash, since=since)
        _in_pieces(self._writer, ids, lambda tx, some: wanting.ask(tx, some, again=row.force), self._cancelled)
        return unreached

    def tally(self, connection: sqlite3.Connection, fact_ns: int) -> Tally:
        """Count the videos of the scope."""
        reached, away = self._within_reach(), self._away()
        return wanting.tally(connection, self._row.scope, reached, away, since=self._row.started, fact_ns=fact_ns)

    def current_file(self) -> bytes | None:
        """A video that is being decoded."""
        return self._current_file()

    def cancel(self) -> None:
        """Kill what is decoded for it. What the configuration wants too goes on in the background."""
        if not self._policy().phash_all:
            self._withdraw(lambda task: covers(self._row.scope, task.path))

    def finish(self) -> None:
        """What is still wanted for it alone is not any more: what failed or went away, and what a cancel left."""
        with self._database.reader() as connection:
            ids = wanting.wanted(connection)
        # The feeder may have offered some of it meanwhile: what comes next is let go of first.
        for some in (ids[:AT_ONCE], ids[AT_ONCE:]):
            _in_pieces(self._writer, some, partial(wanting.let_go, ended=self._row.id), threading.Event())
            if self._cancelled.is_set():
                self.cancel()

    def _unreached(self) -> str | None:
        """Which roots of the scope are not there. Raises JobFailed when all are."""
        with self._database.reader() as connection:
            roots = [root for root in load_roots(connection).values() if root.configured]
        concerned = [root for root in roots if any(path.startswith(root.path) for path in self._row.scope)]
        reached = self._within_reach()
        errors = [
            f"{printable(root.path.rstrip(b'/') or b'/')} is not online" for root in concerned if root.id not in reached
        ]
        if len(errors) == len(concerned):
            raise JobFailed("; ".join(errors) or "it lies in no configured root any more")
        return "; ".join(errors) or None


class Standing:
    """Thread `standing`, while there is something to write: what the configuration wants of the videos known already.

    New videos are wanted as their rows are made. `apply` is called at the start and after a reload, not at once by two.
    """

    def __init__(
        self, *, database: Database, writer: Writer, withdraw: Callable[[Callable[[Task], bool]], None]
    ) -> None:
        self._database = database
        self._writer = writer
        self._withdraw = withdraw
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def apply(self, policy: Policy) -> None:
        """Bring the rows in line with a policy that the writer has already."""
        self.stop(math.inf)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(policy,), name="standing", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float) -> bool:
        """What is not done yet is done after the next start."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(None if math.isinf(timeout_seconds) else timeout_seconds)
        return self._thread is None or not self._thread.is_alive()

    def _run(self, policy: Policy) -> None:
        applied = f"{policy.phash} {policy.phash_all}"
        with self._database.reader() as connection:
            if get_state(connection, "phash") == applied:
                return
            wanted = wanting.wanted(connection)
        if not _in_pieces(self._writer, wanted, wanting.let_go, self._stopped):
            return
        if policy.phash_all:
            with self._database.reader() as connection:
                lacking = wanting.lacking(connection, policy.phash)
            if not _in_pieces(self._writer, lacking, wanting.want, self._stopped):
                return
        else:
            self._withdraw(lambda _task: True)
        self._writer.call(lambda tx: set_state(tx.connection, "phash", applied)).result()


def _in_pieces(
    writer: Writer, ids: array[int], change: Callable[[Transaction, Sequence[int]], None], stopped: threading.Event
) -> bool:
    """Change rows in transactions of their own, between which others get their turn; False when stopped."""
    for start in range(0, len(ids), AT_ONCE):
        if stopped.is_set():
            return False
        writer.call(_piece(change, ids[start : start + AT_ONCE])).result()
    return not stopped.is_set()


def _piece(change: Callable[[Transaction, Sequence[int]], None], some: Sequence[int]) -> Callable[[Transaction], None]:
    return lambda tx: change(tx, some)
