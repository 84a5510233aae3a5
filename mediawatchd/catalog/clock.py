"""Catalog time: nanoseconds that the catalog has been open, over all runs.

Any thread may read it. The writer stores it in the transaction that stores the times taken from it; what passes
between the last one and a kill is forgotten, and never counts towards a purge. It knows no wall clock, so one
that jumps settles, retries and purges nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

_KEY = "clock_ns"


class CatalogClock:
    """Starts just above what was stored last, and goes with the monotonic clock from then on.

    CLOCK_MONOTONIC, which stands still while the machine sleeps, and not CLOCK_BOOTTIME: hours asleep are not hours
    in which a missing file had a chance to come back, and a file is not settled because the lid was closed.
    """

    def __init__(self, *, base_ns: int = 0, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._monotonic_ns = monotonic_ns
        self._offset_ns = base_ns - monotonic_ns()

    @classmethod
    def load(
        cls, connection: sqlite3.Connection, *, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> CatalogClock:
        """The clock of this run, later than every time that an earlier run took and committed."""
        row = connection.execute("SELECT value FROM state WHERE key = ?", (_KEY,)).fetchone()
        return cls(base_ns=row[0] + 1 if row else 1, monotonic_ns=monotonic_ns)

    def now_ns(self) -> int:
        return self._monotonic_ns() + self._offset_ns
