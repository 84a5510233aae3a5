"""Counting how long things took."""

import pytest

from mediawatchd.telemetry.durations import Durations


def test_each_duration_is_counted_in_the_first_bucket_that_holds_it() -> None:
    durations = Durations((0.1, 1, 10))
    durations.add([0.05, 0.1, 0.5])
    durations.add([10.5])
    durations.add([2.5, 3, 3.5])
    durations.add([])
    counts = durations.counts()
    assert (counts.bounds, counts.counts) == ((0.1, 1, 10), (2, 1, 3, 1))
    assert counts.total_seconds == pytest.approx(20.15)


def test_a_snapshot_does_not_change_any_more() -> None:
    durations = Durations((1,))
    before = durations.counts()
    durations.add([0.5])
    assert before.counts == (0, 0)
