"""The threads that answer a listener's requests, made when they are first needed.

Each takes a connection with a whole request on it, answers, and gives the connection back for the next one. Whatever
goes wrong in one request ends that connection, never the thread.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediawatchd.control.connection import Connection

log = logging.getLogger(__name__)

_GRACE_SECONDS = 1.0
"""How long calls have at the end before their connections are cut: a client that does not read has no claim to more."""


class Workers:
    """Only the listener's loop submits. The lock guards which connections are being served."""

    def __init__(self, *, name: str, most: int, give_back: Callable[[Connection], None]) -> None:
        self._name = name
        self._most = most
        self._give_back = give_back
        self._queue: queue.SimpleQueue[Connection | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._served: set[Connection] = set()

    @property
    def busy(self) -> int:
        """How many connections are being served, or wait for a thread."""
        return len(self._served)

    def submit(self, connection: Connection) -> None:
        """Never blocks; the request waits when all threads have one."""
        with self._lock:
            self._served.add(connection)
        self._queue.put(connection)
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._most:
            name = f"{self._name}-{len(self._threads) + 1}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, deadline: float) -> None:
        """Ends the threads; requests not yet begun are dropped. Waits until `deadline` on the monotonic clock.

        Call it when nothing is submitted any more. Threads that hang beyond the deadline end with the process.
        """
        with contextlib.suppress(queue.Empty):
            while True:
                waiting = self._queue.get_nowait()
                if waiting is not None:
                    self._end(waiting)
        for _ in self._threads:
            self._queue.put(None)
        self._join(min(deadline, time.monotonic() + _GRACE_SECONDS))
        with self._lock:
            left = list(self._served)
        for connection in left:
            connection.abort()
        self._join(deadline)

    def _join(self, deadline: float) -> None:
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while (connection := self._next()) is not None:
            is_kept = False
            try:
                is_kept = connection.answer()
            except Exception:
                # cheroot has answered or given up by now; the next request must find this thread alive.
                log.exception("request failed listener=%s", self._name)
            if is_kept:
                with self._lock:
                    self._served.discard(connection)
                self._give_back(connection)
            else:
                self._end(connection)

    def _next(self) -> Connection | None:
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            self._idle.release()
            return self._queue.get()

    def _end(self, connection: Connection) -> None:
        connection.close()
        with self._lock:
            self._served.discard(connection)
