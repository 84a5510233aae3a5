"""From a file to its outcome: what the decode pool calls."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mediawatchd.hashing import descriptor, sampling
from mediawatchd.hashing.attempt import attempt
from mediawatchd.hashing.descriptor import stamp_of
from mediawatchd.hashing.fingerprint import HASH_BYTES, MIRROR, Fingerprint, unpack
from mediawatchd.hashing.frames import Frames
from mediawatchd.hashing.video import video_phash
from mediawatchd.model import (
    FINGERPRINT,
    PERCEPTUAL_HASH,
    PHASH,
    PROBE,
    Changed,
    Failed,
    PerceptuallyHashed,
    Problem,
    Task,
)
from mediawatchd.similarity.score import score
from tests.media import make_audio, make_video

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.video.frame import VideoFrame


def task_of(path: bytes, lacks: int = PHASH) -> Task:
    stamp = stamp_of(os.lstat(path))
    assert stamp is not None
    return Task(7, path, stamp, "video", lacks, 1, 1, 0)


def hashed(
    path: bytes, *, video_phash: bool = False, fingerprint: bool = True, exact: bool = True
) -> PerceptuallyHashed:
    outcome = attempt(task_of(path, PERCEPTUAL_HASH * video_phash | FINGERPRINT * fingerprint), exact)
    assert isinstance(outcome, PerceptuallyHashed), outcome
    return outcome


def fingerprint_of(path: bytes, *, exact: bool = True) -> Fingerprint:
    blob = hashed(path, exact=exact).fingerprint
    assert blob is not None
    return unpack(blob)


def apart(one: Fingerprint, other: Fingerprint, mask: bytes = bytes(HASH_BYTES)) -> float:
    """The mean distance from each frame to the nearest one of the other."""
    left, right = (np.frombuffer(each.plain, np.uint8).reshape(-1, 1, HASH_BYTES) for each in (one, other))
    distances = np.bitwise_count(left ^ np.frombuffer(mask, np.uint8) ^ right.swapaxes(0, 1)).sum(axis=2)
    return float(distances.min(axis=1).mean())


@pytest.fixture
def original(tmp_path: Path) -> bytes:
    return make_video(tmp_path / "a.mp4", seconds=8, size=(192, 108), codec="libx264")


def test_both_hashes_from_one_opening(original: bytes) -> None:
    both = hashed(original, video_phash=True)
    task = task_of(original)
    assert (both.file_id, both.stamp) == (task.file_id, task.stamp)
    assert both.video_phash == video_phash(original, 8.0)
    assert both.fingerprint == hashed(original).fingerprint
    assert hashed(original).video_phash is None
    assert hashed(original, video_phash=True, fingerprint=False) == both._replace(
        lacks=PERCEPTUAL_HASH, fingerprint=None
    )


def test_the_fingerprint(original: bytes) -> None:
    found = fingerprint_of(original)
    assert found.duration == pytest.approx(8, abs=0.01)
    assert found.times == pytest.approx([8 * number / 20 for number in range(1, 20)])
    assert len({found.plain[at : at + 32] for at in range(0, 608, 32)}) >= 12


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("b.mkv", {"codec": "libx265"}),
        ("b.webm", {"size": (128, 72)}),
        ("b.ts", {}),
        ("b.mp4", {"rotation": 90}),
        ("b.mp4", {"bars": 0.15}),
    ],
)
def test_copies_are_near(tmp_path: Path, original: bytes, name: str, more: dict[str, object]) -> None:
    copy = make_video(tmp_path / name, seconds=8, **({"size": (192, 108)} | more))
    assert apart(fingerprint_of(original), fingerprint_of(copy)) < 60


def test_mirrored_copies_are_near_in_the_mirror(tmp_path: Path, original: bytes) -> None:
    copy = make_video(tmp_path / "b.mp4", seconds=8, size=(192, 108), mirrored=True)
    assert apart(fingerprint_of(original), fingerprint_of(copy)) > 75
    assert apart(fingerprint_of(original), fingerprint_of(copy), MIRROR) < 60


def test_others_are_far(tmp_path: Path, original: bytes) -> None:
    other = make_video(tmp_path / "b.mp4", seconds=8, size=(192, 108), content=2)
    assert apart(fingerprint_of(original), fingerprint_of(other)) > 75


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is hashed is taken for a long film."""
    monkeypatch.setattr(sampling, "CHEAP_PIXELS", 0)


@pytest.mark.usefixtures("long")
def test_long_films_are_known_by_their_keyframes(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", seconds=20, size=(128, 72))  # MPEG-4 with a keyframe a second
    found = fingerprint_of(path, exact=False)
    assert len(found.times) >= 12
    assert [round(time, 2) for time in found.times] == [int(time) for time in found.times]
    copy = make_video(tmp_path / "c.mkv", seconds=20, size=(96, 54))
    assert apart(fingerprint_of(copy, exact=False), found) < 60


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_long_films_whose_keyframes_lie_elsewhere_are_known_by_exact_frames(tmp_path: Path, name: str) -> None:
    often = make_video(tmp_path / "often.mkv", seconds=40, size=(128, 72), codec="libx264", keyframe_every=17)
    seldom = make_video(tmp_path / name, seconds=40, size=(96, 54), codec="libx264", keyframe_every=40)
    fingerprints = [fingerprint_of(path) for path in (often, seldom)]
    for found in fingerprints:
        assert len(found.times) > 7
        for number in range(4, 17, 2):
            assert any(abs(time - found.duration * number / 20) < 0.1 for time in found.times)
    match = score(*fingerprints)
    assert match.verdict == "duplicate"
    assert match.matched_frames >= 7
    assert score(*(fingerprint_of(path, exact=False) for path in (often, seldom))).verdict is None


@pytest.mark.usefixtures("long")
def test_the_exact_frames_are_those_of_the_string(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a film would be decoded twice as often on the way to them."""
    path = make_video(tmp_path / "a.mkv", seconds=30, size=(128, 72), codec="libx264", keyframe_every=40)
    times: list[float] = []
    at = Frames.at

    def asked(frames: Frames, wanted: list[float], **how: bool) -> Iterator[tuple[float, VideoFrame]]:
        times.extend(wanted)
        return at(frames, wanted, **how)

    monkeypatch.setattr(Frames, "at", asked)
    hashed(path, video_phash=True)
    assert len({round(time, 1) for time in times}) == 7


@pytest.mark.usefixtures("long")
def test_few_keyframes_are_not_enough_alone(tmp_path: Path) -> None:
    few = make_video(tmp_path / "b.mkv", seconds=6, size=(128, 72))
    assert len(fingerprint_of(few, exact=False).times) == 19


def test_black_has_no_content(tmp_path: Path) -> None:
    found = fingerprint_of(make_video(tmp_path / "a.mp4", bars=0.5, seconds=2))
    assert found.times == ()
    assert found.duration == pytest.approx(2, abs=0.01)


def test_a_song_has_nothing_to_see(tmp_path: Path) -> None:
    outcome = hashed(make_audio(tmp_path / "a.mp3"), video_phash=True)
    assert (outcome.video_phash, outcome.fingerprint) == (None, None)


def test_no_media(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing of the kind" * 99)
    outcome = attempt(task_of(os.fsencode(tmp_path / "a.mp4"), PERCEPTUAL_HASH))
    assert isinstance(outcome, Failed)
    assert (outcome.lacks, outcome.problem.reason, outcome.final) == (PERCEPTUAL_HASH, "not_media", True)


@pytest.mark.parametrize("lacks", [PROBE, PHASH])
def test_an_empty_file(tmp_path: Path, lacks: int) -> None:
    (tmp_path / "a.mp4").touch()
    outcome = attempt(task_of(os.fsencode(tmp_path / "a.mp4"), lacks))
    assert isinstance(outcome, Failed)
    assert (outcome.lacks, outcome.problem) == (lacks, Problem("not_media", "The file is empty."))


def test_a_probe_loads_nothing_that_only_hashes_need(original: bytes) -> None:
    program = (
        "import os, sys; from mediawatchd.hashing.attempt import attempt; from mediawatchd.model import *;"
        f"path = {original!r}; task = Task(1, path, stamp_of(os.lstat(path)), 'video', PROBE, 1, 1, 0);"
        "assert isinstance(attempt(task), Probed);"
        "sys.exit(', '.join({'numpy', 'PIL', 'imagehash'} & set(sys.modules)) or None)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_file_that_is_another_one_by_now(original: bytes) -> None:
    task = task_of(original)
    os.utime(original, ns=(1, 1))
    outcome = attempt(task)
    assert isinstance(outcome, Changed)
    assert outcome.found == stamp_of(os.lstat(original))
    os.unlink(original)
    assert attempt(task) == Changed(task.file_id, task.stamp, task.path, None)


def test_a_file_that_changes_meanwhile(original: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(original)
    opening = os.open

    def open_and_touch(path: bytes, flags: int) -> int:
        opened = opening(path, flags)
        os.utime(path, ns=(1, 1))
        return opened

    monkeypatch.setattr(descriptor.os, "open", open_and_touch)
    assert isinstance(attempt(task), Changed)
