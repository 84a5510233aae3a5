"""Calls that take long, so that they never take all: endless streams, lists without end, and waits.

Each holds a worker thread of its listener. They are counted, at most as many as leave some threads for calls that
answer at once, and told when the listener stops. A stream is written by the thread that serves its request; its
`close` is called there too, whether or not a line was ever sent.
"""

from __future__ import annotations

import errno
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol, Self

from mediawatchd.control import answers
from mediawatchd.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

HEARTBEAT_SECONDS = 15.0
LOOK_SECONDS = 0.5
"""How often a call that waits looks whether its client left or the daemon stops."""


class Subscription(Protocol):
    """Events as they are committed, each as a JSON object with `seq`."""

    @property
    def lagged(self) -> bool:
        """Events were dropped because they were not taken in time; nothing more will come."""
        ...

    def next(self, timeout_seconds: float) -> Sequence[Mapping[str, Any]]:
        """The next events, in order; empty when none came in time."""
        ...

    def close(self) -> None: ...


class LongCalls:
    """Shared by a listener and its workers. The lock guards how many calls are open."""

    def __init__(self, *, most: int) -> None:
        self.most = most
        self.stopping = False
        self._lock = threading.Lock()
        self._open = 0

    @property
    def open(self) -> int:
        return self._open

    def enter(self) -> LongCall:
        """A place for one long call. Raises Refused, 503, when there is none."""
        if self.stopping:
            raise stopping()
        with self._lock:
            if self._open >= self.most:
                raise Refused(
                    503, "too_many_streams", f"{self.most} streams and waits are open already",
                    hint="Close one, or ask for the state now and then instead of waiting.",
                )  # fmt: skip
            self._open += 1
        return LongCall(self)

    def stop(self) -> None:
        """Tells all of them to end; each looks within `LOOK_SECONDS`."""
        self.stopping = True

    def leave(self) -> None:
        with self._lock:
            self._open -= 1


class LongCall:
    """Belongs to the thread that serves the call."""

    def __init__(self, calls: LongCalls) -> None:
        self._calls = calls
        self._is_open = True

    @property
    def stopping(self) -> bool:
        return self._calls.stopping

    def leave(self) -> None:
        """Gives the place back; may be called twice."""
        if self._is_open:
            self._is_open = False
            self._calls.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.leave()


class ListStream:
    """A list as NDJSON, a page at a time. Ends with a broken connection when the daemon stops before its end."""

    def __init__(
        self,
        *,
        first: Sequence[Mapping[str, Any]],
        pages: Generator[Sequence[Mapping[str, Any]]],
        call: LongCall,
    ) -> None:
        self._first = first
        self._pages = pages
        self._call = call

    def __iter__(self) -> Iterator[bytes]:
        yield answers.lines(self._first)
        for page in self._pages:
            if self._call.stopping:
                # A proper end would look like the end of the list.
                raise ConnectionAbortedError(errno.ECONNABORTED, "the daemon is stopping")
            yield answers.lines(page)

    def close(self) -> None:
        self._pages.close()
        self._call.leave()


class EventStream:
    """Events as NDJSON until the client leaves, lags or the daemon stops.

    A heartbeat comes first, so that a client knows at once that it is heard, and then whenever nothing was sent for
    `HEARTBEAT_SECONDS`. Its `seq` is that of the last event sent, so a client can go on from any line.
    """

    def __init__(
        self,
        *,
        subscription: Subscription,
        since: int | None,
        call: LongCall,
        is_gone: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._subscription = subscription
        self._seq = since
        self._call = call
        self._is_gone = is_gone
        self._clock = clock

    def __iter__(self) -> Iterator[bytes]:
        yield self._line("heartbeat")
        sent_at = self._clock()
        while not self._call.stopping and not self._is_gone():
            events = self._subscription.next(LOOK_SECONDS)
            if events:
                self._seq = events[-1].get("seq", self._seq)
                yield answers.lines(events)
                sent_at = self._clock()
            if self._subscription.lagged:
                yield self._line("lagged")
                return
            if self._clock() - sent_at >= HEARTBEAT_SECONDS:
                yield self._line("heartbeat")
                sent_at = self._clock()

    def close(self) -> None:
        self._subscription.close()
        self._call.leave()

    def _line(self, event: str) -> bytes:
        return answers.document({"seq": self._seq, "time": time.time(), "event": event})


def stopping() -> Refused:
    """The refusal of what cannot be finished any more."""
    return Refused(503, "stopping", "the daemon is shutting down", hint="Ask again when it is back.")
