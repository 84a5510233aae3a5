"""Feeds the decode processes: takes tasks and keeps only as many under way as the processes can soon begin."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mediawatchd.hashing.attempt import attempt
from mediawatchd.model import PHASH, PROBE
from mediawatchd.work.queue import take_first

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mediawatchd.hashing.decoding import DecodePool
    from mediawatchd.model import Outcome, Task
    from mediawatchd.telemetry.heartbeat import Heartbeat
    from mediawatchd.work.queue import WorkQueue


class Decoders:
    """Thread `decode` takes; `deliver` is called by the pool's thread. `queues`, by kind of work, share a condition
    and bound what is under way; each goes before those behind it. What is wanted of a file beside its probe is had in
    the same opening where no other file waits for its own; such a task is with both queues. `exact`: see `looks_of`.
    """

    def __init__(
        self,
        *,
        queues: Mapping[int, WorkQueue],
        pool: Callable[[Callable[[Outcome, bool], None]], DecodePool],
        deliver: Callable[[int, Sequence[Outcome]], None],
        heart: Heartbeat,
        exact: bool = True,
    ) -> None:
        self._queues = queues
        self._exact = exact
        self._kinds = {id(queue): kind for kind, queue in queues.items()}
        self._pool = pool(self._delivered)
        self._deliver = deliver
        self._heart = heart
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)
        self._lock = threading.Lock()
        # Guarded by _lock: what is with the pool, by file, and the kinds of work that it is still for.
        self._tasks: dict[int, tuple[int, Task]] = {}

    def start(self) -> None:
        self._pool.start()
        self._thread.start()

    def stop(self, timeout_seconds: float) -> bool:
        """Kill what is being decoded: it is offered again at the next start."""
        for queue in self._queues.values():
            queue.close()
        ended = self._pool.stop(timeout_seconds)
        self._thread.join(timeout_seconds)
        return ended and not self._thread.is_alive()

    def withdraw(self, kind: int, unwanted: Callable[[Task], bool]) -> None:
        """Drop what waits of a kind and is not wanted any more, and kill what is being decoded of it."""
        for queue in self._queues.values():  # also what would be had along with a probe: it is offered without
            queue.withdraw(lambda task: bool(task.lacks & kind) and unwanted(task))
        with self._lock:
            decoded = {file_id for file_id, (of, task) in self._tasks.items() if of & kind and unwanted(task)}
        for task in self._pool.cancel(lambda task: task.file_id in decoded):
            with self._lock:
                kinds, _ = self._tasks.pop(task.file_id)
            self._let_go(kinds, task)

    def current(self, kind: int = PROBE | PHASH) -> bytes | None:
        """A file that is being decoded, of one kind if given; for progress."""
        with self._lock:
            return next((task.path for of, task in self._tasks.values() if of & kind), None)

    def pool(self) -> DecodePool:
        return self._pool

    def _run(self) -> None:
        while True:
            with self._heart.idle():
                queue, tasks = take_first(list(self._queues.values()), 1)
            if not tasks:
                return
            kinds, task = self._kinds[id(queue)], tasks[0]
            with self._lock:
                is_taken = task.file_id in self._tasks
            if is_taken:  # it changed while it was hashed; when that has ended it is offered again
                self._let_go(kinds, task)
                continue
            if task.lacks & PHASH & ~kinds and queue.is_empty() and self._queues[PHASH].take_along(task):
                kinds |= PHASH
            with self._lock:
                self._tasks[task.file_id] = (kinds, task)
            self._pool.submit(task._replace(lacks=task.lacks & kinds), attempt, self._exact)

    def _delivered(self, outcome: Outcome, is_last: bool) -> None:
        with self._lock:
            if is_last:
                kinds, task = self._tasks.pop(outcome.file_id)
            elif outcome.file_id in self._tasks:
                kinds, task = self._tasks[outcome.file_id]
                self._tasks[outcome.file_id] = (kinds & ~PROBE, task)
                kinds &= PROBE
            else:
                return  # it was withdrawn just now
        for queue in self._queues_of(kinds):
            queue.done(task.filesystem_id)
        self._deliver(kinds, [outcome])

    def _let_go(self, kinds: int, task: Task) -> None:
        """The task is not worked on, and may be offered again."""
        for queue in self._queues_of(kinds):
            queue.done(task.filesystem_id)
            queue.release([task.file_id])

    def _queues_of(self, kinds: int) -> list[WorkQueue]:
        return [queue for kind, queue in self._queues.items() if kind & kinds]
