"""Files that move to another disk are copied and deleted: only their content tells. Times as in tests.library."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.library import TRUSTING, Library
from tests.running import running

if TYPE_CHECKING:
    from collections.abc import Iterator

SHM = Path("/dev/shm")


@pytest.fixture
def lib(tmp_path: Path) -> Iterator[Library]:
    """Its second root lies on a disk of its own."""
    if not os.access(SHM, os.W_OK) or SHM.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs /dev/shm")
    here = tmp_path / "media"
    here.mkdir()
    with (
        tempfile.TemporaryDirectory(dir=SHM) as there,
        running(tmp_path / "daemon", here, Path(there), settings=TRUSTING) as daemon,
    ):
        daemon.sync()
        yield Library(tmp_path, daemon, (here, Path(there)))


def fill(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(100_000))


def test_files_and_directories_keep_their_rows(lib: Library) -> None:
    """`mv` copies first: the copies are hashed before the originals are believed to be gone."""
    here, there = lib.roots
    fill(here, "1.mkv", "a/2.mkv", "a/b/3.mkv", "stays.mkv")
    lib.sync()
    lib.give_phashes()
    ids, known = lib.ids(here), phashes(lib)
    assert all(known.values())
    shutil.move(here / "1.mkv", there / "1.mkv")
    shutil.move(here / "a", there / "a")
    lib.sync()
    assert lib.ids(here) == {"stays.mkv": ids.pop("stays.mkv")}
    assert lib.ids(there) == ids
    assert phashes(lib) == known
    assert lib.daemon.rows("missing_since IS NOT NULL") == []


def test_a_tree_that_takes_its_time_keeps_its_rows(lib: Library) -> None:
    """Everything is copied, and in the catalog, before the first original is deleted."""
    here, there = lib.roots
    fill(here, "a/1.mkv", "a/2.mkv", "b/3.mkv")
    lib.sync()
    ids = lib.ids(here)
    for name in ("a", "b"):
        shutil.copytree(here / name, there / name)
    lib.sync()
    assert lib.ids(here) == ids
    shutil.rmtree(here / "a")
    (here / "b/3.mkv").unlink()
    lib.sync()
    assert lib.ids(there) == ids


def test_a_file_that_was_away_comes_to_another_disk(lib: Library, tmp_path: Path) -> None:
    here, there = lib.roots
    fill(here, "1.mkv")
    lib.sync()
    ids = lib.ids(here)
    shutil.move(here / "1.mkv", tmp_path / "1.mkv")
    lib.sync()
    assert lib.ids(here) == {}
    shutil.move(tmp_path / "1.mkv", there / "2.mkv")
    lib.sync()
    assert lib.ids(there) == {"2.mkv": ids["1.mkv"]}


def test_of_two_copies_neither_takes_the_row(lib: Library) -> None:
    here, there = lib.roots
    fill(here, "1.mkv")
    lib.sync()
    [original] = lib.ids(here).values()
    shutil.copy(here / "1.mkv", there / "1.mkv")
    shutil.copy(here / "1.mkv", there / "2.mkv")
    (here / "1.mkv").unlink()
    lib.sync()
    assert original not in lib.ids(there).values()


def phashes(lib: Library) -> dict[int, str | None]:
    return {row["id"]: row["video_phash"] for row in lib.daemon.present().values()}
