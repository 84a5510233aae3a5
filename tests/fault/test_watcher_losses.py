"""Events are lost, roots go away, names are taken again: watching says so, goes on, and never spins."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.wait import wait_until
from tests.watched import RecordingSink, child_of, create, observing, stopped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


QUEUE = "/proc/sys/fs/inotify/max_queued_events"


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    (tmp_path / "media" / "films").mkdir(parents=True)
    return os.fsencode(tmp_path) + b"/media/"


@contextmanager
def short_queue(length: int) -> Iterator[None]:
    """The kernel takes the length when an instance is made, so it is lowered for that moment only.

    It is one value for the whole machine: the lock keeps two tests from putting back each other's.
    """
    file = os.open(QUEUE, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        before = os.pread(file, 32, 0)
        try:
            os.pwrite(file, b"%d" % length, 0)
            yield
        finally:
            os.pwrite(file, before, 0)
    finally:
        os.close(file)


def cpu_seconds_in_one(pid: int) -> float:
    """How much of a second a process works."""

    def ticks() -> int:
        with open(f"/proc/{pid}/stat") as stat:
            return sum(map(int, stat.read().rsplit(")", 1)[1].split()[11:13]))

    before = ticks()
    time.sleep(1)
    return (ticks() - before) / os.sysconf("SC_CLK_TCK")


@pytest.mark.needs_root
@pytest.mark.alone
def test_an_overflow_is_said_and_what_it_hid_is_watched(tmp_path: Path, sink: RecordingSink, root: bytes) -> None:
    os.mkdir(root + b"out")
    with observing(tmp_path, sink) as observer:
        with short_queue(64):
            observer.watch(1, root)
            assert observer.sync(30)
        with stopped(observer):
            for number in range(200):
                create(root + b"films/%d.mkv" % number)
            os.makedirs(root + b"new/a")
            os.rename(root + b"films", root + b"movies")
            os.rename(root + b"out", tmp_path / "out")
        assert observer.sync(30)
        assert (1, "overflow") in sink.losses
        assert observer.statistics().lost[1, "overflow"] == len(sink.losses)
        sink.clear()
        for path in (b"new/a/1.mkv", b"movies/2.mkv", b"../out/strange.mkv"):
            create(root + path)
        assert observer.sync(30)
        assert set(sink.names) == {(1, root + b"new/a/1.mkv"), (1, root + b"movies/2.mkv")}


@pytest.mark.needs_root
@pytest.mark.alone
def test_an_overflow_with_more_directories_than_the_queue_is_long_ends(
    tmp_path: Path, sink: RecordingSink, root: bytes
) -> None:
    directories = [root + b"%d/" % number for number in range(200)]
    for directory in directories:
        os.mkdir(directory)
    with observing(tmp_path, sink) as observer:
        with short_queue(64):
            observer.watch(1, root)
            assert observer.sync(30)
        for _ in range(3):
            with stopped(observer):
                for directory in directories:
                    create(directory + b"1.mkv")
            assert observer.sync(30)
        # One overflow each, none of our own making, and no core is kept busy by what each led to.
        assert sink.losses == [(1, "overflow")] * 3
        wait_until(lambda: cpu_seconds_in_one(child_of(observer)) < 0.2, within=60)
        sink.clear()
        for directory in directories[::20]:
            create(directory + b"probe.mkv")
        assert observer.sync(30)
        assert sink.losses == []
        assert set(sink.names) == {(1, directory + b"probe.mkv") for directory in directories[::20]}


def test_a_name_taken_again_after_a_move_out_ends_nothing(tmp_path: Path, sink: RecordingSink, root: bytes) -> None:
    with observing(tmp_path, sink) as observer:
        observer.watch(1, root)
        assert observer.sync(30)
        os.rename(root + b"films", tmp_path / "moved")
        os.mkdir(root + b"films")
        os.rmdir(root + b"films")
        os.rmdir(tmp_path / "moved")
        os.mkdir(root + b"films")
        assert observer.sync(30)
        create(root + b"films/1.mkv")
        assert observer.sync(30)
        assert sink.knows(root + b"films/1.mkv")
        assert observer.statistics().restarts == 0


@pytest.mark.parametrize("how", ["deleted", "renamed"])
def test_a_root_that_goes_is_said_and_watched_again_when_it_returns(
    tmp_path: Path, sink: RecordingSink, root: bytes, how: str
) -> None:
    with observing(tmp_path, sink, retry_seconds=0.2) as observer:
        observer.watch(1, root)
        assert observer.sync(30)
        if how == "deleted":
            shutil.rmtree(root)
        else:
            os.rename(root[:-1], tmp_path / "elsewhere")
        wait_until(lambda: (1, "root_gone") in sink.losses, within=30)
        wait_until(lambda: sink.states[-1][1].kind == "degraded", within=30)
        assert sink.states[-1][1].unwatched == (root,)
        if how == "renamed":
            sink.clear()
            create(os.fsencode(tmp_path) + b"/elsewhere/1.mkv")
            assert observer.sync(30)
            assert sink.names == {}
        os.mkdir(root)
        wait_until(lambda: (1, "watched_again") in sink.losses, within=30)
        assert sink.states[-1][1].kind == "inotify"
        create(root + b"2.mkv")
        assert observer.sync(30)
        assert (1, root + b"2.mkv") in sink.names


@pytest.mark.needs_root
def test_an_unmount_below_a_root_is_said_and_watching_goes_on(tmp_path: Path, sink: RecordingSink, root: bytes) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "none", root + b"films"], check=True)
    mounted = True
    try:
        os.mkdir(root + b"films/a")
        with observing(tmp_path, sink) as observer:
            observer.watch(1, root)
            assert observer.sync(30)
            subprocess.run(["umount", root + b"films"], check=True)
            mounted = False
            wait_until(lambda: (1, "unmounted") in sink.losses, within=30)
            create(root + b"1.mkv")
            assert observer.sync(30)
            assert (1, root + b"1.mkv") in sink.names
            subprocess.run(["mount", "-t", "tmpfs", "none", root + b"films"], check=True)
            mounted = True
            # No event tells of a mount: who sees one in the mount table watches the root anew.
            observer.watch(1, root)
            assert observer.sync(30)
            create(root + b"films/2.mkv")
            assert observer.sync(30)
            assert (1, root + b"films/2.mkv") in sink.names
    finally:
        if mounted:
            subprocess.run(["umount", "-l", root + b"films"], check=True)
