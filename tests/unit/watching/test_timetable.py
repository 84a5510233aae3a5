"""When a root is walked, by what of it is watched; the clock belongs to the test."""

from __future__ import annotations

import pytest

from mediawatchd.watching.timetable import Pace, Timetable
from mediawatchd.watching.unwatched import WatchState

ROOT = b"/media/"
PACE = Pace(interval_seconds=21_600, network_interval_seconds=900, settle_seconds=5)
WHOLE = WatchState("inotify", (), 0, None, None)
PART = WatchState("inotify", (b"/media/private/",), 1, "1 directory cannot be watched: Permission denied", None)


class Bench:
    def __init__(self) -> None:
        self.now = 1000.0
        self.timetable = Timetable(pace=PACE, root=ROOT, clock=lambda: self.now)
        self.timetable.whole_walk_ended(WHOLE, events_reliable=True)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_cannot_be_watched_any_more_is_walked_as_often_as_what_never_could(bench: Bench) -> None:
    # It waited for the next walk of the whole root, hours away.
    assert bench.timetable.due(PART) == []
    assert bench.timetable.due_seconds() == PACE.network_interval_seconds
    bench.now += PACE.network_interval_seconds
    assert bench.timetable.due(PART) == [(b"/media/private/", "unwatched")]
    assert bench.timetable.due(PART) == []
    assert bench.timetable.due_seconds() == PACE.network_interval_seconds


def test_what_is_watched_again_is_walked_with_its_root(bench: Bench) -> None:
    bench.timetable.due(PART)
    assert bench.timetable.due(WHOLE) == []
    due = bench.timetable.due_seconds()
    assert due is not None
    assert due >= 0.75 * PACE.interval_seconds
