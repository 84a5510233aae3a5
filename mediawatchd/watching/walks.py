"""The walks that wait for a root's keeper, and what becomes of each.

Any thread may ask for a walk; the keeper takes them one at a time. A walk that waits for the same path serves
several askers, but a person's job has a walk of its own. Too many hinted walks become one of the whole root.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mediawatchd.watching.walk import Walked

if TYPE_CHECKING:
    from collections.abc import Callable

HINT = "hint"
"""The cause of a walk that a hint asked for: it goes before all others, and on while walks are paused."""
HINTED = 1_000
"""How many hinted walks may wait, behind one that takes long."""
ENDED = "the root is no longer looked after"


@dataclass(slots=True, eq=False)
class WalkRequest:
    """A walk to be made. The keeper fills in `walked` as it goes; `error` says why it did not complete."""

    path: bytes
    cause: str
    mark: int = 0
    is_cancelled: Callable[[], bool] = bool
    walked: Walked = field(default_factory=Walked)
    error: str | None = None
    done: threading.Event = field(default_factory=threading.Event)
    is_job: bool = False

    def end(self, error: str | None) -> None:
        """Tell who waits."""
        self.error = error
        self.done.set()


class Walks:
    """The lock guards the queue. `mark` is that of the hints when the walk was asked for: see `Hints`."""

    def __init__(self, *, root: bytes, wake: Callable[[], None]) -> None:
        self._root = root
        self._wake = wake
        self._lock = threading.Lock()
        # Guarded by _lock:
        self._waiting: deque[WalkRequest] = deque()
        self._closed = False

    def ask(self, request: WalkRequest) -> WalkRequest:
        """Queue a walk, or return the one that waits already."""
        with self._lock:
            if self._closed:
                request.end(ENDED)
                return request
            if (waiting := self._waiting_locked(request)) is not None:
                return waiting
            if request.cause == HINT and (collapsed := self._collapse_locked()) is not None:
                request = collapsed
                if (waiting := self._waiting_locked(request)) is not None:
                    # One walk of the root is enough, however many hints come while another is under way.
                    waiting.mark = min(waiting.mark, request.mark)
                    return waiting
            if request.is_job or request.cause == HINT:
                self._waiting.appendleft(request)
            else:
                self._waiting.append(request)
        self._wake()
        return request

    def _waiting_locked(self, request: WalkRequest) -> WalkRequest | None:
        """The walk that waits and serves this request too."""
        if request.is_job:
            return None
        return next((one for one in self._waiting if one.path == request.path and not one.is_job), None)

    def _collapse_locked(self) -> WalkRequest | None:
        """When too many hinted walks wait, the walk of the root that they become."""
        hinted = [waiting for waiting in self._waiting if waiting.cause == HINT]
        if len(hinted) < HINTED:
            return None
        self._waiting = deque(waiting for waiting in self._waiting if waiting.cause != HINT)
        for waiting in hinted:
            waiting.end(None)
        return WalkRequest(self._root, "too_many_hints", min(waiting.mark for waiting in hinted))

    def put_back(self, request: WalkRequest) -> None:
        """A walk that could not go on now starts over later."""
        with self._lock:
            if self._closed:
                request.end(ENDED)
            else:
                self._waiting.appendleft(request)

    def close(self) -> list[WalkRequest]:
        """Nobody takes walks any more: returns those that wait, and ends what is still asked for."""
        with self._lock:
            self._closed = True
            left, self._waiting = list(self._waiting), deque()
        return left

    def take(self, *, paused: bool) -> WalkRequest | None:
        with self._lock:
            for request in self._waiting:
                if request.cause == HINT or not paused:
                    self._waiting.remove(request)
                    return request
        return None

    def refuse(self, error: str) -> None:
        """End all that wait: the root cannot be walked, and its return brings a walk of its own."""
        with self._lock:
            refused, self._waiting = list(self._waiting), deque()
        for request in refused:
            request.end(error)

    def first_mark(self, *, paused: bool) -> int | None:
        """The mark of the oldest walk that can be waited for; None when there is none."""
        with self._lock:
            return min((one.mark for one in self._waiting if one.cause == HINT or not paused), default=None)
