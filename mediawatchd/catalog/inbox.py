"""The writer's queue: bounded by how much it holds, not by how many messages.

Who puts waits while it is full, so that nothing upstream needs a bound of its own; the writer takes whatever
came within a moment as one batch.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, TypeVar

Message = TypeVar("Message")


class Inbox(Generic[Message]):
    """Used by many threads that put and one that takes."""

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._filled = threading.Condition(self._lock)
        # Guarded by _lock:
        self._messages: deque[tuple[Message, int, float]] = deque()
        self._weight = 0
        self._closed = False
        # From which weight on the taker is to be woken: each time it is woken without need costs a change of threads.
        self._wanted = 1

    def put(self, message: Message, weight: int, *, urgent: bool = False) -> bool:
        """Wait until there is room, then add; False when the inbox was closed. Urgent messages do not wait."""
        with self._lock:
            while self._weight >= self._capacity and not self._closed and not urgent:
                self._room.wait()
            if self._closed:
                return False
            self._messages.append((message, weight, time.monotonic()))
            self._weight += weight
            if self._weight >= self._wanted:
                self._filled.notify()
            return True

    def take(self, *, weight: int, linger_seconds: float, timeout_seconds: float | None) -> list[Message] | None:
        """Wait for a message and take what comes within `linger_seconds`, up to about `weight`.

        An empty list after the time-out; None when closed and empty.
        """
        with self._lock:
            self._wanted = 1
            if not self._filled.wait_for(lambda: self._messages or self._closed, timeout_seconds):
                return []
            self._wanted = weight
            self._filled.wait_for(lambda: self._weight >= weight or self._closed, linger_seconds)
            if not self._messages:
                return None
            taken: list[Message] = []
            total = 0
            while self._messages and total < weight:
                message, size, _ = self._messages.popleft()
                taken.append(message)
                total += size
            self._weight -= total
            self._room.notify_all()
            return taken

    def close(self) -> None:
        """Accept nothing more; what is there is still taken."""
        with self._lock:
            self._closed = True
            self._filled.notify()
            self._room.notify_all()

    def statistics(self) -> tuple[int, int, float | None]:
        """How much it holds, its capacity, and since when the oldest message waits, on the monotonic clock."""
        with self._lock:
            return self._weight, self._capacity, self._messages[0][2] if self._messages else None
