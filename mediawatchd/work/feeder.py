"""Fills the work queues from the catalog: what lacks something, is due, and lies on a root that is online.

One thread. It sleeps until a commit, a change of a root, or the next due time wakes it, and keeps nothing but how far
it has come. From the end of what is due it starts over, for what has come behind it meanwhile, and the queues refuse
what they hold already; to read that again at every commit would cost more than all else, so it waits a moment.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediawatchd.catalog import offers
from mediawatchd.model import MAX_INTEGER, SECOND

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Mapping

    from mediawatchd.catalog.clock import CatalogClock
    from mediawatchd.catalog.database import Database
    from mediawatchd.catalog.offers import Cursor
    from mediawatchd.model import Away
    from mediawatchd.telemetry.heartbeat import Heartbeat
    from mediawatchd.work.queue import WorkQueue

FEWEST = 64
"""A queue with less room than this is not filled up yet: one query for many rows is cheaper."""
START_OVER_NS = SECOND
"""How long what is due is not read from its start again while the queue still holds something."""
SHARE = 50
"""A search that found too little is not made again before so many times its own time: it may have looked at a million
rows of file systems that have their part of the queue, or of roots that are away."""


@dataclass(slots=True)
class _Pass:
    """Over what is due of one kind and priority; `wakes` is how often the feeder had been woken when it began.

    `searched`: it found all that is not of saturated file systems. `cost_ns` is its longest search that came short.
    """

    began_ns: int = 0
    wakes: int = 0
    cursor: Cursor = offers.START
    searched: bool = False
    cost_ns: int = 0

    def start_over_ns(self) -> int:
        return self.began_ns + max(START_OVER_NS, SHARE * self.cost_ns)


class Feeder:
    """Thread `feeder`; `queues` is the queue of each kind of work, by its bit of `lacks`."""

    def __init__(
        self,
        *,
        database: Database,
        clock: CatalogClock,
        queues: Mapping[int, WorkQueue],
        online: Callable[[], frozenset[int]],
        heart: Heartbeat,
        away: Callable[[], Collection[Away]],
    ) -> None:
        self._database = database
        self._clock = clock
        self._queues = queues
        self._online = online
        self._away = away
        self._heart = heart
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
        self._passes: dict[tuple[int, int], _Pass] = defaultdict(_Pass)
        self._wakes = 0
        self._woken = threading.Event()
        self._stopping = False

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float) -> bool:
        self._stopping = True
        self._woken.set()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def wake(self) -> None:
        """Something was committed, or a root changed its state: there may be more to offer."""
        self._woken.set()

    def _run(self) -> None:
        with self._database.reader() as connection:
            while not self._stopping:
                self._heart.beat()
                self._wakes += self._woken.is_set()
                self._woken.clear()
                now_ns = self._clock.now_ns()
                times_ns = [self._fill(kind, queue, now_ns) for kind, queue in self._queues.items()]
                times_ns.append(offers.next_due_ns(connection, now_ns))
                due_ns = min((time_ns for time_ns in times_ns if time_ns is not None), default=None)
                wait = None if due_ns is None else max(0.0, (due_ns - self._clock.now_ns()) / SECOND)
                with self._heart.idle():
                    self._woken.wait(wait)

    def _fill(self, kind: int, queue: WorkQueue, now_ns: int) -> int | None:
        """Fill a queue; returns when it is to be filled again even if nothing happens until then."""
        online, away = self._online(), self._away()
        again_ns = []
        with self._database.reader() as connection:
            for priority in offers.PRIORITIES:
                reading = self._passes[kind, priority]
                # Not all at once: one file system must not take all the room before it shows to be saturated.
                most = max(1, queue.capacity // 4)
                while (room := queue.room()) >= min(FEWEST, most):
                    saturated = queue.saturated()
                    if not (saturated and reading.searched):
                        wanted = offers.Wanted(online, saturated, min(room, most), away)
                        if self._read(connection, kind, priority, wanted, now_ns=now_ns):
                            continue
                        if not saturated and reading.wakes == self._wakes:
                            break  # nothing can have come behind it
                    if now_ns < reading.start_over_ns() and queue.room() < queue.capacity:
                        again_ns.append(reading.start_over_ns())
                        break
                    reading = self._passes[kind, priority] = _Pass(now_ns, self._wakes)
        return min(again_ns, default=None)

    def _read(
        self,
        connection: sqlite3.Connection,
        kind: int,
        priority: int,
        wanted: offers.Wanted,
        *,
        now_ns: int,
    ) -> bool:
        """Offer the next rows of a kind and priority to its queue; False when there were fewer than wanted."""
        reading = self._passes[kind, priority]
        began_ns = self._clock.now_ns()
        self._queues[kind].look()
        tasks, reading.cursor = offers.due(connection, kind, priority, wanted, after=reading.cursor, now_ns=now_ns)
        self._queues[kind].offer(tasks)
        if len(tasks) == wanted.limit:
            return True
        reading.cost_ns = max(reading.cost_ns, self._clock.now_ns() - began_ns)
        if wanted.saturated:
            reading.searched = True
        else:
            reading.cursor = offers.Cursor(now_ns, MAX_INTEGER)
        return False
