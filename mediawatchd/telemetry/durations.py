"""How long things took, counted in buckets as they happen.

Used by the threads that do the things; whoever wants to know takes a snapshot. A part owns its own, so a part that is
built anew begins at zero, which Prometheus takes for a restart.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

STAGE_SECONDS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1800)
"""From a small file in the cache to a film on a disk that is about to die."""


class DurationCounts(NamedTuple):
    """A snapshot: how many took up to each bound, in seconds, and longer than all before it; the last is the rest."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total_seconds: float


class Durations:
    """Shared by all threads. The lock guards the counts."""

    def __init__(self, bounds: tuple[float, ...] = STAGE_SECONDS) -> None:
        self._bounds = bounds
        self._lock = threading.Lock()
        self._counts = [0] * (len(bounds) + 1)
        self._total_seconds = 0.0

    def add(self, seconds: Iterable[float]) -> None:
        """Count some at once. Sixteen that are alike, the usual handful of a worker, cost 3 microseconds."""
        some = list(seconds)
        if not some:
            return
        lowest, highest = bisect_left(self._bounds, min(some)), bisect_left(self._bounds, max(some))
        with self._lock:
            self._total_seconds += sum(some)
            if lowest == highest:
                self._counts[lowest] += len(some)
                return
            for each in some:
                self._counts[bisect_left(self._bounds, each)] += 1

    def counts(self) -> DurationCounts:
        with self._lock:
            return DurationCounts(self._bounds, tuple(self._counts), self._total_seconds)
