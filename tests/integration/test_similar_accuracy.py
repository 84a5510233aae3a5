"""Edited copies are found and lookalikes are told apart: real files, through hashing, search and score.

A small form of `make bench-similar`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from benchmarks.similar import films, findings, lookalikes
from benchmarks.similar.edits import EDITS
from benchmarks.similar.hashing import CLIP, FILM, Source, Work, hash_all
from tests.media import make_video

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.similar.findings import Findings

SEVERE = {"h265 at low bitrate", "letterbox", "5 % cropped", "logo", "mirrored, letterbox, darker", "5 % faster",
          "several at once", "middle half"}  # fmt: skip
ELSEWHERE = {"a keyframe each 2 s", "a keyframe each 5 s", "h265, a keyframe each 10 s", "broadcast",
             "begins 7 s later, keyframes at cuts"}  # fmt: skip
KINDS = ("talking head", "static camera", "title cards", "dark film", "blackboard")


# Some ten seconds of work, all of it in the fixture; a busy machine may take many times as long.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    """Two films in copies, two episodes behind one opening, and two videos of each kind of lookalike."""
    folder = tmp_path_factory.mktemp("accuracy")
    films = [folder / f"film {number}.mp4" for number in range(4)]
    for number, film in enumerate(films):
        make_video(film, content=10 + number, seconds=8.0, size=(128, 72))
    severe = [edit for edit in EDITS if edit.name in SEVERE]
    assert len(severe) == len(SEVERE)
    works = [Work(Source(CLIP, film.name, frozenset(), film), True, severe) for film in films[:2]]
    alike = [one for one in lookalikes.invented(2) if one.kind in KINDS]
    episodes = [one for one in lookalikes.cut_from(films) if one.kind == "the same opening, 35%"][:2]
    assert len(alike) == 2 * len(KINDS)
    assert len(episodes) == 2
    trimmed = [edit for edit in EDITS if edit.name == "first 10 % gone"]
    works += [Work(Source(*one), True, trimmed) for one in (*alike, *episodes)]
    return findings.compare(hash_all(works, folder, processes=1), processes=1)


def test_every_edited_copy_is_found(found: Findings) -> None:
    copies = [pair for pair in found.copies if pair.a.source.kind == CLIP]
    assert len(copies) == 2 * len(SEVERE)
    assert [pair.b.name for pair in copies if not pair.alike] == []


def test_long_films_are_found_whatever_encoder_made_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They were known by keyframes alone, and four of 56 copies that other encoders had made were found."""
    monkeypatch.setattr(films, "SECONDS", 100)
    clips = []
    for number in range(3):
        clips.append(tmp_path / f"clip {number}.mp4")
        make_video(clips[-1], content=20 + number, seconds=40.0, size=(256, 144))
    edits = [edit for edit in films.EDITS if edit.name in ELSEWHERE]
    works = [
        Work(Source(FILM, f"film {number}", frozenset(), partial(films.make, clips, number)), True, copies)
        for number, copies in enumerate([edits, []])
    ]
    found = findings.compare(hash_all(works, tmp_path, processes=1), processes=1)
    assert len(found.copies) == len(ELSEWHERE)
    assert [pair.b.name for pair in found.copies if not pair.alike] == []
    assert [(pair.a.name, pair.b.name) for pair in found.others if pair.alike] == []


def test_nothing_is_taken_for_a_copy_of_what_it_only_looks_like(found: Findings) -> None:
    kinds = {pair.a.source.kind for pair in found.others if pair.lookalikes}
    assert kinds == {*KINDS, "the same opening, 35%"}
    assert [(pair.a.name, pair.b.name) for pair in found.others if pair.alike] == []


def test_lookalikes_are_as_near_as_copies(found: Findings) -> None:
    """Else nothing is proved: by their distance alone many of them would pass."""
    for kind in ("talking head", "static camera", "blackboard"):
        distances = [pair.match.distance for pair in found.others if pair.lookalikes and pair.a.source.kind == kind]
        assert min(distances) < 60, kind


def test_copies_of_lookalikes_are_found(found: Findings) -> None:
    missed = [pair.b.name for pair in found.copies if pair.a.source.kind in KINDS and not pair.alike]
    assert len(missed) <= 2, missed
