"""Feeds the decode processes: takes tasks and keeps only as many under way as the processes can soon begin."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mediawatchd.hashing.decoding import attempt_at
from mediawatchd.work.queue import take_first

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mediawatchd.hashing.decoding import DecodePool
    from mediawatchd.model import Outcome, Task
    from mediawatchd.telemetry.heartbeat import Heartbeat
    from mediawatchd.work.queue import WorkQueue


class Decoders:
    """Thread `decode` takes; `deliver` is called by the pool's thread. `queues`, by kind of work, share a condition
    and bound what is under way; each goes before those behind it. `exact`: see `looks_of`.
    """

    def __init__(
        self,
        *,
        queues: Mapping[int, WorkQueue],
        pool: Callable[[Callable[[Outcome], None]], DecodePool],
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
        # Guarded by _lock: what is with the pool, by file.
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
        queue = self._queues[kind]
        queue.withdraw(unwanted)
        with self._lock:
            decoded = {task for of, task in self._tasks.values() if of == kind and unwanted(task)}
        for task in self._pool.cancel(decoded.__contains__):
            with self._lock:
                del self._tasks[task.file_id]
            queue.done(task.filesystem_id)
            queue.release([task.file_id])

    def current(self, kind: int | None = None) -> bytes | None:
        """A file that is being decoded, of one kind if given; for progress."""
        with self._lock:
            return next((task.path for of, task in self._tasks.values() if kind in {None, of}), None)

    def pool(self) -> DecodePool:
        return self._pool

    def _run(self) -> None:
        while True:
            with self._heart.idle():
                queue, tasks = take_first(list(self._queues.values()), 1)
            if not tasks:
                return
            kind, task = self._kinds[id(queue)], tasks[0]
            with self._lock:
                is_taken = task.file_id in self._tasks
                if not is_taken:
                    self._tasks[task.file_id] = (kind, task)
            if is_taken:  # it changed while it was hashed; when that has ended it is offered again
                queue.done(task.filesystem_id)
                queue.release([task.file_id])
            else:
                self._pool.submit(task, attempt_at(task.lacks & kind, exact=self._exact))

    def _delivered(self, outcome: Outcome) -> None:
        with self._lock:
            kind, task = self._tasks.pop(outcome.file_id)
        self._queues[kind].done(task.filesystem_id)
        self._deliver(kind, [outcome])
