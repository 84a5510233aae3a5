"""The directories of one root that could not be watched, and what a person is told about them.

Only the watching thread of the root uses it. The directories named cover everything that is not watched: who
walks each of them recursively misses nothing. When there are too many to name, the root stands for all.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from mediawatchd.watching import limits
from mediawatchd.watching.unreadable import is_lost_and_found

NAMED_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class WatchState:
    """What is watched of a root; `kind` is "inotify", "polling" (no instance left) or "degraded"."""

    kind: str
    unwatched: tuple[bytes, ...]
    unwatched_count: int
    message: str | None
    hint: str | None


class Unwatched:
    """Owned by the watching thread of its root. True while anything is not watched."""

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._named: dict[bytes, tuple[int, int]] = {}
        self._limited = False
        self._said_limited = False
        self._said: WatchState | None = None
        self.unnamed = 0

    def __bool__(self) -> bool:
        return bool(self._named)

    def add(self, directory: bytes, number: int, count: int) -> None:
        """A directory and the `count` directories from it downwards are not watched, because of that errno.

        A count of 0: it is watched, but not all below it could be found.
        """
        if is_lost_and_found(directory, number):
            return
        self._limited |= number == errno.ENOSPC
        if len(self._named) < NAMED_LIMIT or directory in self._named:
            self._named[directory] = (number, count)
        else:
            self.unnamed += count

    def drop(self, directory: bytes) -> bool:
        """Forgets a directory and all below it; returns whether there was one."""
        below = [each for each in self._named if each.startswith(directory)]
        for each in below:
            del self._named[each]
        self._limited = any(number == errno.ENOSPC for number, _ in self._named.values())
        return bool(below)

    def clear(self) -> None:
        """Forgets all of them: they are about to be tried again."""
        self._named.clear()
        self.unnamed = 0
        self._limited = False

    def directories(self) -> list[bytes]:
        """Those that are named."""
        return list(self._named)

    def newly_limited(self) -> bool:
        """Whether the limit of watches was reached since this was last asked."""
        newly = self._limited and not self._said_limited
        self._said_limited = self._limited
        return newly

    def state(self, *, watched: int) -> WatchState | None:
        """What is to be told; None when it is what was told last."""
        count = self.unnamed + sum(count for _, count in self._named.values())
        directories = (self._root,) if self.unnamed else tuple(self._named)
        message = hint = None
        if self._limited:
            limit = limits.watches_limit()
            message = f"{count} directories are not watched: the limit of {limit} inotify watches is reached"
            hint = limits.watches_hint(watched + count)
        elif self._named:
            reasons = {os.strerror(number) for number, _ in self._named.values()}
            number = max(count, len(self._named))
            directories_text = "1 directory" if number == 1 else f"{number} directories"
            message = f"{directories_text} cannot be watched: {', '.join(sorted(reasons))}"
        return self._say(WatchState("degraded" if self._limited else "inotify", directories, count, message, hint))

    def failed(self, error: OSError) -> WatchState:
        """What is to be told when nothing of the root can be watched."""
        state = WatchState("degraded", (self._root,), 1, f"cannot be watched: {error.strerror}", None)
        if error.errno == errno.EMFILE:
            limit = limits.instances_limit()
            message = f"no inotify instance is left (limit {limit}), so changes are found by walking"
            state = WatchState("polling", (self._root,), 1, message, limits.instances_hint())
        elif error.errno == errno.ENOSPC:
            message = f"nothing is watched: the limit of {limits.watches_limit()} inotify watches is reached"
            state = WatchState("degraded", (self._root,), 1, message, limits.watches_hint(0))
        self._said = state
        return state

    def _say(self, state: WatchState) -> WatchState | None:
        if state == self._said:
            return None
        self._said = state
        return state
