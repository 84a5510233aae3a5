"""Many files at once, at the worst of times: nothing is missed, and nothing is hashed twice.

Times are those of tests.library; how the watcher itself survives is tested in test_watcher_*.py.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.library import Library, library, metric
from tests.oracle import differences
from tests.running import Running, running
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

QUEUE = "/proc/sys/fs/inotify/max_queued_events"


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    with library(tmp_path_factory.mktemp("bursts")) as made:
        yield made


def fill(folder: Path, *, folders: int, files: int) -> None:
    for number in range(folders):
        directory = folder / f"{number % 5}" / f"{number}"
        directory.mkdir(parents=True)
        for each in range(files):
            (directory / f"{each}.mp3").write_bytes(b"%d %d" % (number, each))


@pytest.mark.parametrize(
    "command", ["cp -r {0} {1}/tree", "mkdir {1}/tree && tar -C {0} -c . | tar -C {1}/tree -x", "mv {0} {1}/tree"]
)
def test_a_tree_of_two_thousand_files_is_hashed_once(lib: Library, command: str) -> None:
    name = command.split(maxsplit=1)[0]
    source, folder = lib.outside(name), lib.folder(name)
    fill(source, folders=40, files=50)
    lib.sync()
    hashed = lib.hashed()
    subprocess.run(command.format(source, folder), shell=True, check=True)
    lib.sync()
    assert len(lib.ids(folder)) == 2000
    assert lib.hashed() - hashed == 2000


def test_files_made_while_the_daemon_starts_are_all_found(tmp_path: Path) -> None:
    root = tmp_path / "media"
    fill(root, folders=20, files=10)
    ended = threading.Event()

    def make() -> None:
        number = 0
        while not ended.is_set() and number < 2000:
            directory = root / "late" / f"{number // 20}"
            directory.mkdir(parents=True, exist_ok=True)
            (directory / f"{number}.mp3").write_bytes(b"%d" % number)
            number += 1
            ended.wait(0.002)

    maker = threading.Thread(target=make)
    maker.start()
    try:
        with running(tmp_path / "daemon", root) as daemon:
            daemon.sync()
            ended.set()
            maker.join()
            daemon.sync()
            assert differences(daemon, [os.fsencode(root)]) == []
            assert len(daemon.present()) > 300
    finally:
        ended.set()
        maker.join()


@pytest.mark.needs_root
@pytest.mark.alone
def test_nothing_is_missed_when_the_queue_of_events_overflows(tmp_path: Path) -> None:
    root = tmp_path / "media"
    fill(root, folders=10, files=1)
    with ExitStack() as stack:
        with short_queue(64):
            daemon = stack.enter_context(running(tmp_path / "daemon", root))
            daemon.sync()
        watcher = watcher_of(daemon)
        os.kill(watcher, signal.SIGSTOP)
        try:
            fill(root / "new", folders=10, files=30)
            for path in list(root.glob("?/*")):
                (path / "0.mp3").unlink()
                for number in range(1, 30):
                    (path / f"{number}.mp3").write_bytes(b"%d" % number)
        finally:
            os.kill(watcher, signal.SIGCONT)
        daemon.sync()
        assert differences(daemon, [os.fsencode(root)]) == []
        assert len(daemon.present()) == 590
        assert metric(daemon, f'mediawatchd_watch_lost_total{{reason="overflow",root="{root}"}}') > 0


def test_a_flood_that_nobody_takes_becomes_one_walk(tmp_path: Path) -> None:
    """17,400 events in more folders than the watcher keeps by name, instead of 300,000, while the daemon stands still
    and its workers are paused. Most are of no media, which costs the workers nothing afterwards."""
    root = tmp_path / "media"
    folders = [root / f"{number % 5}" / f"{number}" for number in range(5_800)]
    for folder in folders:
        folder.mkdir(parents=True)
    with running(tmp_path / "daemon", root) as daemon:
        daemon.sync()
        lost = f'mediawatchd_watch_lost_total{{reason="too_many_hints",root="{root}"}}'
        assert metric(daemon, lost) == 0
        daemon.post("/api/pause")
        assert daemon.process is not None
        os.kill(daemon.process.pid, signal.SIGSTOP)
        try:
            for number, folder in enumerate(folders):
                for name in ("a.nfo", "b.nfo", "c.nfo" if number % 10 else "c.mp3"):
                    (folder / name).write_bytes(b"%d" % number)
        finally:
            os.kill(daemon.process.pid, signal.SIGCONT)
        wait_until(lambda: metric(daemon, lost) > 0, within=60)
        daemon.post("/api/resume")
        daemon.sync()
        assert differences(daemon, [os.fsencode(root)]) == []
        assert len(daemon.present()) == 580
        assert metric(daemon, 'mediawatchd_files_processed_total{result="hashed"}') == 580


def test_nothing_is_missed_when_the_watcher_is_killed(lib: Library) -> None:
    folder = lib.folder("killed")
    fill(folder, folders=10, files=1)
    lib.sync()
    assert lib.daemon.process is not None
    pid, watcher = lib.daemon.process.pid, watcher_of(lib.daemon)
    fill(folder / "before", folders=5, files=10)
    os.kill(watcher, signal.SIGKILL)
    fill(folder / "after", folders=5, files=10)
    for number in range(10):
        (folder / f"{number % 5}" / f"{number}" / "0.mp3").rename(folder / f"{number}.mp3")
    lib.sync()
    assert len(lib.ids(folder)) == 110
    assert watcher_of(lib.daemon) != watcher
    assert lib.daemon.process.pid == pid
    # It watches again: what comes now is found without a walk.
    fill(folder / "later", folders=2, files=10)
    lib.sync()
    assert len(lib.ids(folder)) == 130


def limited(limit: str, value: int) -> list[str]:
    """Runs what follows in a user namespace of its own with a lower limit."""
    return ["unshare", "-Ur", "sh", "-c", f'echo {value} > /proc/sys/user/{limit} && exec "$@"', "sh"]


@pytest.mark.needs_root
@pytest.mark.parametrize(
    ("limit", "value", "watch"), [("max_inotify_watches", 50, "degraded"), ("max_inotify_instances", 0, "polling")]
)
def test_directories_that_cannot_be_watched_are_polled(tmp_path: Path, limit: str, value: int, watch: str) -> None:
    """They are polled every 3 seconds here, not every 15 minutes: a factor of 300."""
    root = tmp_path / "media"
    fill(root, folders=100, files=1)
    settings = {"reconcile": {"network_interval_minutes": 0.05}}
    with running(tmp_path / "daemon", root, settings=settings, command=limited(limit, value)) as daemon:
        daemon.sync()
        assert differences(daemon, [os.fsencode(root)]) == []
        status = daemon.status()
        [told] = status["roots"]
        assert status["degraded"]
        assert told["watch"] in {watch, "degraded"}
        assert told["unwatched_directories"] > 0
        assert limit in told["hint"] or "sysctl" in told["hint"]
        for number in range(100):
            (root / f"{number % 5}" / f"{number}" / "1.mp3").write_bytes(b"%d" % number)
        wait_until(lambda: len(daemon.present()) == 200, within=60)
        daemon.sync()
        assert differences(daemon, [os.fsencode(root)]) == []


@contextmanager
def short_queue(length: int) -> Iterator[None]:
    """The kernel takes the length when an instance is made. It is one value for the whole machine: the lock keeps two
    tests from putting back each other's."""
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


def watcher_of(daemon: Running) -> int:
    """The process that watches, as soon as there is one."""
    assert daemon.process is not None
    tasks = Path(f"/proc/{daemon.process.pid}/task")

    def found() -> list[int]:
        children = [pid for task in tasks.iterdir() for pid in (task / "children").read_text().split()]
        return [int(pid) for pid in children if b"watching" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    [pid] = wait_until(found, within=30)
    return pid
