from __future__ import annotations

import numpy as np
import pytest

from mediawatchd.similarity.timeline import FASTEST, fit, met

TIMES = np.arange(16) * 10.0
TOLERANCE = 7.5


def test_the_line_through_most_matches_wins() -> None:
    matches = np.zeros((16, 16), np.bool_)
    matches[range(10), range(3, 13)] = True  # three frames later
    matches[[11, 12, 13], [2, 9, 0]] = True  # chance

    timeline = fit(TIMES, TIMES, matches, TOLERANCE)

    assert (timeline.speed, timeline.offset_seconds) == (1.0, 30.0)
    assert timeline.frames.tolist() == list(range(10))
    assert timeline.others.tolist() == list(range(3, 13))


def test_a_frame_with_several_matches_counts_once() -> None:
    timeline = fit(TIMES, TIMES, np.ones((16, 16), np.bool_), TOLERANCE)

    assert timeline.frames.tolist() == list(range(16))
    assert timeline.offset_seconds == 0


@pytest.mark.parametrize(("speed", "all_agree"), [(1.06, True), (1 / 1.06, True), (1.2, False)])
def test_speeds_that_a_copy_can_have(speed: float, all_agree: bool) -> None:
    times = np.arange(32) * 10.0

    timeline = fit(times, times * speed + 40, np.eye(32, dtype=np.bool_), TOLERANCE)

    assert (len(timeline.frames) == 32) is all_agree
    assert 1 / FASTEST <= timeline.speed <= FASTEST


def test_what_lies_further_from_the_line_does_not_count() -> None:
    others = TIMES + 20
    others[[3, 8]] += 0.5

    timeline = fit(TIMES, others, np.eye(16, dtype=np.bool_), 0.25)

    assert timeline.offset_seconds == 20
    assert set(range(16)) - set(timeline.frames.tolist()) == {3, 8}


def test_nothing_matched_agrees_on_nothing() -> None:
    assert len(fit(TIMES, TIMES, np.zeros((16, 16), np.bool_), TOLERANCE).frames) == 0


def test_a_keyframe_beside_an_exact_frame_meets_no_frame_of_its_own() -> None:
    """It lies behind a cut, and the frame that both have before it: so it spoke against the copy."""
    exact = np.arange(4) * 10.0
    with_keyframe = np.sort(np.append(exact, 20.08))
    timeline = fit(with_keyframe, exact, (with_keyframe[:, None] == exact), 0.1)

    assert met(with_keyframe, exact, timeline, 0.1).sum() == 4
    assert np.argwhere(met(with_keyframe, exact, timeline, 0.1))[:, 0].tolist() == [0, 1, 2, 4]
