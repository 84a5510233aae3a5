"""The sign of life of the watcher child, and the cookie of a sync: one probe for both.

A probe closes a file that every inotify instance of the child watches. A reader that passes it is alive and
has read all that happened before. A root has drained it when its watching thread has dealt with everything
that its reader handed over before. A canary asks for the first, a sync for the second, of the roots whose disks answer.

Any thread of the child may call `Canary`; nothing here touches a root. One probe is under way at a time and those
who ask meanwhile share the next one. Two files take turns and are only opened and closed: so a full disk does
not stop the canary, and a late event of one probe is never taken for the next.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection

Answer = Callable[[int, str | None], None]


class Canary:
    """`answer(ticket, problem)` is called once for every ticket, with the lock held: it must not block."""

    def __init__(self, *, directory: bytes, name: bytes, answer: Answer) -> None:
        self.directory = directory
        self.names = (name + b"-0", name + b"-1")
        self._answer = answer
        # Guards everything below.
        self._lock = threading.Lock()
        self._number = 0
        self._roots: set[int] = set()
        self._expelled: set[int] = set()
        self._readers: set[int] = set()
        self._asked: list[tuple[int, frozenset[int] | None]] = []
        self._under_way: list[int] = []
        self._to_pass: set[int] = set()
        self._to_drain: dict[int, dict[int, set[int]]] = {}

    def enter(self, key: int) -> None:
        """A root is about to be watched: every sync from now on waits until its watches are set."""
        with self._lock:
            if key not in self._expelled:
                self._roots.add(key)

    def join(self, key: int) -> int:
        """The root's reader now watches the canary's directory. Returns the number of the last probe it may miss."""
        with self._lock:
            if key not in self._expelled:
                self._readers.add(key)
            return self._number

    def leave(self, key: int) -> None:
        """The root is not watched for the time being; nobody waits for it."""
        with self._lock:
            self._leave_locked(key)

    def expel(self, key: int) -> None:
        """The root leaves for good, whatever a thread that hangs on its disk may still do."""
        with self._lock:
            self._expelled.add(key)
            self._leave_locked(key)

    def ask(self, ticket: int, roots: Collection[int] | None = None) -> None:
        """Answers when every reader has passed a new probe or, given roots, when each of these has drained it."""
        with self._lock:
            self._asked.append((ticket, None if roots is None else frozenset(roots)))
            if not self._to_pass:
                self._probe_locked()

    def passed(self, key: int, name: bytes | None) -> int | None:
        """A reader saw this name in the canary's directory, or (None) an overflow that may have swallowed it.

        Returns the number that the root's watching thread is to hand to `drained`, or None when it was no probe.
        An overflow may stand for the probe because the root is reported as lost before it drains.
        """
        with self._lock:
            if key not in self._to_pass or name not in (None, self.names[self._number % 2]):
                return None
            number = self._number
            self._passed_locked(key)
            return number

    def drained(self, key: int, number: int) -> None:
        """The root has dealt with everything that its reader handed over before it passed this probe."""
        with self._lock:
            self._drained_locked(key, number)

    def _leave_locked(self, key: int) -> None:
        self._roots.discard(key)
        self._readers.discard(key)
        self._drained_locked(key, self._number)
        self._passed_locked(key)

    def _probe_locked(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, []
            self._number += 1
            problem = self._close_file_locked()
            self._under_way = [ticket for ticket, roots in asked if roots is None]
            if problem is not None:
                for ticket, _ in asked:
                    self._answer(ticket, problem)
                continue
            self._to_drain[self._number] = {
                ticket: set(self._roots & roots) for ticket, roots in asked if roots is not None
            }
            self._settle_locked(self._number)
            self._to_pass = set(self._readers)
            if self._to_pass:
                return
            self._end_locked()

    def _close_file_locked(self) -> str | None:
        path = os.path.join(self.directory, self.names[self._number % 2])
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        except OSError as error:
            return f"the canary cannot be written: {error.strerror}: {os.fsdecode(path)}"
        return None

    def _passed_locked(self, key: int) -> None:
        if key in self._to_pass:
            self._to_pass.discard(key)
            if not self._to_pass:
                self._end_locked()
                self._probe_locked()

    def _end_locked(self) -> None:
        for ticket in self._under_way:
            self._answer(ticket, None)
        self._under_way = []

    def _drained_locked(self, key: int, number: int) -> None:
        for each in [each for each in self._to_drain if each <= number]:
            for waiting in self._to_drain[each].values():
                waiting.discard(key)
            self._settle_locked(each)

    def _settle_locked(self, number: int) -> None:
        tickets = self._to_drain[number]
        for ticket in [ticket for ticket, waiting in tickets.items() if not waiting]:
            del tickets[ticket]
            self._answer(ticket, None)
        if not tickets:
            del self._to_drain[number]


class CanarySchedule:
    """When the daemon asks its child for the canary, and when it has waited long enough. One thread uses it."""

    def __init__(self, *, interval_seconds: float, timeout_seconds: float, clock: Callable[[], float]) -> None:
        self._interval_seconds = interval_seconds
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._next = clock()
        self._ticket: int | None = None
        # A child that starts on a busy machine with a cold disk may take long to import what it needs.
        self._deadline_seconds = 3 * timeout_seconds

    def wait_seconds(self) -> float:
        """How long nothing is to be done but to wait for the child."""
        return max(0.0, self._next - self._clock())

    def due(self) -> bool:
        """Whether it is time to ask."""
        return self._ticket is None and self._clock() >= self._next

    def overdue(self) -> bool:
        """Whether the answer did not come in time."""
        return self._ticket is not None and self._clock() >= self._next

    def asked(self, ticket: int) -> None:
        """The child was asked just now."""
        self._ticket = ticket
        self._next = self._clock() + self._deadline_seconds
        self._deadline_seconds = self._timeout_seconds

    def answered(self, ticket: int) -> bool:
        """Whether this was the answer that is waited for."""
        if ticket != self._ticket:
            return False
        self._ticket = None
        self._next = self._clock() + self._interval_seconds
        return True
