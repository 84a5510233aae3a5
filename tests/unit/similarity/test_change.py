from __future__ import annotations

import numpy as np
import pytest

from mediawatchd.similarity.change import alike, centred, change, sigmas
from mediawatchd.similarity.timeline import Timeline

NOW = np.eye(12, dtype=np.bool_)
LINE = Timeline(0.0, 1.0, np.arange(12), np.arange(12))


def video(seed: int, bits: int, *, room: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Twelve frames of a room as ones and minus ones, each with so many of 256 bits turned."""
    dice = np.random.default_rng(seed)
    frames = np.tile(np.random.default_rng(room).choice([-1, 1], 256), (12, 1))
    for frame in frames:
        frame[dice.choice(256, bits, replace=False)] *= -1
    return frames


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return ((256 - one @ other.T) // 2).astype(np.intp)


def compared(one: np.ndarray, other: np.ndarray, near: np.ndarray = NOW, most: int = 75):  # type: ignore[type-arg, no-untyped-def]
    return change(near, distances(one, other), (distances(one, one), distances(other, other)), LINE, most)


def test_centred_distances_are_the_products_without_what_is_common() -> None:
    one, other = video(1, 30), video(2, 40)[:9]
    expected = (one - one.mean(axis=0)) @ (other - other.mean(axis=0)).T
    assert np.allclose(centred(distances(one, other)) / (12 * 9) * 2, expected)


def test_a_video_changes_like_itself() -> None:
    found = compared(video(1, 30), video(1, 30))
    assert found.correlation == pytest.approx(1)
    assert found.timeline.frames.tolist() == found.timeline.others.tolist() == list(range(12))


def test_what_an_edit_does_to_every_frame_falls_away() -> None:
    logo = np.ones(256, np.int64)
    logo[:50] = -1
    assert compared(video(1, 30), video(1, 30) * logo).correlation > 0.6


def test_two_videos_of_one_room_do_not_change_alike() -> None:
    found = compared(video(1, 30), video(2, 30))
    assert abs(found.correlation) < 0.15
    assert len(found.timeline.frames) <= 1


def test_frames_that_are_too_far_apart_do_not_agree_however_alike_they_change() -> None:
    assert compared(video(1, 60), -video(1, 60)).timeline.frames.tolist() == []
    assert compared(video(1, 30), video(1, 30), most=-1).timeline.frames.tolist() == []


def test_of_several_frames_at_the_same_moment_the_one_that_changes_alike_counts() -> None:
    blurred = NOW | np.roll(NOW, 1, axis=1) | np.roll(NOW, -1, axis=1)
    assert compared(video(1, 30), video(1, 30), near=blurred).timeline.others.tolist() == list(range(12))


@pytest.mark.parametrize("moments", [0, 1])
def test_one_moment_in_common_says_nothing(moments: int) -> None:
    near = np.zeros((12, 12), np.bool_)
    near[range(moments), range(moments)] = True
    found = compared(video(1, 30), video(1, 30), near=near)
    assert (found.correlation, len(found.timeline.frames)) == (0.0, 0)


def test_two_stills_have_no_change_to_compare() -> None:
    assert compared(video(1, 0), video(1, 0)).correlation == 0


def more_than_chance(agreeing: int, one: np.ndarray, other: np.ndarray) -> float:  # type: ignore[type-arg]
    within = distances(one, one), distances(other, other)
    return sigmas(agreeing, NOW, alike(distances(one, other), within, 75))


def test_what_agrees_nowhere_else_does_not_agree_by_chance() -> None:
    assert more_than_chance(12, video(1, 30), video(1, 30)) > 20
    assert more_than_chance(0, video(1, 30), video(1, 30)) == pytest.approx(0, abs=0.5)


def test_what_agrees_half_of_the_time_everywhere_must_agree_more_often() -> None:
    """Two cameras: by chance between five and six of twelve frames agree, give or take 1.8."""
    show = np.concatenate([video(1, 0, room=camera)[:6] for camera in (1, 2)])
    assert more_than_chance(7, show, show) == pytest.approx(0.8, abs=0.3)
    assert more_than_chance(12, show, show) > 3


def test_frames_without_others_near_them_are_not_expected_to_agree() -> None:
    nothing, agree = np.zeros_like(NOW), np.ones_like(NOW)
    assert sigmas(3, nothing, agree) == 6


def test_where_all_are_near_nothing_tells_of_chance() -> None:
    everything = np.ones_like(NOW)
    assert sigmas(3, everything, everything) == 6
