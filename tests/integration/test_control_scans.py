"""Scans that somebody asked for: one at a time for a folder, with progress, cancelled, taken up again after a kill."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from mediawatchd.errors import Refused
from tests.asking import WITHIN, ctl, ctl_command, daemon, environment, library, refused, root, shared, unsettled
from tests.running import Running, running
from tests.trees import size, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path


__all__ = ["daemon", "library", "root", "shared", "unsettled"]


def test_ctl_scan_that_finds_problems_says_so_with_status_6(shared: Running, library: Path) -> None:
    done = ctl(shared, "scan", "--wait", str(library))
    assert done.status == 0, done  # a file that is no film has its quick hash: nothing failed
    job = ctl(shared, "--json", "scan", "--wait").json
    assert (job["kind"], job["state"], job["total"], job["processed"], job["percent"]) == ("scan", "done", 4, 4, 100.0)
    assert job["scope"] == [str(library)]
    assert ctl(shared, "--json", "jobs").lines[0]["id"] == job["id"]
    assert ctl(shared, "--json", "job", str(job["id"])).json == job
    assert str(job["id"]) in ctl(shared, "jobs").out
    assert ctl(shared, "job", str(job["id"])).status == 0


def test_exactly_one_of_two_simultaneous_scans_wins_and_ctl_attaches_to_it(unsettled: Running, root: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _number: start_scan(unsettled), range(2)))
    started = [answer for answer in answers if isinstance(answer, dict)]
    conflicts = [answer for answer in answers if isinstance(answer, Refused)]
    assert len(started) == len(conflicts) == 1
    job = started[0]["job"]
    assert started[0]["status"] == "started"
    assert (conflicts[0].status, conflicts[0].detail["job"]) == (409, job)
    assert "progress" in conflicts[0].detail
    # Without --wait the conflict is told; with it the running job is waited for.
    assert ctl(unsettled, "scan").status == 1
    with subprocess.Popen(
        ctl_command(unsettled, "--json", "scan", "--wait", str(root)),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as waiting:
        assert waiting.stdout is not None
        assert waiting.stderr is not None
        # Cancelled before it has attached, it would start a scan of its own.
        assert b"already" in waiting.stderr.readline()
        assert ctl(unsettled, "cancel", str(job)).status == 0
        assert json.loads(waiting.stdout.read())["state"] == "cancelled"
        assert waiting.wait(WITHIN) == 1


def start_scan(daemon: Running, **body: Any) -> dict[str, Any] | Refused:
    try:
        answer: dict[str, Any] = daemon.post("/api/scan", body)
    except Refused as refusal:
        return refusal
    return answer


def test_scans_of_folders_apart_run_side_by_side(unsettled: Running, root: Path) -> None:
    for name in ("one", "two"):
        tree({"a.mp3": size(10)}).under(root / name)
    jobs = [unsettled.post("/api/scan", {"scan_dirs": [str(root / name)]})["job"] for name in ("one", "two")]
    wait_until(lambda: {job["id"] for job in unsettled.status()["jobs"]} == set(jobs), within=WITHIN)
    assert unsettled.post("/api/scan/stop")["status"] == "stopping"
    for job in jobs:
        assert unsettled.get(f"/api/jobs/{job}/wait", {"timeout": 30})["state"] == "cancelled"
    assert refused(unsettled.post, "/api/scan/stop").status == 409


def test_a_scan_tells_its_total_when_it_has_walked_and_can_be_cancelled_while_it_hashes(unsettled: Running) -> None:
    job = unsettled.post("/api/scan")["job"]
    wait_until(lambda: unsettled.get("/api/scan/status")["total"] == 5, within=WITHIN)
    progress = unsettled.get("/api/scan/status")
    assert (progress["running"], progress["job"], progress["processed"], progress["percent"]) == (True, job, 0, 0.0)
    assert unsettled.post(f"/api/jobs/{job}/cancel")["state"] == "stopping"
    assert unsettled.get(f"/api/jobs/{job}/wait", {"timeout": 30})["state"] == "cancelled"
    assert unsettled.get("/api/scan/status")["running"] is False


def test_a_scan_is_cancelled_while_paused(daemon: Running) -> None:
    daemon.sync()
    daemon.post("/api/pause")
    job = daemon.post("/api/scan")["job"]
    assert daemon.get(f"/api/jobs/{job}")["total"] is None
    refusal = refused(daemon.get, f"/api/jobs/{job}/wait", {"timeout": 0.1})
    assert (refusal.status, refusal.code) == (504, "timeout")
    daemon.post(f"/api/jobs/{job}/cancel")
    assert daemon.get(f"/api/jobs/{job}/wait", {"timeout": 30})["state"] == "cancelled"


def test_a_scan_goes_on_after_a_kill(daemon: Running, root: Path) -> None:
    daemon.sync()
    daemon.post("/api/pause")
    job = daemon.post("/api/scan")["job"]
    (root / "new.mp3").write_bytes(b"x" * 60)
    wait_until(lambda: daemon.get(f"/api/jobs/{job}")["state"] == "running", within=WITHIN)
    daemon.kill()
    daemon.start()
    assert daemon.get(f"/api/jobs/{job}")["state"] == "running"
    daemon.post("/api/resume")
    ended = daemon.get(f"/api/jobs/{job}/wait", {"timeout": 60})
    assert (ended["state"], ended["total"], ended["processed"], ended["percent"]) == ("done", 6, 6, 100.0)
    assert all(row["quick_hash"] for row in daemon.present().values())


def test_a_scan_counts_what_fails_and_what_vanishes(unsettled: Running, root: Path) -> None:
    job = unsettled.post("/api/scan")["job"]
    wait_until(lambda: unsettled.get(f"/api/jobs/{job}")["total"] == 5, within=WITHIN)
    for number in range(5):
        (root / f"{number}.mp3").unlink()
    unsettled.configure([root], {"missing": {"hold_share": None}})
    unsettled.post("/api/reload")
    ended = unsettled.get(f"/api/jobs/{job}/wait", {"timeout": 60})
    assert (ended["state"], ended["total"], ended["processed"]) == ("done", 5, 5)


def test_a_scan_of_a_root_that_is_away_fails_and_says_why(tmp_path: Path) -> None:
    with running(tmp_path / "run", tmp_path / "away") as daemon:
        done = ctl(daemon, "--json", "scan", "--wait")
        assert done.status == 1
        assert (done.json["state"], done.json["error"]) == ("failed", "offline: the folder is not there")
        (status,) = daemon.status()["roots"]
        assert (status["state"], status["message"]) == ("offline", "the folder is not there")
        assert status["hint"]


def test_a_scan_ends_when_its_root_goes_away_under_it(daemon: Running, root: Path) -> None:
    daemon.sync()
    daemon.post("/api/pause")
    job = daemon.post("/api/scan")["job"]
    os.rename(root, root.with_name("away"))
    wait_until(lambda: daemon.status()["roots"][0]["state"] == "offline", within=WITHIN)
    ended = daemon.get(f"/api/jobs/{job}/wait", {"timeout": 30})
    assert (ended["state"], ended["error"]) == ("failed", "offline: the folder is not there")
    assert len(daemon.present()) == 5


def test_a_scan_goes_on_over_a_reload(daemon: Running, root: Path) -> None:
    daemon.sync()
    daemon.post("/api/pause")
    job = daemon.post("/api/scan")["job"]
    daemon.configure([root], {"ignore": ["0.mp3"]})
    daemon.post("/api/reload")
    assert daemon.get(f"/api/jobs/{job}")["state"] == "running"
    daemon.post("/api/resume")
    ended = daemon.get(f"/api/jobs/{job}/wait", {"timeout": 60})
    assert (ended["state"], ended["total"], ended["processed"]) == ("done", 4, 4)
