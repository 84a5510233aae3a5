from __future__ import annotations

import sqlite3
from contextlib import closing

from mediawatchd.catalog import schema
from mediawatchd.catalog.clock import CatalogClock


def test_goes_with_the_monotonic_clock_from_its_base() -> None:
    moments = iter([5_000, 5_000, 5_007])
    clock = CatalogClock(base_ns=100, monotonic_ns=lambda: next(moments))
    assert clock.now_ns() == 100
    assert clock.now_ns() == 107


def test_starts_later_than_anything_that_was_committed() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.apply(connection, 1)
        assert CatalogClock.load(connection, monotonic_ns=lambda: 9).now_ns() > 0
        connection.execute("INSERT INTO state VALUES ('clock_ns', 1000)")
        # The monotonic clock starts again from nothing at each boot.
        assert CatalogClock.load(connection, monotonic_ns=lambda: 3).now_ns() > 1000
