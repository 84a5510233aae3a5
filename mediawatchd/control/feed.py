"""Events as they are committed, for those who listen.

The writer's thread publishes and never waits: who does not keep up is told so and dropped. A listener that names a
number begins with the history after it, and goes on with what is committed, without a gap.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from mediawatchd.catalog import events
from mediawatchd.catalog.events import Period, event_fields
from mediawatchd.catalog.transaction import get_state

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from mediawatchd.catalog.database import Database
    from mediawatchd.model import Event

BACKLOG = 10_000


class Feed:
    """The condition guards the listeners and their backlogs."""

    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._changed = threading.Condition()
        # Guarded by _changed:
        self._listeners: set[Listener] = set()

    def is_listened_to(self) -> bool:
        return bool(self._listeners)

    def publish(self, committed: Sequence[Event]) -> None:
        """Hand events to all listeners; on the writer's thread."""
        with self._changed:
            for listener in self._listeners:
                listener.push_locked(committed)
            self._changed.notify_all()

    def subscribe(self, since: int | None) -> Listener:
        """Listen from now on, or from after event number `since`."""
        listener = Listener(self._changed, self._leave)
        with self._changed:
            self._listeners.add(listener)
        if since is not None:
            with self._database.reader() as connection:
                newest = get_state(connection, "event_seq")
            history = events.stream(self._database.reader, Period(since=since), limit=None, after=None)
            listener.replay(history, until=newest if isinstance(newest, int) else 0)
        return listener

    def _leave(self, listener: Listener) -> None:
        with self._changed:
            self._listeners.discard(listener)


class Listener:
    """One subscriber; its methods belong to the thread that serves it."""

    def __init__(self, changed: threading.Condition, leave: Callable[[Listener], None]) -> None:
        self._changed = changed
        self._leave = leave
        self._replayed_until = 0
        self._history: Generator[list[dict[str, Any]]] | None = None
        self.lagged = False
        # Guarded by _changed:
        self._backlog: deque[Event] = deque()

    def replay(self, history: Generator[list[dict[str, Any]]], *, until: int) -> None:
        """Begin with the history up to event number `until`; all after it comes as it is committed."""
        self._history = history
        self._replayed_until = until

    def push_locked(self, committed: Sequence[Event]) -> None:
        if self.lagged:
            return
        self._backlog.extend(committed)
        if len(self._backlog) > BACKLOG:
            self._backlog.clear()
            self.lagged = True

    def next(self, timeout_seconds: float) -> Sequence[Mapping[str, Any]]:
        """The next events; empty when none came in time."""
        if self._history is not None:
            page = [event for event in next(self._history, []) if event["seq"] <= self._replayed_until]
            if page:
                return page
            self._history = None
        with self._changed:
            self._changed.wait_for(lambda: self._backlog or self.lagged, timeout_seconds)
            # What was replayed from the history may be in the backlog too.
            fresh = [event for event in self._backlog if event.seq > self._replayed_until]
            self._backlog.clear()
        return [event_fields(event) for event in fresh]

    def close(self) -> None:
        self._leave(self)
