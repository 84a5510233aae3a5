"""How many copies there are, for the metrics: counted beside them, now and then, and never while a scrape waits.

Counting exact copies of a million files takes about a second, and grouping many pairs longer. So a scrape is
told what was counted last, and has it counted anew when the catalog has changed since.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog.similar import PairSelection
from mediawatchd.control import duplicates, similar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mediawatchd.catalog.browse import Reader

log = logging.getLogger(__name__)

LEAST_SECONDS = 60.0
SHARE = 100
"""Counting takes no more than one part in so many of the time."""


class Copies(NamedTuple):
    """Groups of one kind, and what removing all but one copy of each would free."""

    groups: int
    reclaimable_bytes: int


class Census:
    """Any thread may ask. The lock guards what was counted, and whether a thread `census` counts."""

    def __init__(
        self, *, reader: Reader, commits: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._reader = reader
        self._commits = commits
        self._clock = clock
        self._lock = threading.Lock()
        # Guarded by _lock:
        self._counted: Mapping[str, Copies] = {}
        self._counted_commits = -1
        self._due = 0.0
        self._counting = False

    def counts(self) -> Mapping[str, Copies]:
        """What was counted last, by kind; nothing until that is done for the first time."""
        with self._lock:
            if not self._counting and self._clock() >= self._due and self._commits() != self._counted_commits:
                self._counting = True
                threading.Thread(target=self._count, name="census", daemon=True).start()
            return self._counted

    def _count(self) -> None:
        began, commits = self._clock(), self._commits()
        counted: Mapping[str, Copies] | None = None
        try:
            counted = {
                "exact": _sum(duplicates.reclaimable(self._reader)),
                "similar": _sum(similar.reclaimable(self._reader, PairSelection())),
            }
        except Exception as error:  # noqa: BLE001 - the daemon stops, or the catalog cannot be read: others say so
            log.warning("Copies could not be counted error=%s", error)
        now = self._clock()
        with self._lock:
            self._counting = False
            self._due = now + max(LEAST_SECONDS, SHARE * (now - began))
            if counted is not None:
                self._counted, self._counted_commits = counted, commits


def _sum(reclaimable: Iterable[int]) -> Copies:
    groups = freed = 0
    for group in reclaimable:
        groups += 1
        freed += group
    return Copies(groups, freed)
