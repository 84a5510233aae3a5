from __future__ import annotations

import os
from typing import TYPE_CHECKING

import av
import pytest

from mediawatchd.cli import demo
from mediawatchd.cli.demo import MARKER, Copy, Cut, Entry, NotOurs, build, main
from mediawatchd.cli.footage import Video

if TYPE_CHECKING:
    from pathlib import Path

CLIP = Video(content=1, seconds=1, size=(64, 36), audio=None)
SMALL = [
    Entry(b"Films/one.mp4", CLIP, "a clip"),
    Entry(b"Backup/copy.mp4", Copy("Films/one.mp4"), "a copy"),
    Entry(b"Backup/link.mp4", Copy("Backup/copy.mp4", hard_link=True), "a link"),
    Entry(b"Odd/caf\xe9\n.mp4", b"text", "an odd name"),
    Entry(b"Odd/broken.mp4", Cut(CLIP), "broken"),
]


@pytest.fixture(autouse=True)
def _small_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "LIBRARY", SMALL)


@pytest.fixture
def directory(tmp_path: Path) -> bytes:
    return os.fsencode(tmp_path / "new" / "demo")


def names(directory: bytes) -> set[bytes]:
    return {
        os.path.relpath(os.path.join(folder, name), directory)
        for folder, _, files in os.walk(directory)
        for name in files
    }


def read(directory: bytes, name: bytes) -> bytes:
    with open(os.path.join(directory, name), "rb") as file:
        return file.read()


def test_everything_in_the_table_is_made(directory: bytes) -> None:
    assert build(directory) == SMALL
    assert names(directory) == {MARKER, *(entry.path for entry in SMALL)}
    original = os.path.join(directory, b"Films/one.mp4")
    with av.open(original.decode()) as container:
        assert container.duration == av.time_base
    assert read(directory, b"Backup/copy.mp4") == read(directory, b"Films/one.mp4")
    assert os.stat(os.path.join(directory, b"Backup/link.mp4")).st_nlink == 2
    assert os.stat(original).st_nlink == 1


def test_a_video_cut_short_does_not_open(directory: bytes) -> None:
    build(directory)
    with pytest.raises(av.FFmpegError):
        av.open(os.path.join(directory, b"Odd/broken.mp4").decode())


def test_a_finished_demo_stays_as_a_person_left_it(directory: bytes) -> None:
    build(directory)
    os.unlink(os.path.join(directory, b"Films/one.mp4"))
    assert build(directory) == []
    build(directory, files=8)
    assert b"Films/one.mp4" not in names(directory)
    os.unlink(os.path.join(directory, b"Clips/000/clip 000007.mp4"))
    build(directory)
    assert build(directory, files=8) == []


def test_a_run_that_was_broken_off_is_finished_by_the_next(directory: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(demo, "write", full)
        with pytest.raises(OSError, match="No space"):
            build(directory)
    assert b"Films/one.mp4" not in names(directory)
    build(directory)
    assert {entry.path for entry in SMALL} <= names(directory)
    assert not [name for name in names(directory) if name.endswith(b".tmp")]


def test_further_clips_up_to_a_number_of_files(directory: bytes) -> None:
    build(directory)
    assert len(build(directory, files=8)) == 3
    assert build(directory, files=8) == []
    clips = [read(directory, name) for name in names(directory) if name.startswith(b"Clips/")]
    assert len(set(clips)) == 3


def test_a_folder_with_something_else_in_it_is_refused_untouched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.odt").write_text("years of work")
    with pytest.raises(NotOurs):
        build(os.fsencode(tmp_path))
    assert main([str(tmp_path)]) == 1
    assert "not empty" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["thesis.odt"]


def test_what_was_made_is_told_with_odd_names_escaped(directory: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([os.fsdecode(directory), "--files", "7"]) == 0
    out = capsys.readouterr().out
    assert "7 files" in out
    assert r"Odd/caf\xe9\n.mp4" in out
    assert "2 short clips" in out
    assert main([os.fsdecode(directory), "--files", "7"]) == 0
    assert "there already" in capsys.readouterr().out
