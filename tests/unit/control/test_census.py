"""How many copies there are, counted beside whoever asks."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from mediawatchd.control.census import LEAST_SECONDS, SHARE, Census, Copies
from tests.alike import Alike
from tests.control import Catalog as Reader
from tests.wait import wait_until

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

WITHIN = 30.0


class Counting:
    """A census whose clock and number of commits the test sets; `loans` counts what it read."""

    def __init__(self) -> None:
        self.alike = Alike()
        self.now = 1_000.0
        self.commits = 1
        self.loans = 0
        self.may_read = threading.Event()
        self.may_read.set()
        self.slow_seconds = 0.0
        self._reader = Reader(self.alike.catalog.connection)
        self.census = Census(reader=self.reader, commits=lambda: self.commits, clock=lambda: self.now)

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        assert self.may_read.wait(WITHIN)
        self.loans += 1
        self.now += self.slow_seconds
        self.slow_seconds = 0.0
        with self._reader() as connection:
            yield connection

    def add(self, name: bytes, size: int) -> None:
        self.alike.video(name + b".mkv", size, content=name)
        self.alike.video(name + b" again.mkv", size, content=name)

    def counted(self) -> dict[str, Copies]:
        """What is told once nothing is being counted."""
        self.census.counts()
        wait_until(lambda: not self.census._counting, within=WITHIN)
        return dict(self.census.counts())


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    # The connection of the test is used by another thread here, one at a time.
    import sqlite3  # noqa: PLC0415

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kw: connect(*args, **kw, check_same_thread=False))
    return Counting()


def test_groups_of_both_kinds_are_counted(counting: Counting) -> None:
    counting.add(b"a", 5_000)
    counting.add(b"b", 700)
    counting.alike.video(b"small.mkv", 30, width=64)
    counting.alike.pair(b"small.mkv", b"a.mkv")
    assert counting.counted() == {"exact": Copies(2, 5_700), "similar": Copies(1, 30)}


def test_nobody_waits_for_the_count(counting: Counting) -> None:
    counting.may_read.clear()
    assert counting.census.counts() == {}
    assert counting.census.counts() == {}
    assert sum(thread.name == "census" for thread in threading.enumerate()) == 1
    counting.may_read.set()
    assert counting.counted() == {"exact": Copies(0, 0), "similar": Copies(0, 0)}


def test_what_has_not_changed_is_not_counted_again(counting: Counting) -> None:
    counting.counted()
    loans = counting.loans
    counting.now += 10 * LEAST_SECONDS
    counting.counted()
    assert counting.loans == loans
    counting.commits += 1
    counting.add(b"a", 5_000)
    assert counting.counted()["exact"] == Copies(1, 5_000)


def test_counting_takes_its_share_of_the_time_at_most(counting: Counting) -> None:
    counting.slow_seconds = 10.0
    counting.counted()
    counting.commits += 1
    counting.add(b"a", 5_000)
    counting.now += SHARE * 10 - 1
    assert counting.counted()["exact"] == Copies(0, 0)
    counting.now += 1
    assert counting.counted()["exact"] == Copies(1, 5_000)


def test_a_catalog_that_cannot_be_read_leaves_what_was_counted(
    counting: Counting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    counting.add(b"a", 5_000)
    before = counting.counted()
    counting.commits += 1
    counting.now += LEAST_SECONDS
    monkeypatch.setattr("mediawatchd.catalog.duplicates.repeated", lambda *_args, **_kw: 1 / 0)
    assert counting.counted() == before
    assert "could not be counted" in caplog.text
    monkeypatch.undo()
    counting.now += LEAST_SECONDS
    counting.add(b"b", 10)
    assert counting.counted()["exact"] == Copies(2, 5_010)
