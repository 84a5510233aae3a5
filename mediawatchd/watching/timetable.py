"""When a root is walked without being asked. Used by the keeper's thread only; the clock is monotonic, in seconds."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediawatchd.watching.observer import WatchState


class Pace(NamedTuple):
    """How often a root is walked, and how long a closed file settles. In seconds."""

    interval_seconds: float
    network_interval_seconds: float
    settle_seconds: float


class Timetable:
    """Rarely where every change is seen to come, often elsewhere; begins to run with the end of a whole walk."""

    def __init__(self, *, pace: Pace, root: bytes, clock: Callable[[], float]) -> None:
        self._pace = pace
        self._root = root
        self._clock = clock
        self._whole_due: float | None = None
        self._unwatched_due: float | None = None

    def whole_walk_ended(self, watch: WatchState | None, *, events_reliable: bool) -> None:
        """Plan the next walks, by what is watched and whether the file system tells of all changes."""
        now = self._clock()
        pace = self._pace
        if watch is not None and watch.kind == "inotify" and events_reliable:
            self._whole_due = now + pace.interval_seconds * random.uniform(0.75, 1.25)
        else:
            self._whole_due = now + min(pace.interval_seconds, pace.network_interval_seconds)
        self._unwatched_due = None
        self._plan_unwatched(watch, now)

    def clear(self) -> None:
        """The root is away."""
        self._whole_due = self._unwatched_due = None

    def due(self, watch: WatchState | None) -> list[tuple[bytes, str]]:
        """The walks that are due, as path and cause; each is told once."""
        now = self._clock()
        if self._whole_due is not None:
            self._plan_unwatched(watch, now)
        walks: list[tuple[bytes, str]] = []
        if self._whole_due is not None and now >= self._whole_due:
            self._whole_due = None
            walks.append((self._root, "periodic"))
        if self._unwatched_due is not None and now >= self._unwatched_due:
            self._unwatched_due = now + self._pace.network_interval_seconds
            walks += [(path, "unwatched") for path in (watch.unwatched if watch else ())]
        return walks

    def _plan_unwatched(self, watch: WatchState | None, now: float) -> None:
        """A directory may turn out not to be watched at any time, and be watched again."""
        if watch is None or not watch.unwatched_count:
            self._unwatched_due = None
        elif self._unwatched_due is None:
            self._unwatched_due = now + self._pace.network_interval_seconds

    def due_seconds(self) -> float | None:
        """How long until a walk is due; None when none is planned."""
        due = self.next_due()
        return None if due is None else max(0.0, due - self._clock())

    def next_due(self) -> float | None:
        """When a walk is due, on the clock; any thread may ask."""
        times = [each for each in (self._whole_due, self._unwatched_due) if each is not None]
        return min(times, default=None)
