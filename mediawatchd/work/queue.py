"""The work queue: a bounded window over the rows that the catalog offers, keyed by file id.

The feeder puts, workers take, and whoever commits outcomes releases. A file that is held (queued, with a worker, or
with its outcome not committed yet) is not accepted again. No file system gets all the workers, so that one that
hangs cannot stop the others.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import defaultdict
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.telemetry.durations import DurationCounts, Durations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mediawatchd.model import Task


class QueueStatistics(NamedTuple):
    """`length` waits, `held` adds what is with workers and what awaits its commit, `busy` counts the takers at work.

    `oldest` is since when the one waits that waits longest, on the monotonic clock; `waits` how long those taken did.
    """

    length: int
    capacity: int
    held: int
    busy: int
    oldest: float | None
    waits: DurationCounts


_Waiting = tuple[int, int, "Task", float]
"""Priority, place in the order of the offers, the task, and since when it waits."""


class WorkQueue:
    """Used by many threads; `busy_limit` is how many takers may work on one file system at a time, and `takers` how
    many in all. Queues that the same takers empty share their condition: see `take_first`.
    """

    def __init__(
        self,
        *,
        capacity: int,
        busy_limit: int,
        takers: int | None = None,
        changed: threading.Condition | None = None,
    ) -> None:
        self.capacity = capacity
        self._busy_limit = busy_limit
        self._takers = takers
        self._order = count()
        self._waits = Durations()
        self.changed = changed or threading.Condition()
        # Guarded by changed:
        self._waiting: dict[int, list[_Waiting]] = defaultdict(list)
        self._busy: dict[int, int] = defaultdict(int)
        self._held: dict[int, int] = {}
        self._held_of: dict[int, int] = defaultdict(int)
        self._released: set[int] = set()
        self._length = 0
        self._paused = False
        self._closed = False

    def look(self) -> None:
        """Who calls this will read the catalog, and `offer` what was read there."""
        with self.changed:
            self._released.clear()

    def offer(self, tasks: Iterable[Task]) -> int:
        """Add the tasks that are neither held nor were released since the last `look`, when they may have been read
        before their outcome was committed; returns how many were added. Never blocks: see `room`."""
        now = time.monotonic()
        with self.changed:
            added = 0
            for task in tasks:
                if task.file_id not in self._held and task.file_id not in self._released:
                    self._hold_locked(task)
                    heapq.heappush(self._waiting[task.filesystem_id], (task.priority, next(self._order), task, now))
                    added += 1
            self._length += added
            self._wake_locked()
            return added

    def room(self) -> int:
        """How many tasks may be offered. What awaits its commit counts too: a slow writer slows the feeder."""
        with self.changed:
            return max(0, self.capacity - len(self._held))

    def is_empty(self) -> bool:
        """Whether nothing waits."""
        with self.changed:
            return not self._length

    def saturated(self) -> frozenset[int]:
        """The file systems that hold half of the capacity: one that hangs must leave room for the others."""
        with self.changed:
            return frozenset(key for key, held in self._held_of.items() if held >= self.capacity // 2)

    def take(self, limit: int) -> list[Task]:
        """Wait for tasks of one file system, up to `limit`; the taker calls `done` for it. Empty when closed."""
        return take_first([self], limit)[1]

    def take_locked(self, limit: int) -> list[Task]:
        """The same without waiting: empty when there is nothing that may be taken now."""
        heap = self._next_locked()
        if heap is None:
            return []
        taken = [heapq.heappop(heap) for _ in range(min(limit, len(heap)))]
        now = time.monotonic()
        self._waits.add(now - since for _, _, _, since in taken)
        tasks = [task for _, _, task, _ in taken]
        self._length -= len(tasks)
        self._busy[tasks[0].filesystem_id] += 1
        self._wake_locked()
        return tasks

    def take_along(self, task: Task) -> bool:
        """Count a task that another queue handed out as offered to this one and taken; False when that may not be
        now, or others wait here."""
        with self.changed:
            if self._length or task.file_id in self._held or not self._may_take_locked(task.filesystem_id):
                return False
            self._hold_locked(task)
            self._busy[task.filesystem_id] += 1
            return True

    def withdraw(self, unwanted: Callable[[Task], bool]) -> None:
        """Drop what waits and is not wanted any more; it may be offered again."""
        with self.changed:
            for filesystem_id, heap in self._waiting.items():
                kept = [waiting for waiting in heap if not unwanted(waiting[2])]
                for _, _, task, _ in heap:
                    if unwanted(task):
                        del self._held[task.file_id]
                self._held_of[filesystem_id] -= len(heap) - len(kept)
                self._length -= len(heap) - len(kept)
                heapq.heapify(kept)
                heap[:] = kept

    def done(self, filesystem_id: int) -> None:
        """A taker has finished with what it took from a file system."""
        with self.changed:
            self._busy[filesystem_id] -= 1
            self._wake_locked()

    def release(self, file_ids: Iterable[int]) -> None:
        """The outcomes of these files are committed: they may be offered again."""
        with self.changed:
            for file_id in file_ids:
                if (filesystem_id := self._held.pop(file_id, None)) is not None:
                    self._held_of[filesystem_id] -= 1
                    self._released.add(file_id)

    def is_taken(self, file_id: int) -> bool:
        """Whether a worker has the file, or had it and its outcome is not committed yet."""
        with self.changed:
            return file_id in self._held and not any(
                task.file_id == file_id for heap in self._waiting.values() for _, _, task, _ in heap
            )

    def pause(self, paused: bool) -> None:
        """While paused nothing is handed out."""
        with self.changed:
            self._paused = paused
            self.changed.notify_all()

    def close(self) -> None:
        """Hand out nothing more, and wake all takers."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()

    @property
    def is_closed(self) -> bool:
        return self._closed

    def statistics(self) -> QueueStatistics:
        """A snapshot; looks at everything that waits."""
        with self.changed:
            oldest = min((since for heap in self._waiting.values() for _, _, _, since in heap), default=None)
            busy = sum(self._busy.values())
            return QueueStatistics(self._length, self.capacity, len(self._held), busy, oldest, self._waits.counts())

    def _hold_locked(self, task: Task) -> None:
        self._held[task.file_id] = task.filesystem_id
        self._held_of[task.filesystem_id] += 1

    def _may_take_locked(self, filesystem_id: int) -> bool:
        has_taker = self._takers is None or sum(self._busy.values()) < self._takers
        return has_taker and not self._paused and self._busy.get(filesystem_id, 0) < self._busy_limit

    def _wake_locked(self) -> None:
        """Wake one taker if there is something for it; it wakes the next one in turn."""
        if self._next_locked() is not None:
            self.changed.notify()

    def _next_locked(self) -> list[_Waiting] | None:
        heaps = [heap for key, heap in self._waiting.items() if heap and self._may_take_locked(key)]
        return min(heaps, key=lambda heap: heap[0][:2], default=None)


def take_first(queues: Sequence[WorkQueue], limit: int) -> tuple[WorkQueue, list[Task]]:
    """Wait for tasks of the first of these queues that has any for now, as `take` does. No tasks when closed."""
    changed = queues[0].changed
    with changed:
        while not any(queue.is_closed for queue in queues):
            for queue in queues:
                if tasks := queue.take_locked(limit):
                    return queue, tasks
            changed.wait()
    return queues[0], []
