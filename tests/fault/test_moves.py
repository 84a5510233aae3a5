"""Files and directories that move: ids follow content, nothing is hashed again. Times are those of tests.library."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.library import TRUSTING, Library, exchange, library

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with library(tmp_path_factory.mktemp("moves"), settings=TRUSTING) as made:
        yield made


def fill(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(1000))


def test_a_directory_that_is_renamed_takes_everything_along(lib: Library) -> None:
    folder = lib.folder("renamed")
    fill(folder, "a/1.mkv", "a/b/2.mkv", "a/b/c/3.mkv")
    lib.sync()
    ids, hashed = lib.ids(folder), lib.hashed()
    (folder / "a").rename(folder / "z")
    lib.sync()
    assert lib.ids(folder) == {"z" + name.removeprefix("a"): file_id for name, file_id in ids.items()}
    assert lib.events(folder, "moved", "missing") == [("moved", "z/")]
    assert lib.hashed() == hashed


def test_a_directory_renamed_while_the_daemon_is_down(lib: Library) -> None:
    folder = lib.folder("down")
    fill(folder, "a/1.mkv", "a/b/2.mkv")
    lib.sync()
    ids = lib.ids(folder)
    lib.daemon.kill()
    (folder / "a").rename(folder / "z")
    (folder / "z/1.mkv").rename(folder / "1.mp4")
    lib.daemon.start()
    lib.sync()
    assert lib.ids(folder) == {"1.mp4": ids["a/1.mkv"], "z/b/2.mkv": ids["a/b/2.mkv"]}


def test_a_tree_that_takes_longer_to_watch_than_a_file_to_settle_is_renamed_in_one_write(tmp_path: Path) -> None:
    """3,000 folders and a settle time of 0.01 s, for more folders on a cold disk than are watched in 10 s. Its files
    were missing, and came back one by one."""
    with library(tmp_path, settings={**TRUSTING, "watch": {"settle_seconds": 0.01}}) as lib:
        folder = lib.folder("large")
        for number in range(3000):
            (folder / f"a/{number // 100}/{number}").mkdir(parents=True)
        fill(folder, *(f"a/{number // 100}/{number}/1.mp3" for number in range(0, 3000, 30)))
        lib.sync(walk=True)
        before, hashed = stored_files(lib), lib.hashed()
        (folder / "a").rename(folder / "z")
        lib.sync(walk=True)
        assert stored_files(lib) == before
        assert lib.events(folder, "moved", "missing", "restored", "added")[len(before) :] == [("moved", "z/")]
        assert lib.hashed() == hashed == len(before)


def stored_files(lib: Library) -> list[tuple[object, ...]]:
    """All rows of files as they are stored, with their folders only as a number."""
    with closing(sqlite3.connect(f"file:{lib.daemon.database}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT * FROM media_files ORDER BY id").fetchall()


def test_moves_between_roots_keep_ids_and_totals(lib: Library) -> None:
    """A directory's files stayed with the totals of the root that it had left."""
    here, there = lib.folder("between"), lib.folder("between", root=1)
    fill(here, "a/1.mkv", "a/b/2.mkv", "3.mkv")
    lib.sync()
    ids, hashed = lib.ids(here), lib.hashed()
    (here / "a").rename(there / "a")
    (here / "3.mkv").rename(there / "4.mkv")
    lib.sync()
    assert lib.ids(here) == {}
    assert lib.ids(there) == {"a/1.mkv": ids["a/1.mkv"], "a/b/2.mkv": ids["a/b/2.mkv"], "4.mkv": ids["3.mkv"]}
    assert lib.hashed() == hashed


@pytest.mark.parametrize("root", [0, 1])
def test_a_directory_that_moves_while_files_in_it_are_closed_moves_whole(lib: Library, root: int) -> None:
    """A file in it was seen at the new path first; then the directory was believed to have overwritten itself."""
    here, there = lib.folder(f"closed_{root}"), lib.folder("there" if root else "closed_there", root=root)
    fill(here, "a/b/c/1.mkv", "a/b/2.mkv", "a/3.mkv")
    lib.sync()
    ids = lib.ids(here)
    (here / "a").rename(there / "z")
    for name in ("b/c/1.mkv", "b/2.mkv", "3.mkv"):
        (there / "z" / name).open("r+b").close()
    lib.sync()
    assert lib.ids(there) == {"z" + name.removeprefix("a"): file_id for name, file_id in ids.items()}
    assert lib.events(there, "moved", "missing", "added") == [("moved", "z/")]


def test_a_directory_that_comes_back_finds_another_in_its_place(lib: Library) -> None:
    """Its row was revived where it had been, beside the one that stands there now: the daemon ended."""
    folder, outside = lib.folder("back"), lib.outside("back")
    fill(folder, "a/1.mkv")
    lib.sync()
    ids = lib.ids(folder)
    (folder / "a").rename(outside / "a")
    lib.sync()
    fill(folder, "a/2.mkv")
    lib.sync()
    (outside / "a").rename(folder / "z")
    lib.sync()
    assert lib.ids(folder).keys() == {"a/2.mkv", "z/1.mkv"}
    assert lib.ids(folder)["z/1.mkv"] == ids["a/1.mkv"]


def test_a_directory_that_now_lies_in_what_lay_in_it(lib: Library) -> None:
    folder = lib.folder("inside_out")
    fill(folder, "a/1.mkv", "a/b/2.mkv", "a/b/c/3.mkv")
    lib.sync()
    ids = lib.ids(folder)
    lib.daemon.kill()
    (folder / "a/b").rename(folder / "b")
    (folder / "a").rename(folder / "b/a")
    (folder / "b").rename(folder / "a")
    lib.daemon.start()
    lib.sync()
    assert lib.ids(folder) == {
        "a/a/1.mkv": ids["a/1.mkv"],
        "a/2.mkv": ids["a/b/2.mkv"],
        "a/c/3.mkv": ids["a/b/c/3.mkv"],
    }


def test_two_directories_in_each_other_come_out_side_by_side(lib: Library) -> None:
    """Both move in one look, one out of the other: their paths were cut at the wrong place."""
    folder = lib.folder("side_by_side")
    fill(folder, "long name/1.mkv", "long name/b/2.mkv", "long name/b/c/3.mkv")
    (folder / "new").mkdir()
    lib.sync()
    ids = lib.ids(folder)
    lib.daemon.kill()
    (folder / "long name/b").rename(folder / "new/b")
    (folder / "long name").rename(folder / "new/a")
    lib.daemon.start()
    lib.sync()
    assert lib.ids(folder) == {
        "new/a/1.mkv": ids["long name/1.mkv"],
        "new/b/2.mkv": ids["long name/b/2.mkv"],
        "new/b/c/3.mkv": ids["long name/b/c/3.mkv"],
    }


@pytest.mark.parametrize("down", [False, True])
def test_two_files_that_swap_names(lib: Library, down: bool) -> None:
    folder = lib.folder(f"swapped_{down}")
    fill(folder, "1.mkv", "x/2.mkv", "3.mkv", "4.mkv")
    lib.sync()
    ids = lib.ids(folder)
    if down:
        lib.daemon.kill()
    exchange(folder / "1.mkv", folder / "x/2.mkv")
    exchange(folder / "3.mkv", folder / "4.mkv")
    if down:
        lib.daemon.start()
    lib.sync()
    assert lib.ids(folder) == {
        "1.mkv": ids["x/2.mkv"],
        "x/2.mkv": ids["1.mkv"],
        "3.mkv": ids["4.mkv"],
        "4.mkv": ids["3.mkv"],
    }


@pytest.mark.parametrize("down", [False, True])
def test_two_directories_that_swap_names(lib: Library, down: bool) -> None:
    folder = lib.folder(f"directories_swapped_{down}")
    fill(folder, "a/1.mkv", "a/deep/2.mkv", "x/b/1.mkv")
    lib.sync()
    ids = lib.ids(folder)
    if down:
        lib.daemon.kill()
    exchange(folder / "a", folder / "x/b")
    if down:
        lib.daemon.start()
    lib.sync()
    assert lib.ids(folder) == {
        "a/1.mkv": ids["x/b/1.mkv"],
        "x/b/1.mkv": ids["a/1.mkv"],
        "x/b/deep/2.mkv": ids["a/deep/2.mkv"],
    }


def test_a_file_that_had_a_second_link_once_keeps_its_row(lib: Library) -> None:
    """The link that was deleted was as likely to be meant, so neither was."""
    folder = lib.folder("linked_once")
    fill(folder, "1.mkv")
    (folder / "2.mkv").hardlink_to(folder / "1.mkv")
    lib.sync()
    ids = lib.ids(folder)
    (folder / "2.mkv").unlink()
    lib.sync(walk=True)
    (folder / "1.mkv").rename(folder / "3.mkv")
    lib.sync()
    assert lib.ids(folder) == {"3.mkv": ids["1.mkv"]}


def test_a_known_file_renamed_over_another_keeps_its_id(lib: Library) -> None:
    folder = lib.folder("over")
    fill(folder, "Film.mkv", "Film.new.mkv")
    lib.sync()
    ids = lib.ids(folder)
    (folder / "Film.new.mkv").rename(folder / "Film.mkv")
    lib.sync()
    assert lib.ids(folder) == {"Film.mkv": ids["Film.new.mkv"]}
    [lost] = lib.daemon.rows(f"id = {ids['Film.mkv']}")
    assert lost["missing_since"] is not None


def test_a_file_that_makes_way_for_a_new_one_keeps_its_id(lib: Library) -> None:
    folder = lib.folder("way")
    fill(folder, "Film.mkv")
    lib.sync()
    ids = lib.ids(folder)
    lib.daemon.kill()
    (folder / "Film.mkv").rename(folder / "Film.old.mkv")
    fill(folder, "Film.mkv")
    lib.daemon.start()
    lib.sync()
    assert lib.ids(folder)["Film.old.mkv"] == ids["Film.mkv"]


def test_a_directory_renamed_onto_a_remembered_path(lib: Library) -> None:
    folder = lib.folder("remembered")
    fill(folder, "old/1.mkv", "new/2.mkv")
    lib.sync()
    ids = lib.ids(folder)
    shutil.rmtree(folder / "old")
    lib.sync()
    (folder / "new").rename(folder / "old")
    lib.sync()
    assert lib.ids(folder) == {"old/2.mkv": ids["new/2.mkv"]}


def test_a_new_file_with_the_inode_of_a_deleted_one_is_no_move(lib: Library) -> None:
    """Made anew until an inode came again, which ext4 and tmpfs give out at once."""
    folder = lib.folder("reused")
    fill(folder, *(f"{number}.mkv" for number in range(20)))
    lib.sync()
    ids = lib.ids(folder)
    inodes = {path.stat().st_ino for path in folder.iterdir()}
    lib.daemon.kill()
    for path in list(folder.iterdir()):
        path.unlink()
    made = 0
    while not inodes & {path.stat().st_ino for path in folder.iterdir()}:
        if made == 2_000:
            pytest.skip("needs a file system that gives an inode out again")
        fill(folder, *(f"{number}.mp4" for number in range(made, made + 20)))
        made += 20
    lib.daemon.start()
    lib.sync()
    assert len(lib.ids(folder)) == made
    assert set(lib.ids(folder).values()).isdisjoint(ids.values())
    assert lib.events(folder, "moved") == []


def test_what_was_moved_out_is_no_longer_ours(lib: Library) -> None:
    """Changes in a directory that was moved out leave no rows under its old path, and delete none."""
    folder, outside = lib.folder("out"), lib.outside("out")
    fill(folder, "a/1.mkv", "a/2.mkv", "b/3.mkv")
    lib.sync()
    (folder / "a").rename(outside / "a")
    fill(outside, "a/4.mkv")
    (outside / "a/1.mkv").unlink()
    lib.sync()
    fill(folder, "a/5.mkv")
    fill(outside, "a/6.mkv")
    lib.sync()
    assert lib.ids(folder).keys() == {"a/5.mkv", "b/3.mkv"}


def test_a_name_taken_again_after_a_move_out(lib: Library) -> None:
    """With watchdog alone the reader of all roots ends here, and everything after it is missed."""
    folder, outside = lib.folder("taken"), lib.outside("taken")
    (folder / "a").mkdir()
    lib.sync()
    (folder / "a").rename(outside / "a")
    (folder / "a").mkdir()
    (folder / "a").rmdir()
    (outside / "a").rmdir()
    fill(folder, "a/1.mkv", "2.mkv")
    lib.sync()
    assert lib.ids(folder).keys() == {"a/1.mkv", "2.mkv"}


def test_a_directory_with_the_name_of_a_film_that_was_there(lib: Library) -> None:
    """The file was believed to be there until the next walk."""
    folder = lib.folder("directory_for_file")
    fill(folder, "film.mkv", "other.mkv")
    lib.sync()
    (folder / "film.mkv").unlink()
    fill(folder, "film.mkv/1.mkv")
    lib.sync()
    shutil.rmtree(folder / "film.mkv")
    fill(folder, "film.mkv")
    lib.sync()
    assert lib.ids(folder).keys() == {"film.mkv", "other.mkv"}
