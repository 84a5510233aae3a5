"""Once an hour: what is missing for long enough is forgotten, and so is old history. The main thread does it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mediawatchd.catalog import missing, roots
from mediawatchd.catalog.events import forget_before
from mediawatchd.model import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediawatchd.catalog.writer import Writer
    from mediawatchd.watching.observers import Observers
    from mediawatchd.watching.roots import Roots


class Housekeeping:
    """`keep_days` is how long history is kept; it and `observers` are asked each time: a reload changes them."""

    def __init__(
        self, *, writer: Writer, roots: Roots, observers: Callable[[], Observers], keep_days: Callable[[], float]
    ) -> None:
        self._writer = writer
        self._roots = roots
        self._observers = observers
        self._keep_days = keep_days
        self._counted = time.monotonic()

    def keep(self) -> None:
        self.count_online_time()
        oldest = time.time() - 86_400 * self._keep_days()
        self._writer.call(missing.purge)
        self._writer.call(lambda tx: forget_before(tx, oldest))
        self._observers().check_watch_count()

    def count_online_time(self) -> None:
        """Missing files are kept for so much time with their root there."""
        now = time.monotonic()
        online, elapsed = list(self._roots.online()), round((now - self._counted) * SECOND)
        self._counted = now
        self._writer.call(lambda tx: roots.add_online(tx, online, elapsed))
