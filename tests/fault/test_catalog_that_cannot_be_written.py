"""A catalog that is locked by another program, has no space left, or belongs to a newer daemon: through the real one.

The writer waits 0.25 s for a lock instead of 5: a factor of 20. It takes 1,000 facts before others wait, not 20,000.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mediawatchd.errors import Refused
from tests.disks import fill_up, in_memory, own_mounts  # noqa: F401 - a fixture
from tests.library import metric
from tests.oracle import differences, media_files
from tests.running import START_SECONDS, Running, running
from tests.wait import wait_until

SOON = 60
FILES = 200
CAPACITY = 1_000
IMPATIENT = f"""
from mediawatchd.catalog import connection, writer
connection._BUSY_SECONDS /= 20
writer.CAPACITY = {CAPACITY}
"""


def write(root: Path, count: int) -> None:
    """Make so many files, or change them; at their ends, as a disk takes its time with what is written anew."""
    root.mkdir(exist_ok=True)
    for number in range(count):
        with (root / f"{number}.mp3").open("ab") as file:
            file.write(b"%d" % number)


def trouble(daemon: Running) -> str:
    """The first thing that is wrong; empty when nothing is."""
    troubles = daemon.status()["troubles"]
    return str(troubles[0]) if troubles else ""


def waiting(daemon: Running) -> float:
    """How many facts and outcomes the writer has not taken yet."""
    return metric(daemon, 'mediawatchd_queue_length{queue="db"}')


def memory_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return 1000 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def test_a_sync_says_that_the_writer_waits_for_a_lock(tmp_path: Path) -> None:
    root = tmp_path / "media"
    write(root, 3)
    with running(tmp_path / "daemon", root, first=IMPATIENT) as daemon:
        daemon.sync()
        with daemon.locked():
            write(root, 4)
            with pytest.raises(Refused) as refused:
                daemon.sync(timeout=3)
            assert (refused.value.status, refused.value.code) == (504, "timeout")
            assert refused.value.detail["open"] == "writer"
            assert "writer" in str(refused.value)
            wait_until(lambda: "locked" in trouble(daemon), within=SOON)
        daemon.sync()
        assert not daemon.status()["degraded"]
        assert differences(daemon, [os.fsencode(root)]) == []


@pytest.mark.needs_root
@pytest.mark.usefixtures("own_mounts")
def test_what_happens_while_the_catalog_is_locked_waits_in_bounded_memory(tmp_path: Path) -> None:
    """Paused, so that it is recorded and not hashed: files that change again and again are hashed after minutes.

    In mounts of its own: when a neighbour mounts something, the root is looked at anew, and waits for the writer.
    """
    root = tmp_path / "media"
    write(root, FILES)
    with running(tmp_path / "daemon", root, first=IMPATIENT) as daemon:
        daemon.sync()
        daemon.post("/api/pause")
        assert daemon.process is not None
        with daemon.locked():
            wait_until(
                lambda: write(root, FILES) or waiting(daemon) >= CAPACITY, within=SOON, shows=lambda: waiting(daemon)
            )
            wait_until(lambda: "locked" in trouble(daemon), within=SOON)
            full, held = waiting(daemon), memory_bytes(daemon.process.pid)
            for _ in range(50):
                write(root, FILES)
            write(root, FILES + 50)
            (root / "0.mp3").unlink()
            assert daemon.root(root)["state"] == "online"
            assert metric(daemon, "mediawatchd_db_up") == 0
            assert daemon.get("/healthz") == {"healthy": True}
            assert waiting(daemon) <= full + FILES
            assert memory_bytes(daemon.process.pid) - held < 5_000_000
        wait_until(lambda: stamps(daemon) == on_disk(root), within=SOON)
        assert not daemon.status()["degraded"]


def stamps(daemon: Running) -> dict[bytes, int]:
    return {path: row["mtime_ns"] for path, row in daemon.present().items()}


def on_disk(root: Path) -> dict[bytes, int]:
    return {path: status.st_mtime_ns for path, status in media_files([os.fsencode(root)]).items()}


@pytest.mark.needs_root
@pytest.mark.usefixtures("own_mounts")
def test_a_catalog_without_space_goes_on_when_there_is_some_again(tmp_path: Path) -> None:
    root, state = tmp_path / "media", tmp_path / "daemon/state"
    write(root, 3)
    with in_memory(state, megabytes=8), running(tmp_path / "daemon", root) as daemon:
        daemon.sync()
        filler = fill_up(state)
        write(root, 500)
        wait_until(lambda: "full" in trouble(daemon), within=SOON)
        assert metric(daemon, "mediawatchd_db_up") == 0
        assert daemon.status()["degraded"]
        (root / "0.mp3").unlink()
        filler.unlink()
        wait_until(lambda: not trouble(daemon), within=SOON)
        daemon.sync()
        assert metric(daemon, "mediawatchd_db_up") == 1
        assert differences(daemon, [os.fsencode(root)]) == []


def test_a_catalog_of_a_newer_daemon_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    root = tmp_path / "media"
    write(root, 3)
    with running(tmp_path / "daemon", root) as daemon:
        daemon.sync()
        daemon.stop()
        with closing(sqlite3.connect(daemon.database, isolation_level=None)) as connection:
            connection.execute("PRAGMA user_version = 1000")
        before = daemon.database.read_bytes(), daemon.database.stat()
        daemon.start(wait=False)
        assert daemon.process is not None
        assert daemon.process.wait(START_SECONDS) == 78
        daemon.process = None
        assert (daemon.database.read_bytes(), daemon.database.stat()) == before
        assert "version 1000" in daemon.said()
        assert not [
            name
            for name in os.listdir(daemon.database.parent)
            if name.startswith("catalog.db.") and name != "catalog.db.lock"
        ]
