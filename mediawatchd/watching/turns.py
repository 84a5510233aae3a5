"""What the reader of a root hands to its watching thread: directories that came or went, in the order of the events.

A capped queue. When too many directories wait, they are dropped for one pass over the whole root, and so
is what an overflow of the kernel's queue swallowed; probes of the canary always keep their place.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Add:
    """A directory appeared; `closed`: moved in whole. `event` is counted when it is told, None when it was already."""

    directory: bytes
    event: str | None
    closed: bool


@dataclass(frozen=True, slots=True)
class Drop:
    """A directory was moved away."""

    directory: bytes


@dataclass(frozen=True, slots=True)
class Probe:
    """The reader passed this probe of the canary."""

    number: int


@dataclass(frozen=True, slots=True)
class Rebuild:
    """Events were lost: find the directories that came and went unseen."""

    reason: str


@dataclass(frozen=True, slots=True)
class Check:
    """Compare the kernel's watches with ours."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The root's own watch has ended."""


@dataclass(frozen=True, slots=True)
class Retry:
    """It is time to try again what could not be watched."""


Turn = Add | Drop | Probe | Rebuild | Check | Gone | Retry


class Turns:
    """Any thread puts and stops; the watching thread takes."""

    def __init__(self, *, limit: int = LIMIT) -> None:
        self._limit = limit
        # Guards everything below.
        self._changed = threading.Condition()
        self._waiting: deque[Turn] = deque()
        self._stopped = False

    def put(self, turn: Turn) -> None:
        """Never blocks, and never grows beyond the limit by more than a few."""
        with self._changed:
            if len(self._waiting) >= self._limit and isinstance(turn, Add | Drop):
                self._waiting = deque(each for each in self._waiting if not isinstance(each, Add | Drop))
                turn = Rebuild("too_many_hints")
            if isinstance(turn, Rebuild) and any(isinstance(each, Rebuild) for each in self._waiting):
                # The pass that waits will come after this loss too.
                return
            if isinstance(turn, Check) and turn in self._waiting:
                return
            if isinstance(turn, Probe) and self._waiting and isinstance(self._waiting[-1], Probe):
                # The newest stands for all before it. While a disk hangs, one a minute comes.
                self._waiting.pop()
            self._waiting.append(turn)
            self._changed.notify()

    def wait_next(self, retry_at: float | None) -> Turn | None:
        """Blocks until there is a turn, `Retry` at that monotonic time, or None once stopped."""
        with self._changed:
            while not self._stopped:
                left = None if retry_at is None else retry_at - time.monotonic()
                if left is not None and left <= 0:
                    return Retry()
                if self._waiting:
                    return self._waiting.popleft()
                self._changed.wait(left)
            return None

    def clear(self) -> None:
        """Drops what waits."""
        with self._changed:
            self._waiting.clear()

    def stop(self) -> None:
        """Ends every wait, now and later."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def stopped(self) -> bool:
        """Whether it was stopped; the watching thread looks between two calls that may block."""
        return self._stopped

    def wait_stopped(self, timeout_seconds: float) -> bool:
        """Blocks until stopped or until the time is over; returns whether stopped."""
        with self._changed:
            return self._changed.wait_for(self.stopped, max(0.0, timeout_seconds))
