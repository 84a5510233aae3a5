"""A server that hangs: simulated by a FUSE file system whose process is stopped, as a real NFS server needs a network.

A call there hangs until the process goes on, as on a hard NFS mount. Times are not scaled: a disk hangs when it has
not answered for 15 s.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.running import Running, running
from tests.served import served, unmount
from tests.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

HANGS_SECONDS = 60
"""It takes 15 s, and up to 10 until someone looks; the rest is for a slow machine."""

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="needs /dev/fuse"),
]


def watcher_children(daemon: Running) -> list[int]:
    """The watcher children, by their command line."""
    assert daemon.process is not None
    found = []
    for task in os.listdir(f"/proc/{daemon.process.pid}/task"):
        with open(f"/proc/{daemon.process.pid}/task/{task}/children") as children:
            for child in children.read().split():
                with open(f"/proc/{child}/cmdline") as command:
                    if "mediawatchd.watching.child" in command.read():
                        found.append(int(child))
    return found


@pytest.fixture
def library(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A local root, and the source and the place of one that a server shows."""
    for name in ("local", "source/films"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.mkv").write_bytes(os.fsencode(name))
    return tmp_path / "local", tmp_path / "source", tmp_path / "remote"


def test_a_server_that_hangs_stalls_its_own_root_only(tmp_path: Path, library: tuple[Path, Path, Path]) -> None:
    local, source, remote = library
    with served(source, remote) as server, running(tmp_path / "daemon", local, remote) as daemon:
        assert daemon.sync()["offline"] == []
        assert {os.fsencode(local / "a.mkv"), os.fsencode(remote / "films/a.mkv")} == set(daemon.present())
        assert len(watcher_children(daemon)) == 2
        server.hang()
        (source / "films/later.mkv").write_bytes(b"unseen by any event")
        (local / "b.mkv").write_bytes(b"new")
        assert daemon.sync()["offline"] == [str(remote)]
        assert daemon.present()[os.fsencode(local / "b.mkv")]["quick_hash"]
        assert os.fsencode(remote / "films/a.mkv") in daemon.present()
        state = daemon.root(remote)
        assert (state["state"], state["message"]) == ("error", "the disk does not answer")
        assert daemon.root(local)["state"] == "online"
        # What is known to hang is not waited for again.
        assert daemon.sync(timeout=10, walk=True)["offline"] == [str(remote)]
        server.answer()
        wait_until(lambda: daemon.root(remote)["state"] == "online", within=HANGS_SECONDS)
        daemon.sync(walk=True)
        assert os.fsencode(remote / "films/later.mkv") in daemon.present()
        server.hang()
        assert daemon.stop() == 0


def test_neither_start_nor_stop_waits_for_a_server_that_hangs(tmp_path: Path, library: tuple[Path, Path, Path]) -> None:
    local, source, remote = library
    with served(source, remote) as server:
        server.hang()
        with running(tmp_path / "daemon", local, remote) as daemon:
            wait_until(lambda: os.fsencode(local / "a.mkv") in daemon.present(), within=HANGS_SECONDS)
            server.answer()
            wait_until(lambda: os.fsencode(remote / "films/a.mkv") in daemon.present(), within=HANGS_SECONDS)
            assert daemon.stop() == 0
            server.hang()
            daemon.start()
            assert daemon.stop() == 0


def test_a_mount_that_goes_takes_its_watcher_child_along(tmp_path: Path, library: tuple[Path, Path, Path]) -> None:
    local, source, remote = library
    with served(source, remote), running(tmp_path / "daemon", local, remote) as daemon:
        daemon.sync()
        before = daemon.present()
        unmount(remote)
        wait_until(lambda: daemon.root(remote)["state"] == "offline", within=HANGS_SECONDS)
        wait_until(lambda: len(watcher_children(daemon)) == 1, within=HANGS_SECONDS)
        assert daemon.sync()["offline"] == [str(remote)]
        assert daemon.present() == before
