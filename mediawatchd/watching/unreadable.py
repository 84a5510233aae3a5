"""The directories of one root that could not be read: why, since when, and when each is walked again.

One that fails is no state of its root, and what is known of it stays as it is. But events tell nothing when it
answers again, and the next walk of the root may be hours away: so it is walked again after a minute, and after each
failure twice as late. The keeper's thread changes this; any thread may look.
"""

from __future__ import annotations

import errno
import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.paths import printable, unslashed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
FIRST_RETRY_SECONDS = 60.0
LONGEST_RETRY_SECONDS = 6 * 3600.0
NAMED_LIMIT = 1_000
"""Beyond so many the root stands for all others."""


class UnreadableDirectory(NamedTuple):
    """A snapshot, in Unix seconds. `next_attempt` is None while a walk of it is asked for or under way."""

    path: bytes
    reason: str
    since: float
    next_attempt: float | None


def is_lost_and_found(directory: bytes, number: int | None) -> bool:
    """Whether it is the folder that every ext4 disk has, for root alone: what fsck puts there is named as no media."""
    return number == errno.EACCES and directory.endswith(b"/lost+found/")


def unreadable_text(directories: Sequence[UnreadableDirectory]) -> str:
    """How many there are, and why the first cannot be read, for a person."""
    first = directories[0]
    name, more = printable(unslashed(first.path)), len(directories) - 1
    others = f", nor can {more:,} other{'s' if more > 1 else ''}" if more else ""
    return f"{name} cannot be read{others}: {first.reason}"


class _Failure(NamedTuple):
    """The last of `attempts` failures. `at` and `due` are on the monotonic clock; due None: a walk was asked for."""

    reason: str
    since: float
    at: float
    attempts: int
    due: float | None


class Unreadable:
    """True while there is one. Both clocks are in seconds: `clock` is monotonic, `wall` Unix time."""

    def __init__(
        self, *, root: bytes, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._root = root
        self._clock = clock
        self._wall = wall
        self._failures: dict[bytes, _Failure] = {}

    def __bool__(self) -> bool:
        return bool(self._failures)

    def failed(self, path: bytes, error: OSError) -> None:
        """A directory, or something in it, could not be looked at. One that is gone is none of these."""
        if error.errno in _NOT_THERE or is_lost_and_found(path, error.errno):
            return
        reason = error.strerror or str(error)
        if not self._failures:
            log.warning("Folders cannot be read, and stay as they are known first=%s error=%s", path, reason)
        if path not in self._failures and len(self._failures) >= NAMED_LIMIT:
            path = self._root
        now = self._clock()
        was = self._failures.get(path)
        if was is None:
            failure = _Failure(reason, self._wall(), now, 1, now + FIRST_RETRY_SECONDS)
        elif was.due is None:
            wait = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(was.attempts, 20))
            failure = was._replace(reason=reason, at=now, attempts=was.attempts + 1, due=now + wait)
        else:
            failure = was._replace(reason=reason, at=now)
        self._failures[path] = failure

    def walked(self, path: bytes, began: float) -> None:
        """A walk of `path` that began then is over: what has not failed since was read, or is not there any more."""
        self._drop([each for each, was in self._failures.items() if each.startswith(path) and was.at < began])

    def gone(self, path: bytes) -> None:
        """A directory is not there any more, so neither is what was in it."""
        self._drop([each for each in self._failures if each.startswith(path)])

    def _drop(self, paths: Sequence[bytes]) -> None:
        for path in paths:
            del self._failures[path]
        if paths and not self._failures:
            log.info("No folder is unreadable any more root=%s", self._root)

    def due(self) -> list[bytes]:
        """What is to be walked now; each is told once until it fails again."""
        now = self._clock()
        due = [path for path, failure in self._failures.items() if failure.due is not None and failure.due <= now]
        for path in due:
            self._failures[path] = self._failures[path]._replace(due=None)
        return due

    def next_due(self) -> float | None:
        """When something is to be walked, on the monotonic clock."""
        return min((failure.due for failure in self._failures.values() if failure.due is not None), default=None)

    def due_seconds(self) -> float | None:
        """How long until something is to be walked; None when nothing is."""
        due = self.next_due()
        return None if due is None else max(0.0, due - self._clock())

    def clear(self) -> None:
        """The root is away; all of it is walked when it is back."""
        self._failures.clear()

    def snapshot(self) -> tuple[UnreadableDirectory, ...]:
        """All of them, the oldest first."""
        ahead = self._wall() - self._clock()
        return tuple(
            UnreadableDirectory(
                path, failure.reason, failure.since, None if failure.due is None else failure.due + ahead
            )
            for path, failure in self._failures.copy().items()
        )
