"""Roots that are not there, cannot be read, are emptied, renamed, made anew, or leave the configuration.

Times are those of tests.library; a root that is away is looked at every 10 seconds, as always.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.library import hashed, library
from tests.oracle import differences
from tests.running import Running, running
from tests.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

BACK_SECONDS = 60
"""A root that is back is seen within 10 s; the rest is for a slow machine."""


def fill(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number}.mp3").write_bytes(b"%s %d" % (os.fsencode(folder), number))


def state(daemon: Running, root: Path) -> str:
    return str(daemon.root(root)["state"])


def ids(daemon: Running) -> dict[bytes, int]:
    return {path: row["id"] for path, row in daemon.present().items()}


def test_a_root_that_is_missing_at_the_start_comes_later(tmp_path: Path) -> None:
    here, away = tmp_path / "here", tmp_path / "away"
    fill(here, 3)
    with running(tmp_path / "daemon", here, away) as daemon:
        assert daemon.sync()["offline"] == [str(away)]
        assert len(daemon.present()) == 3
        assert state(daemon, away) == "offline"
        assert daemon.root(away)["hint"]
        fill(away, 2)
        fill(here / "more", 2)
        wait_until(lambda: state(daemon, away) == "online", within=BACK_SECONDS)
        assert daemon.sync()["offline"] == []
        assert differences(daemon, [os.fsencode(here), os.fsencode(away)]) == []
        assert len(daemon.present()) == 7


@pytest.mark.needs_root
def test_what_cannot_be_read_is_not_deleted(tmp_path: Path) -> None:
    """In a namespace where the daemon is root over its own files only."""
    root, other = tmp_path / "media", tmp_path / "other"
    fill(root, 2)
    fill(root / "closed", 2)
    fill(other, 1)
    with running(tmp_path / "daemon", root, other, command=["unshare", "-Ur"]) as daemon:
        daemon.sync()
        before = ids(daemon)
        close(root / "closed")
        daemon.sync(walk=True)
        assert ids(daemon) == before
        close(root)
        daemon.sync(walk=True)
        wait_until(lambda: state(daemon, root) == "error", within=BACK_SECONDS)
        assert "permission denied" in daemon.root(root)["message"].lower()
        assert daemon.status()["degraded"]
        daemon.sync(walk=True)
        fill(other, 2)
        assert daemon.sync()["offline"] == [str(root)]
        assert before.items() <= ids(daemon).items()
        assert len(daemon.present()) == len(before) + 1
        for path in (root, root / "closed"):
            os.chown(path, 0, 0)
        wait_until(lambda: state(daemon, root) == "online", within=BACK_SECONDS)
        daemon.sync()
        assert differences(daemon, [os.fsencode(root), os.fsencode(other)]) == []


def close(path: Path) -> None:
    os.chown(path, 12_345, 12_345)
    path.chmod(0o700)


def test_an_emptied_root_is_held_until_a_person_confirms(tmp_path: Path) -> None:
    root = tmp_path / "media"
    fill(root, 100)
    with running(tmp_path / "daemon", root) as daemon:
        daemon.sync()
        before = ids(daemon)
        for path in list(root.iterdir()):
            path.unlink()
        assert daemon.sync()["held"] == 100
        assert daemon.root(root)["held"] == 100
        assert ids(daemon) == before
        daemon.sync(walk=True)
        daemon.kill()
        daemon.start()
        assert daemon.sync()["held"] == 100
        assert ids(daemon) == before
        assert daemon.post("/api/roots/confirm-missing", {"path": str(root)})["files"] == 100
        assert daemon.sync(walk=True)["held"] == 0
        assert daemon.present() == {}
        assert len(daemon.rows("missing_since IS NOT NULL")) == 100


def test_held_files_that_return_are_let_go(tmp_path: Path) -> None:
    root, away = tmp_path / "media", tmp_path / "away"
    fill(root / "films", 60)
    fill(root, 20)
    with running(tmp_path / "daemon", root) as daemon:
        daemon.sync()
        before, read = ids(daemon), hashed(daemon)
        (root / "films").rename(away)
        assert daemon.sync()["held"] == 60
        assert ids(daemon) == before
        away.rename(root / "films")
        assert daemon.sync()["held"] == 0
        assert ids(daemon) == before
        assert hashed(daemon) == read
        assert differences(daemon, [os.fsencode(root)]) == []


def test_held_files_found_at_another_place_are_let_go(tmp_path: Path) -> None:
    root, away = tmp_path / "media", tmp_path / "away"
    fill(root / "films", 60)
    with running(tmp_path / "daemon", root) as daemon:
        daemon.sync()
        before = {os.path.basename(path): file_id for path, file_id in ids(daemon).items()}
        (root / "films").rename(away)
        assert daemon.sync()["held"] == 60
        away.rename(root / "movies")
        assert daemon.sync()["held"] == 0
        assert {os.path.basename(path): file_id for path, file_id in ids(daemon).items()} == before
        assert differences(daemon, [os.fsencode(root)]) == []


def test_a_root_deleted_and_made_anew_is_watched_again(tmp_path: Path) -> None:
    root = tmp_path / "media"
    fill(root, 3)
    with running(tmp_path / "daemon", root) as daemon:
        daemon.sync()
        before = ids(daemon)
        shutil.rmtree(root)
        wait_until(lambda: state(daemon, root) == "offline", within=BACK_SECONDS)
        daemon.sync()
        assert before.items() >= ids(daemon).items()
        fill(root / "new", 2)
        wait_until(lambda: state(daemon, root) == "online", within=BACK_SECONDS)
        daemon.sync()
        assert differences(daemon, [os.fsencode(root)]) == []
        assert len(daemon.present()) == 2
        # Watched, not only walked: what comes now is found without a walk.
        wait_until(lambda: daemon.root(root)["watch"] == "inotify", within=BACK_SECONDS)
        fill(root / "newer", 2)
        daemon.sync()
        assert len(daemon.present()) == 4


def test_a_renamed_root_is_offline_and_leaves_no_false_paths(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "media", tmp_path / "elsewhere"
    fill(root, 3)
    fill(root / "films", 60)
    with running(tmp_path / "daemon", root) as daemon:
        daemon.sync()
        before, read = ids(daemon), hashed(daemon)
        root.rename(elsewhere)
        fill(elsewhere / "more", 2)
        (elsewhere / "0.mp3").unlink()
        wait_until(lambda: state(daemon, root) == "offline", within=BACK_SECONDS)
        assert daemon.sync(walk=True)["offline"] == [str(root)]
        assert ids(daemon) == before
        elsewhere.rename(root)
        wait_until(lambda: state(daemon, root) == "online", within=BACK_SECONDS)
        daemon.sync()
        assert differences(daemon, [os.fsencode(root)]) == []
        assert {path: file_id for path, file_id in ids(daemon).items() if path in before} == {
            path: file_id for path, file_id in before.items() if not path.endswith(b"/media/0.mp3")
        }
        assert hashed(daemon) == read + 2


def test_a_root_may_be_a_symbolic_link_and_links_in_it_are_not_followed(tmp_path: Path) -> None:
    real, root, outside = tmp_path / "real", tmp_path / "media", tmp_path / "outside"
    fill(real, 2)
    fill(outside, 2)
    root.symlink_to(real)
    (real / "loop").symlink_to(".")
    (real / "up").symlink_to("..")
    (real / "out").symlink_to(outside)
    (real / "film.mkv").symlink_to(outside / "0.mp3")
    with running(tmp_path / "daemon", root) as daemon:
        daemon.sync()
        fill(real / "new", 2)
        (real / "new" / "loop").symlink_to("..")
        daemon.sync()
        assert differences(daemon, [os.fsencode(root)]) == []
        assert len(daemon.present()) == 4
        daemon.sync(walk=True)
        assert len(daemon.present()) == 4


def test_a_root_that_leaves_the_configuration_comes_back_with_all_hashes(tmp_path: Path) -> None:
    with library(tmp_path) as lib:
        daemon, (stays, leaves) = lib.daemon, lib.roots
        fill(stays, 2)
        fill(leaves / "films", 5)
        lib.sync()
        before, read = daemon.present(), hashed(daemon)
        daemon.configure([stays], {})
        daemon.post("/api/reload")
        daemon.sync()
        assert len(daemon.present()) == 2
        assert [each["path"] for each in daemon.status()["roots"]] == [str(stays)]
        assert daemon.status()["catalog"]["files"] == 2
        daemon.configure([stays, leaves], {})
        daemon.post("/api/reload")
        lib.sync()
        assert daemon.present() == before
        assert hashed(daemon) == read
