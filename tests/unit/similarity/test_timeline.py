from __future__ import annotations

import numpy as np
import pytest

from mediawatchd.similarity.timeline import FASTEST, fit

TIMES = np.arange(16) * 10.0


def test_the_line_through_most_matches_wins() -> None:
    matches = np.zeros((16, 16), np.bool_)
    matches[range(10), range(3, 13)] = True  # three frames later
    matches[[11, 12, 13], [2, 9, 0]] = True  # chance

    timeline = fit(TIMES, TIMES, matches)

    assert (timeline.speed, timeline.offset_seconds) == (1.0, 30.0)
    assert timeline.frames.tolist() == list(range(10))
    assert timeline.others.tolist() == list(range(3, 13))


def test_a_frame_with_several_matches_counts_once() -> None:
    timeline = fit(TIMES, TIMES, np.ones((16, 16), np.bool_))

    assert timeline.frames.tolist() == list(range(16))
    assert timeline.offset_seconds == 0


@pytest.mark.parametrize(("speed", "all_agree"), [(1.06, True), (1 / 1.06, True), (1.2, False)])
def test_speeds_that_a_copy_can_have(speed: float, all_agree: bool) -> None:
    times = np.arange(32) * 10.0

    timeline = fit(times, times * speed + 40, np.eye(32, dtype=np.bool_))

    assert (len(timeline.frames) == 32) is all_agree
    assert 1 / FASTEST <= timeline.speed <= FASTEST


def test_nothing_matched_agrees_on_nothing() -> None:
    assert len(fit(TIMES, TIMES, np.zeros((16, 16), np.bool_)).frames) == 0
