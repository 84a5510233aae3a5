"""Files that change under their names: content, times, rights, links, kind. Times are those of tests.library."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tests.library import TRUSTING, Library, library, overwrite_secretly

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "overwritten"


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """With files in folders named for their tests that had a perceptual hash before."""
    with library(tmp_path_factory.mktemp("changes"), settings=TRUSTING) as made:
        for name in (SECRET, "touched", "linked"):
            folder = made.folder(name)
            for number in range(3):
                (folder / f"{number}.mkv").write_bytes(os.urandom(70_000))
        made.sync()
        made.give_phashes()
        yield made


def phashes(lib: Library, folder: Path) -> dict[str, str | None]:
    prefix = os.fsencode(folder) + b"/"
    return {
        os.fsdecode(path[len(prefix) :]): row["video_phash"]
        for path, row in lib.daemon.present().items()
        if path.startswith(prefix)
    }


def test_other_bytes_of_the_same_size_and_time_are_found_by_their_ctime(lib: Library) -> None:
    folder = lib.roots[0] / SECRET
    ids = lib.ids(folder)
    assert all(phashes(lib, folder).values())
    overwrite_secretly(folder / "1.mkv", b"other bytes")
    lib.sync(walk=True)
    assert lib.ids(folder) == ids
    left = phashes(lib, folder)
    assert left.pop("1.mkv") is None
    assert all(left.values())
    assert lib.events(folder, "changed", "missing") == [("changed", "1.mkv")]


def test_rights_and_hard_links_cost_no_perceptual_hash(lib: Library) -> None:
    folder = lib.roots[0] / "linked"
    ids, known = lib.ids(folder), phashes(lib, folder)
    assert all(known.values())
    hashed = lib.hashed()
    for path in folder.iterdir():
        path.chmod(0o600)
    (folder / "second.mkv").hardlink_to(folder / "0.mkv")
    lib.sync(walk=True)
    assert lib.hashed() - hashed <= 4, "once a path at most"
    second = lib.row(folder / "second.mkv")
    assert second["quick_hash"] == lib.row(folder / "0.mkv")["quick_hash"]
    assert lib.ids(folder) == {**ids, "second.mkv": second["id"]}
    assert phashes(lib, folder) == {**known, "second.mkv": None}


def test_a_file_with_a_problem_whose_rights_change_is_waited_for(lib: Library) -> None:
    """It was to be hashed again, and sync answered before that, as the file had a problem."""
    folder = lib.folder("broken")
    path = folder / "broken.mkv"
    path.write_bytes(b"this is no video")
    lib.sync()
    problem = lib.row(path)["problem"]
    assert problem
    path.chmod(0o640)
    lib.sync(walk=True)
    assert lib.row(path)["problem"] == problem


def test_a_new_extension_makes_a_video_of_what_was_audio(lib: Library) -> None:
    """The row moved with all it knew, and stayed a video for ever."""
    folder = lib.folder("kinds")
    (folder / "song.mkv").write_bytes(os.urandom(100))
    (folder / "film.mp3").write_bytes(os.urandom(100))
    lib.sync()
    ids = lib.ids(folder)
    (folder / "song.mkv").rename(folder / "song.mp3")
    (folder / "film.mp3").rename(folder / "film.mkv")
    lib.sync()
    assert lib.ids(folder) == {"song.mp3": ids["song.mkv"], "film.mkv": ids["film.mp3"]}
    assert lib.row(folder / "song.mp3")["media_type"] == "audio"
    assert lib.row(folder / "film.mkv")["media_type"] == "video"


@pytest.mark.parametrize("walk", [False, True])
def test_files_that_are_there_for_a_moment_are_gone_after_a_sync(lib: Library, walk: bool) -> None:
    """They went while the report that they were there was on its way: nobody knew of them, so nobody missed them."""
    folder = lib.folder(f"moments_{walk}")
    for number in range(20):
        path = folder / f"{number}.mkv"
        path.write_bytes(b"%d" % number)
        (folder / f"{number}").mkdir()
        (folder / f"{number}" / "film.mkv").write_bytes(b"film %d" % number)
        time.sleep(number / 200)
        path.unlink()
        shutil.rmtree(folder / f"{number}")
        lib.sync(walk=walk)
    assert lib.ids(folder) == {}
