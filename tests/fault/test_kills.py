"""The daemon is killed, started twice, paused and asked for the same thing twice. Times are those of tests.library.

Kills at random moments are in tests/integration/test_random_changes.py.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.errors import Refused
from tests.library import metric
from tests.oracle import differences
from tests.running import Running, running
from tests.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

SLOW = {"watch": {"settle_seconds": 3600}}
"""What is written now stays unsettled for the whole test, so a scan of it does not end."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "media"
    path.mkdir()
    return path


def fill(folder: Path, count: int, *, old: bool = False) -> None:
    """`old` files are settled when they are found."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number}.mp3"
        path.write_bytes(b"%s %d" % (os.fsencode(folder), number))


def ended(daemon: Running, job: int) -> Any:
    return daemon.get(f"/api/jobs/{job}/wait", {"timeout": 60})


def hashed(daemon: Running) -> int:
    return int(metric(daemon, 'mediawatchd_files_processed_total{result="hashed"}'))


@pytest.mark.parametrize("moment", [0.0, 0.3, 0.8, 1.5])
def test_a_kill_in_a_burst_loses_nothing(tmp_path: Path, root: Path, moment: float) -> None:
    with running(tmp_path / "daemon", root) as daemon:
        fill(root / "before", 100)
        daemon.sync()
        ids = {path: row["id"] for path, row in daemon.present().items()}
        writer = threading.Thread(target=fill, args=(root / "burst", 1000))
        writer.start()
        (root / "before").rename(root / "moved")
        time.sleep(moment)
        daemon.kill()
        writer.join()
        daemon.start()
        daemon.sync()
        assert differences(daemon, [os.fsencode(root)]) == []
        present = daemon.present()
        assert len(present) == 1100
        assert {path: present[path.replace(b"/before/", b"/moved/")]["id"] for path in ids} == ids


def test_a_second_daemon_on_one_catalog_is_refused(tmp_path: Path, root: Path) -> None:
    with running(tmp_path / "daemon", root) as daemon:
        fill(root, 3)
        daemon.sync()
        assert daemon.process is not None
        second = subprocess.run(
            [sys.executable, "-m", "mediawatchd", "--config", str(daemon.config)],
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert second.returncode == 1
        assert str(daemon.process.pid) in second.stderr.decode()
        daemon.sync()
        assert len(daemon.present()) == 3


def test_a_pause_survives_a_restart_and_a_kill(tmp_path: Path, root: Path) -> None:
    with running(tmp_path / "daemon", root) as daemon:
        daemon.sync()
        daemon.post("/api/pause")
        fill(root, 5)
        wait_until(lambda: len(daemon.present()) == 5, within=30)
        assert daemon.stop() == 0
        daemon.start()
        assert daemon.status()["state"] == "paused"
        daemon.kill()
        fill(root / "more", 5)
        daemon.start()
        assert daemon.status()["state"] == "paused"
        with pytest.raises(Refused, match="paused"):
            daemon.sync()
        assert all(row["quick_hash"] is None for row in daemon.rows())
        daemon.post("/api/resume")
        daemon.sync()
        assert differences(daemon, [os.fsencode(root)]) == []
        assert daemon.status()["state"] == "idle"


def test_one_of_two_simultaneous_scans_is_refused_and_told_of_the_other(tmp_path: Path, root: Path) -> None:
    fill(root, 3)
    with running(tmp_path / "daemon", root, settings=SLOW) as daemon:
        wait_until(lambda: len(daemon.present()) == 3, within=30)
        for _ in range(5):
            answers = at_once(4, lambda: daemon.post("/api/scan"))
            [started] = [answer for answer in answers if not isinstance(answer, Refused)]
            assert started["status"] == "started"
            for refused in answers:
                if isinstance(refused, Refused):
                    assert (refused.status, refused.code) == (409, "already_running")
                    assert refused.detail["job"] == started["job"]
                    assert refused.detail["progress"]["kind"] == "scan"  # type: ignore[index]  # JSON
            daemon.post(f"/api/jobs/{started['job']}/cancel")
            assert ended(daemon, started["job"])["state"] == "cancelled"


def at_once(count: int, call: Any) -> list[Any]:
    """The answers, or refusals, of some calls made at the same time."""
    answers: list[Any] = []
    barrier = threading.Barrier(count)

    def ask() -> None:
        barrier.wait()
        try:
            answers.append(call())
        except Refused as refused:
            answers.append(refused)

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_a_cancelled_scan_ends_and_keeps_what_it_found(tmp_path: Path, root: Path) -> None:
    fill(root, 10)
    with running(tmp_path / "daemon", root, settings=SLOW) as daemon:
        wait_until(lambda: len(daemon.present()) == 10, within=30)
        job = daemon.post("/api/scan")["job"]
        wait_until(lambda: daemon.get(f"/api/jobs/{job}")["total"] == 10, within=30)
        daemon.post("/api/scan/stop")
        wait_until(lambda: daemon.get(f"/api/jobs/{job}")["state"] == "cancelled", within=1)
        assert len(daemon.present()) == 10
        assert daemon.status()["jobs"] == []


def test_a_scan_that_was_killed_goes_on(tmp_path: Path, root: Path) -> None:
    fill(root, 10)
    with running(tmp_path / "daemon", root, settings=SLOW) as daemon:
        wait_until(lambda: len(daemon.present()) == 10, within=30)
        job = daemon.post("/api/scan")["job"]
        wait_until(lambda: daemon.get(f"/api/jobs/{job}")["total"] == 10, within=30)
        daemon.kill()
        daemon.start()
        assert daemon.get(f"/api/jobs/{job}")["state"] == "running"
        daemon.kill()
        settle(daemon)
        daemon.start()
        done = ended(daemon, job)
        assert (done["state"], done["total"], done["processed"], done["percent"]) == ("done", 10, 10, 100.0)
        assert len({each["id"] for each in daemon.get("/api/jobs")["items"]}) == 1


def settle(daemon: Running) -> None:
    """Let everything in the catalog of a stopped daemon have settled."""
    with closing(sqlite3.connect(daemon.database)) as connection, connection:
        connection.execute("UPDATE media_files SET due_ns = 0")


def test_files_that_fail_or_vanish_count_as_processed(tmp_path: Path, root: Path) -> None:
    """Of 30 files ten are there, ten cannot be read and ten are gone before they are hashed."""
    for name in ("good", "closed", "gone"):
        fill(root / name, 10)
    command = ["unshare", "-Ur"]
    for path in (root / "closed").iterdir():
        os.chown(path, 12_345, 12_345)
        path.chmod(0o600)
    with running(tmp_path / "daemon", root, settings=SLOW, command=command) as daemon:
        wait_until(lambda: len(daemon.present()) == 30, within=30)
        job = daemon.post("/api/scan")["job"]
        wait_until(lambda: daemon.get(f"/api/jobs/{job}")["total"] == 30, within=30)
        daemon.kill()
        settle(daemon)
        for path in (root / "gone").iterdir():
            path.unlink()
        daemon.configure([root], {})
        daemon.start()
        done = ended(daemon, job)
        assert done["state"] == "done"
        assert done["percent"] == 100.0
        assert done["processed"] == done["total"]
        assert done["failed"] == 10
