from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from mediawatchd.hashing.descriptor import Unreadable
from mediawatchd.hashing.video import phash_times, video_phash
from tests.media import make_audio, make_video

if TYPE_CHECKING:
    from pathlib import Path


def bits(one: str | None, other: str | None) -> list[int]:
    assert one is not None
    assert other is not None
    pairs = zip(one.split("|"), other.split("|"), strict=True)
    return [(int(left, 16) ^ int(right, 16)).bit_count() for left, right in pairs]


def test_four_hashes(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", seconds=3)
    found = video_phash(path, 3.0)
    assert found is not None
    assert re.fullmatch(r"[0-9a-f]{16}(\|[0-9a-f]{16}){3}", found)
    assert len(set(found.split("|"))) > 1


def test_their_number(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", seconds=3)
    middle = video_phash(path, 3.0, num_frames=1)
    three = video_phash(path, 3.0, num_frames=3)
    assert middle is not None
    assert three is not None
    assert three.split("|")[1] == middle


def test_when_they_are() -> None:
    assert phash_times(10.0) == [2.0, 4.0, 6.0, 8.0]
    assert phash_times(0.0) == phash_times(-1.0) == phash_times(None) == []


@pytest.mark.parametrize("duration", [None, 0.0, -3.0])
def test_no_duration(tmp_path: Path, duration: float | None) -> None:
    assert video_phash(make_video(tmp_path / "a.mp4"), duration) is None


def test_frames_that_fail_are_left_out(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", seconds=3)
    found = video_phash(path, 6.0)
    assert found is not None
    assert found.count("|") == 1
    assert video_phash(path, 600.0) is None


def test_no_moving_pictures(tmp_path: Path) -> None:
    assert video_phash(make_audio(tmp_path / "a.mp3"), 0.5) is None


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_phone_held_sideways_shows_the_same(tmp_path: Path, rotation: int) -> None:
    upright = make_video(tmp_path / "a.mp4", seconds=3, size=(128, 128))
    turned = make_video(tmp_path / "b.mp4", seconds=3, size=(128, 128), rotation=rotation)
    assert max(bits(video_phash(upright, 3.0), video_phash(turned, 3.0))) <= 6


def test_codecs_are_alike_and_contents_are_not(tmp_path: Path) -> None:
    here, there = make_video(tmp_path / "a.mp4", seconds=3), make_video(tmp_path / "b.mkv", codec="libx264", seconds=3)
    other = make_video(tmp_path / "c.mp4", seconds=3, content=2)
    assert max(bits(video_phash(here, 3.0), video_phash(there, 3.0))) <= 14
    assert min(bits(video_phash(here, 3.0), video_phash(other, 3.0))) >= 20


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.mp4")
    os.symlink(make_video(tmp_path / "a.mp4"), tmp_path / "link.mp4")
    for name in ("fifo.mp4", "link.mp4"):
        with pytest.raises(Unreadable):
            video_phash(os.fsencode(tmp_path / name), 1.0)
    (tmp_path / "text.mp4").write_text("no film at all " * 100)
    with pytest.raises(Unreadable):
        video_phash(os.fsencode(tmp_path / "text.mp4"), 1.0)
