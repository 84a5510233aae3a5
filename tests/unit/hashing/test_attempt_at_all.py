"""Probe, perceptual hash and fingerprint in one opening."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

import av.error
import pytest

from mediawatchd.hashing import attempt as attempting
from mediawatchd.hashing import descriptor, looks
from mediawatchd.hashing.attempt import attempt
from mediawatchd.model import PHASH, PROBE, Changed, Failed, Outcome, PerceptuallyHashed, Probed, Stamp, Task, stamp_of
from tests.media import make_audio, make_video

if TYPE_CHECKING:
    from pathlib import Path

KINDS: dict[str, dict[str, object]] = {
    "a.mp4": {"codec": "libx264", "b_frames": 2, "audio": "aac"},
    "a.mkv": {"codec": "libx264", "b_frames": 2},
    "a.ts": {},
    "a.avi": {},
    "hdr.mkv": {"codec": "libx265", "hdr": True},
    "turned.mov": {"rotation": 90},
}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Outcome]:
    told: list[Outcome] = []
    monkeypatch.setattr(attempting, "tell", told.append)
    return told


def task_of(path: bytes, lacks: int = PROBE | PHASH) -> Task:
    return Task(7, path, stamp_of(os.lstat(path)), "video", lacks, 1, 1, 0)


def touch(path: bytes) -> Stamp:
    os.utime(path, ns=(1, 1))
    return stamp_of(os.lstat(path))


@pytest.mark.parametrize("name", KINDS)
def test_all_of_it_is_what_each_alone_would_be_and_the_file_is_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[Outcome], name: str
) -> None:
    path = make_video(tmp_path / name, seconds=4, **KINDS[name])
    alone = [attempt(task_of(path, PROBE)), attempt(task_of(path, PHASH))]
    opened: list[bytes] = []
    opening = os.open
    monkeypatch.setattr(descriptor.os, "open", lambda path, *more: opened.append(path) or opening(path, *more))
    together = attempt(task_of(path))
    assert [*told, together] == alone
    assert [type(outcome) for outcome in alone] == [Probed, PerceptuallyHashed]
    assert opened == [path]


def test_a_song_has_nothing_to_see_but_it_has_a_probe(tmp_path: Path, told: list[Outcome]) -> None:
    task = task_of(make_audio(tmp_path / "song.mp3"))
    assert attempt(task) == PerceptuallyHashed(7, task.stamp, PHASH, None, None)
    assert [type(outcome) for outcome in told] == [Probed]


def test_what_cannot_be_probed_has_failed_at_that(tmp_path: Path, told: list[Outcome]) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing of the kind" * 99)
    outcome = attempt(task_of(os.fsencode(tmp_path / "a.mp4")))
    assert isinstance(outcome, Failed)
    assert (outcome.lacks, outcome.problem.reason, told) == (PROBE, "not_media", [])


def test_what_cannot_be_hashed_has_been_probed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[Outcome]
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise av.error.InvalidDataError(0, "Invalid data")

    path = make_video(tmp_path / "a.mp4")
    monkeypatch.setattr(looks, "looks_of", fail)
    outcome = attempt(task_of(path))
    assert isinstance(outcome, Failed)
    assert (outcome.lacks, outcome.problem.reason) == (PHASH, "decode")
    assert told == [attempt(task_of(path, PROBE))]


def test_nothing_is_told_of_a_file_that_changed_while_it_was_probed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[Outcome]
) -> None:
    path = make_video(tmp_path / "a.mp4")
    task, probed = task_of(path), attempting._probed
    monkeypatch.setattr(attempting, "_probed", lambda *asked: (probed(*asked), touch(path))[0])
    assert attempt(task) == Changed(7, task.stamp, path, stamp_of(os.lstat(path)))
    assert told == []


def test_what_was_told_of_a_file_that_changes_later_was_true_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[Outcome]
) -> None:
    path = make_video(tmp_path / "a.mp4")
    task, looks_of = task_of(path), looks.looks_of
    expected = attempt(task._replace(lacks=PROBE))
    monkeypatch.setattr(looks, "looks_of", lambda *asked, exact: (looks_of(*asked, exact=exact), touch(path))[0])
    assert attempt(task) == Changed(7, task.stamp, path, stamp_of(os.lstat(path)))
    assert told == [expected]
