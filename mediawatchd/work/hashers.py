"""The quick-hash threads: take a few tasks, read head and tail of each, hand the outcomes to the writer.

A thread may hang in a read on a dead disk for as long as the kernel lets it; that is seen in its heartbeat and
tolerated, and no file system gets all threads.
"""

from __future__ import annotations

import logging
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

from mediawatchd.hashing import quick
from mediawatchd.model import QUICK_HASH, Failed, Outcome, Problem, Task
from mediawatchd.telemetry.durations import DurationCounts, Durations

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mediawatchd.telemetry.heartbeat import Heartbeat
    from mediawatchd.work.queue import WorkQueue

log = logging.getLogger(__name__)

TAKEN = 16


class Hashers:
    """Threads `hash-N`; each owns nothing but the task it is at."""

    def __init__(
        self, *, queue: WorkQueue, deliver: Callable[[Sequence[Outcome]], None], hearts: Sequence[Heartbeat]
    ) -> None:
        self._queue = queue
        self._deliver = deliver
        self._current: dict[str, bytes] = {}
        self._durations = Durations()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._run, args=(heart,), name=heart.name, daemon=True) for heart in hearts
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_seconds: float) -> bool:
        """End after the file under way; a thread stuck on a dead disk is left behind."""
        self._stopping = True
        self._queue.close()
        for thread in self._threads:
            thread.join(timeout_seconds / len(self._threads))
        return not any(thread.is_alive() for thread in self._threads)

    def current(self) -> bytes | None:
        """A file that is being read, for progress."""
        return next(iter(self._current.copy().values()), None)

    def durations(self) -> DurationCounts:
        """How long each file took."""
        return self._durations.counts()

    def _run(self, heart: Heartbeat) -> None:
        while True:
            with heart.idle():
                tasks = self._queue.take(TAKEN)
            if not tasks:
                return
            outcomes = []
            times = [time.monotonic()]
            for task in tasks:
                if self._stopping:
                    break
                heart.beat()
                self._current[heart.name] = task.path
                outcomes.append(_attempt(task))
                times.append(time.monotonic())
            self._current.pop(heart.name, None)
            self._durations.add(end - begin for begin, end in pairwise(times))
            self._queue.done(tasks[0].filesystem_id)
            self._deliver(outcomes)


def _attempt(task: Task) -> Outcome:
    try:
        return quick.attempt(task)
    except Exception as error:
        log.exception("A file could not be hashed path=%r", task.path)
        return Failed(task.file_id, task.stamp, QUICK_HASH, Problem("io", f"unexpected: {error}"), False)
