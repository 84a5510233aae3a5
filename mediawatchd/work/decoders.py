"""Feeds the decode processes: takes tasks and keeps only as many under way as the processes can soon begin."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mediawatchd.hashing.decoding import DecodePool
    from mediawatchd.model import Outcome, Task
    from mediawatchd.telemetry.heartbeat import Heartbeat
    from mediawatchd.work.queue import WorkQueue


class Decoders:
    """Thread `decode` takes; `deliver` is called by the pool's thread. `under_way` bounds the tasks in the pool."""

    def __init__(
        self,
        *,
        queue: WorkQueue,
        pool: Callable[[Callable[[Outcome], None]], DecodePool],
        deliver: Callable[[Sequence[Outcome]], None],
        heart: Heartbeat,
        under_way: int,
    ) -> None:
        self._queue = queue
        self._pool = pool(self._delivered)
        self._deliver = deliver
        self._heart = heart
        self._room = threading.Semaphore(under_way)
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)
        self._lock = threading.Lock()
        # Guarded by _lock:
        self._tasks: dict[int, Task] = {}

    def start(self) -> None:
        self._pool.start()
        self._thread.start()

    def stop(self, timeout_seconds: float) -> bool:
        """Kill what is being decoded: it is offered again at the next start."""
        self._queue.close()
        self._room.release()
        ended = self._pool.stop(timeout_seconds)
        self._thread.join(timeout_seconds)
        return ended and not self._thread.is_alive()

    def current(self) -> bytes | None:
        """A file that is being decoded, for progress."""
        with self._lock:
            return next((task.path for task in self._tasks.values()), None)

    def pool(self) -> DecodePool:
        return self._pool

    def _run(self) -> None:
        while True:
            with self._heart.idle():
                self._room.acquire()
                tasks = self._queue.take(1)
            if not tasks:
                return
            with self._lock:
                self._tasks[tasks[0].file_id] = tasks[0]
            self._pool.submit(tasks[0])

    def _delivered(self, outcome: Outcome) -> None:
        with self._lock:
            task = self._tasks.pop(outcome.file_id)
        self._queue.done(task.filesystem_id)
        self._room.release()
        self._deliver([outcome])
