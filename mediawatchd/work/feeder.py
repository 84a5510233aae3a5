"""Fills the work queues from the catalog: what lacks something, is due, and lies on a root that is online.

One thread. It sleeps until a commit, a change of a root, or the next due time wakes it, and keeps nothing but how far
it has come: when it reaches the end of what is due it starts over, and the queues refuse what they hold already.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mediawatchd.catalog import offers
from mediawatchd.catalog.offers import Cursor
from mediawatchd.model import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mediawatchd.catalog.clock import CatalogClock
    from mediawatchd.catalog.database import Database
    from mediawatchd.telemetry.heartbeat import Heartbeat
    from mediawatchd.work.queue import WorkQueue

FEWEST = 64
"""A queue with less room than this is not filled up yet: one query for many rows is cheaper."""


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
    ) -> None:
        self._database = database
        self._clock = clock
        self._queues = queues
        self._online = online
        self._heart = heart
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
        self._cursors: dict[tuple[int, int], Cursor] = {}
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
                self._woken.clear()
                now_ns = self._clock.now_ns()
                for kind, queue in self._queues.items():
                    self._fill(kind, queue, now_ns)
                due_ns = offers.next_due_ns(connection, now_ns)
                wait = None if due_ns is None else max(0.0, (due_ns - self._clock.now_ns()) / SECOND)
                with self._heart.idle():
                    self._woken.wait(wait)

    def _fill(self, kind: int, queue: WorkQueue, now_ns: int) -> None:
        online = self._online()
        with self._database.reader() as connection:
            for priority in offers.PRIORITIES:
                while (room := queue.room()) >= min(FEWEST, queue.capacity):
                    after = self._cursors.get((kind, priority), Cursor())
                    rows = offers.due(connection, kind, priority, after=after, now_ns=now_ns, limit=room)
                    queue.offer(task for task, _ in rows if task.root_id in online)
                    if len(rows) < room:
                        self._cursors[kind, priority] = Cursor()
                        break
                    self._cursors[kind, priority] = rows[-1][1]
