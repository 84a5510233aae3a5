"""The walk under way: one at a time, a slice at a time, so that its root's keeper can do other things in between.

Used by the keeper's thread only. A walk that is interrupted closes what it has open on the disk, and starts over
when the root can be walked again.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog.roots import WalkRecord, record_walk
from mediawatchd.watching.visitor import Covered, Visitor
from mediawatchd.watching.walk import Walked, walk
from mediawatchd.watching.walks import HINT, WalkRequest, Walks

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Generator

    from mediawatchd.watching.reporting import Reporting

SLICE_SECONDS = 0.1
CANCELLED = "cancelled"


class Ended(NamedTuple):
    """A walk that is over; `error` is None when it saw all of its scope."""

    request: WalkRequest
    seconds: float
    error: str | None


class _Active(NamedTuple):
    request: WalkRequest
    fd: int
    steps: Generator[None]
    started: float


class Walker:
    """`open_directory` opens a directory of the root; `is_disturbed` says that the walk must not go on."""

    def __init__(
        self,
        *,
        root_id: int,
        root: bytes,
        visitor: Visitor,
        reporting: Reporting,
        walks: Walks,
        open_directory: Callable[[bytes], int],
        is_disturbed: Callable[[], bool],
    ) -> None:
        self._root_id = root_id
        self._root = root
        self._visitor = visitor
        self._reporting = reporting
        self._walks = walks
        self._open_directory = open_directory
        self._is_disturbed = is_disturbed
        self._active: _Active | None = None

    @property
    def request(self) -> WalkRequest | None:
        """What is being walked; any thread may look."""
        active = self._active
        return active.request if active else None

    def looked(self, mark: int, *, paused: bool) -> int:
        """Of a mark up to which all hints were looked at, how far no walk is outstanding either."""
        request = self.request
        marks = [self._walks.first_mark(paused=paused), request.mark if request else None]
        return min([mark, *(each - 1 for each in marks if each is not None)])

    def begin(self, connection: sqlite3.Connection, *, paused: bool) -> bool:
        """Take the next walk that waits; False when there is none.

        Raises OSError when the root itself cannot be opened: then the walk waits again.
        """
        request = self._walks.take(paused=paused)
        if request is None:
            return False
        request.walked = Walked(current=request.path)
        try:
            fd = self._open_directory(request.path)
        except OSError as error:
            if request.path == self._root:
                self._walks.put_back(request)
                raise
            self._ended(request, time.monotonic(), error)
            request.end(error.strerror or str(error))
            return True
        steps = walk(self._visitor, connection, fd, request.path, request.walked)
        self._active = _Active(request, fd, steps, time.monotonic())
        if request.cause != HINT:
            # What was reported before is in the catalog when the walk compares the disk with it.
            self._reporting.call(lambda _tx: None)
        return True

    def advance(self, *, paused: bool) -> Ended | None:
        """Go on for a slice; returns how the walk ended, if it did. Raises OSError when the root cannot be listed."""
        assert self._active is not None
        request, _, steps, started = self._active
        if paused and request.cause != HINT:
            self.interrupt()
            return None
        end = time.monotonic() + SLICE_SECONDS
        error: str | None = None
        problem: OSError | None = None
        while time.monotonic() < end:
            if request.is_cancelled():
                error = CANCELLED
                break
            if self._is_disturbed():
                return None
            try:
                next(steps)
            except StopIteration:
                break
            except Covered:
                error = "another file system is mounted over known files"
                break
            except OSError as raised:
                if request.path == self._root:
                    raise
                problem, error = raised, raised.strerror or str(raised)
                break
        else:
            return None
        self._leave()
        if error != CANCELLED:
            self._ended(request, started, problem)
        ended = Ended(request, time.monotonic() - started, error)
        if request.cause != HINT:
            self._record(ended)
        return ended

    def _record(self, ended: Ended) -> None:
        request, seconds, error = ended
        walked, result = request.walked, error or "complete"
        record = WalkRecord(request.path, request.cause, result, seconds, walked.directories, walked.files)
        self._reporting.call(lambda tx: record_walk(tx, self._root_id, record))

    def _ended(self, request: WalkRequest, began: float, problem: OSError | None) -> None:
        if problem is not None:
            self._visitor.unreadable.failed(request.path, problem)
        self._visitor.unreadable.walked(request.path, began)

    def interrupt(self) -> None:
        """Leave the walk under way, if any; it starts over later."""
        active = self._active
        self._leave()
        if active is not None:
            self._walks.put_back(active.request)

    def _leave(self) -> None:
        active, self._active = self._active, None
        if active is not None:
            active.steps.close()
            os.close(active.fd)
