"""The one thread that writes the catalog.

Messages (reports, moves, outcomes, calls) are applied in batches, one transaction each. When the disk is full or
the database is locked, the batch is kept and tried again, and whoever has more to say waits. An item that cannot be
applied is dropped with its reason in the log; it never ends the thread, and the next walk sees its file again.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from mediawatchd.catalog import outcomes
from mediawatchd.catalog.connection import is_corrupt
from mediawatchd.catalog.directories import Directories
from mediawatchd.catalog.inbox import Inbox
from mediawatchd.catalog.moving import apply_moves
from mediawatchd.catalog.observing import Observing
from mediawatchd.catalog.roots import load_roots
from mediawatchd.catalog.totals import Totals
from mediawatchd.catalog.transaction import Look, Policy, Transaction, get_state
from mediawatchd.errors import Refused
from mediawatchd.telemetry.durations import DurationCounts, Durations

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mediawatchd.catalog.clock import CatalogClock
    from mediawatchd.catalog.database import Database
    from mediawatchd.model import Away, DirectoryMove, Event, Outcome, Report
    from mediawatchd.telemetry.heartbeat import Heartbeat

log = logging.getLogger(__name__)

T = TypeVar("T")

BATCH = 1_000
LINGER_SECONDS = 0.05
CAPACITY = 20_000
CHECKPOINT_SECONDS = 60.0
WRITE_SECONDS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
"""The buckets of transactions: one of a thousand rows takes 10 to 50 ms."""
PASSING = frozenset(
    [
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    ]
)
"""What a disk or another program does to the catalog, and may undo; any other error is one of ours."""
ASK_SECONDS = 30.0
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Committed(NamedTuple):
    """What a committed batch means for others; handed over on the writer thread. `outcomes`: those that were taken,
    whatever became of them."""

    events: Sequence[Event]
    looks: Sequence[Look]
    outcomes: Sequence[Outcome]


@dataclass(frozen=True, slots=True)
class WriterStatistics:
    """A snapshot. `oldest`: since when the oldest message waits, on the monotonic clock. `waits`: how long batches
    took from the first try to their commit, `writes` the transactions that were committed. `failures` by bit of `lacks`
    and reason, `walks` by root and result.
    """

    queued: int
    capacity: int
    oldest: float | None
    waits: DurationCounts
    writes: DurationCounts
    discovered: int
    results: Mapping[str, int]
    failures: Mapping[tuple[int, str], int]
    walks: Mapping[tuple[int, str], int]
    hashed_bytes: int
    dropped: int
    trouble: str | None


class _Call(Generic[T]):
    def __init__(self, function: Callable[[Transaction], T]) -> None:
        self.function = function
        self.result: T
        self.future: Future[T] = Future()
        self.is_begun = False


class _Reports(NamedTuple):
    reports: Sequence[Report]


class _Outcomes(NamedTuple):
    outcomes: Sequence[Outcome]


_Message = _Call[Any] | _Reports | _Outcomes


class Writer:
    """Thread `writer`; owns the writing connection, the totals and the cache of directories."""

    def __init__(
        self,
        *,
        database: Database,
        clock: CatalogClock,
        policy: Policy,
        heart: Heartbeat,
        mounts_unchanged: Callable[[int, bytes], bool],
        online: Callable[[], frozenset[int]],
        away: Callable[[], frozenset[Away]],
        listened: Callable[[], bool],
        committed: Callable[[Committed], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._heart = heart
        self._online = online
        self._away = away
        self._listened = listened
        self._committed = committed
        self._inbox: Inbox[_Message] = Inbox(capacity=CAPACITY)
        self._observing = Observing(mounts_unchanged=mounts_unchanged)
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._stopping = threading.Event()
        self._policy = policy
        self._loaded = False
        self._waits = Durations()
        self._writes = Durations(WRITE_SECONDS)
        self._lock = threading.Lock()
        # Guarded by _lock:
        self._discovered = 0
        self._results: Counter[str] = Counter()
        self._failures: Counter[tuple[int, str]] = Counter()
        self._walks: Counter[tuple[int, str]] = Counter()
        self._hashed_bytes = 0
        self._dropped = 0
        self._trouble: str | None = None

    def start(self) -> None:
        self._connection = self._database.writer()
        self._directories = Directories(self._connection)
        self._totals = Totals()
        self._load()
        seq = get_state(self._connection, "event_seq")
        self._seq = seq if isinstance(seq, int) else 0
        self._thread.start()

    def stop(self, timeout_seconds: float) -> bool:
        """Write what is queued and end; False when that took longer than the time-out."""
        self._inbox.close()
        self._thread.join(timeout_seconds / 2)
        self._stopping.set()  # a batch that waits for a full disk is given up; its files are found again
        self._thread.join(timeout_seconds / 2)
        return not self._thread.is_alive()

    def reports(self, reports: Sequence[Report]) -> None:
        """Hand over the facts of some looks, decided together. Blocks while the writer is behind."""
        weight = sum(1 + len(report.found) + len(report.absent) for report in reports)
        self._inbox.put(_Reports(reports), weight)

    def moves(self, moves: Sequence[DirectoryMove]) -> Future[None]:
        """Hand over directory moves; the future is done when they are committed."""
        return self.call(lambda tx: apply_moves(tx, moves))

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Hand over what workers found. Blocks while the writer is behind."""
        self._inbox.put(_Outcomes(outcomes), len(outcomes))

    def call(self, function: Callable[[Transaction], T]) -> Future[T]:
        """Run a function inside the next transaction; its result or exception comes after the commit."""
        call = _Call(function)
        if not self._inbox.put(call, 1, urgent=True):
            call.future.set_exception(RuntimeError("the writer has ended"))
        return call.future

    def ask(self, function: Callable[[Transaction], T], timeout_seconds: float = ASK_SECONDS) -> T:
        """Run a function in the next transaction for somebody who waits.

        Raises Refused, 503, when that cannot begin in time; then it is not done later either.
        """
        future = self.call(function)
        try:
            return future.result(timeout_seconds)
        except TimeoutError:
            if not future.cancel():
                return future.result()  # it is being done at this moment
        raise Refused(
            503,
            "catalog_busy",
            self.statistics().trouble or "the catalog has too much to write",
            hint="Nothing was changed; try again when `mediawatchctl status` shows that it can be written.",
        )

    def set_policy(self, policy: Policy) -> None:
        self._policy = policy

    def statistics(self) -> WriterStatistics:
        queued, capacity, oldest = self._inbox.statistics()
        with self._lock:
            return WriterStatistics(
                queued=queued,
                capacity=capacity,
                oldest=oldest,
                waits=self._waits.counts(),
                writes=self._writes.counts(),
                discovered=self._discovered,
                results=dict(self._results),
                failures=dict(self._failures),
                walks=dict(self._walks),
                hashed_bytes=self._hashed_bytes,
                dropped=self._dropped,
                trouble=self._trouble,
            )

    def _run(self) -> None:
        checkpoint_due: float | None = None
        while True:
            wait = None if checkpoint_due is None else max(0.0, checkpoint_due - time.monotonic())
            with self._heart.idle():
                batch = self._inbox.take(weight=BATCH, linger_seconds=LINGER_SECONDS, timeout_seconds=wait)
            if batch is None:
                break
            if batch:
                self._write(batch)
                checkpoint_due = checkpoint_due or time.monotonic() + CHECKPOINT_SECONDS
            if checkpoint_due is not None and time.monotonic() >= checkpoint_due:
                checkpoint_due = None if self._checkpoint() else time.monotonic() + CHECKPOINT_SECONDS

    def _checkpoint(self) -> bool:
        """Bring what was committed into the database file; False when that is to be tried again."""
        try:
            return self._database.checkpoint(self._connection)
        except sqlite3.Error as error:
            if is_corrupt(error):
                self._database.suspect()
                raise
            log.error("The catalog's journal could not be emptied, trying again error=%s", error)
            return False

    def _write(self, batch: Sequence[_Message]) -> None:
        """Commit a batch, waiting for a disk or a lock if need be; fall back to one message at a time."""
        began = time.monotonic()
        for attempt in count():
            trouble = self._try_to_commit(batch)
            if trouble is None:
                self._waits.add([time.monotonic() - began])
                return
            if is_corrupt(trouble):
                # Nothing more can be trusted: the next start checks every page, and rebuilds what is damaged.
                self._database.suspect()
                raise trouble
            if not isinstance(trouble, sqlite3.Error) or trouble.sqlite_errorcode & 0xFF not in PASSING:
                self._write_parts(batch, trouble)
                return
            if not self._wait_to_retry(attempt, trouble):
                for message in batch:
                    if isinstance(message, _Call) and not message.future.cancelled():
                        message.future.set_exception(trouble)
                return

    def _try_to_commit(self, batch: Sequence[_Message]) -> Exception | None:
        try:
            tx = self._commit(batch)
        except Exception as error:  # noqa: BLE001 - an item that cannot be applied must not end the thread
            return error
        # It is committed: what fails from here on is no reason to apply the batch again, and ends the thread.
        self._seq = tx.seq
        self._observing.committed(tx)
        self._committed(Committed(tx.events, tx.looks, tx.outcomes))
        for message in batch:
            if isinstance(message, _Call) and message.is_begun:
                message.future.set_result(message.result)
        return None

    def _write_parts(self, batch: Sequence[_Message], error: Exception) -> None:
        """Something in the batch cannot be applied: find out what, write the rest."""
        parts = batch if len(batch) > 1 else _parts(batch[0])
        for part in parts:
            self._write([part])
        if not parts:
            self._drop(batch[0], error)

    def _commit(self, batch: Sequence[_Message]) -> Transaction:
        started = time.monotonic()
        if not self._loaded:
            self._load()
        tx = Transaction(
            connection=self._connection,
            totals=self._totals,
            directories=self._directories,
            roots=self._roots,
            policy=self._policy,
            now_ns=self._clock.now_ns(),
            time=time.time(),
            seq=self._seq,
            listened=self._listened(),
            online=self._online(),
            away=self._away(),
        )
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for message in batch:
                self._apply(tx, message)
            tx.finish()
            self._connection.execute("COMMIT")
        except BaseException:
            self._loaded = False
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self._count(tx, time.monotonic() - started)
        return tx

    def _load(self) -> None:
        """Take what is committed: at the start, and in place of what a batch has left that was rolled back."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._directories.clear()
        self._totals.load(self._connection)
        self._roots = load_roots(self._connection)
        self._loaded = True

    def _apply(self, tx: Transaction, message: _Message) -> None:
        if isinstance(message, _Reports):
            self._observing.apply(tx, message.reports)
        elif isinstance(message, _Outcomes):
            outcomes.apply(tx, message.outcomes)
        else:
            # Who asked may have gone; once begun, a call is tried until it is done.
            if not message.is_begun and not message.future.set_running_or_notify_cancel():
                return
            message.is_begun = True
            message.result = message.function(tx)

    def _wait_to_retry(self, attempt: int, error: sqlite3.Error) -> bool:
        """Wait a while; False when the daemon stops meanwhile."""
        trouble = f"the catalog cannot be written: {error}"
        with self._lock:
            known, self._trouble = self._trouble, trouble
        if known != trouble:
            log.error("The catalog cannot be written, trying again until it can error=%s", error)
        with self._heart.idle():
            return not self._stopping.wait(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)])

    def _drop(self, message: _Message, error: Exception) -> None:
        if isinstance(message, _Call):
            message.future.set_exception(error)
            return
        log.error("An item could not be written and was dropped item=%.500r", message, exc_info=error)
        with self._lock:
            self._dropped += 1
        if isinstance(message, _Outcomes):
            self._committed(Committed((), (), message.outcomes))

    def _count(self, tx: Transaction, seconds: float) -> None:
        self._writes.add([seconds])
        with self._lock:
            if self._trouble is not None:
                log.warning("The catalog can be written again")
            self._trouble = None
            self._discovered += tx.discovered
            self._hashed_bytes += tx.hashed_bytes
            self._results.update(tx.results)
            self._failures.update(tx.failures)
            self._walks.update(tx.walks)


def _parts(message: _Message) -> list[_Message]:
    """A message cut into messages of one item each; empty when it cannot be cut."""
    if isinstance(message, _Outcomes) and len(message.outcomes) > 1:
        return [_Outcomes([outcome]) for outcome in message.outcomes]
    if isinstance(message, _Reports) and len(message.reports) > 1:
        return [_Reports([report]) for report in message.reports]
    if isinstance(message, _Reports):
        report = message.reports[0]
        items = len(report.found) + len(report.absent) + len(report.absent_directories)
        if items > 1:
            empty = report._replace(found=(), absent=(), absent_directories=())
            return [
                *(_Reports([empty._replace(found=(found,))]) for found in report.found),
                *(_Reports([empty._replace(absent=(name,))]) for name in report.absent),
                *(_Reports([empty._replace(absent_directories=(path,))]) for path in report.absent_directories),
            ]
    return []
