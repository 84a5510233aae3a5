from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.cli import following
from tests.unit.cli.fake_daemon import FakeDaemon, Request, answer, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli.conftest import Outcome

JOB: dict[str, Any] = {
    "id": 12,
    "kind": "scan",
    "state": "running",
    "scope": ["/srv/films"],
    "scope_b64": None,
    "total": 2000,
    "processed": 1204,
    "written": 1100,
    "skipped": 100,
    "failed": 4,
    "percent": 60.2,
    "current_file": "/srv/films/a\x1b.mkv",
    "bytes_done": 1024,
    "eta_seconds": 724,
    "started": 0.0,
    "finished": None,
    "error": None,
}
DONE = JOB | {"state": "done", "processed": 2000, "percent": 100.0, "failed": 0, "eta_seconds": None, "finished": 90.0}
DONE |= {"current_file": None}
RUNNING = refusal(409, "scan_running", "a scan runs", job=12, progress={"total": 100, "processed": 3, "percent": 3.0})


def test_scan_starts_and_says_how_to_wait(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("POST", "/api/scan", answer(202, {"status": "started", "job": 12}))
    outcome = run("scan", "/srv/a/../b", os.fsdecode(b"/srv/\xff"))
    assert outcome == (0, "scan 12 started\n", "`mediawatchctl job 12 --wait` waits for its end\n")
    assert list(daemon.requests[0].body) == ["scan_dirs_b64"]
    run("scan", "/srv/a/../b")
    assert daemon.requests[1].body == {"scan_dirs": ["/srv/b"]}
    run("scan")
    assert daemon.requests[2].body == {}
    assert json.loads(run("--json", "scan").out) == {"status": "started", "job": 12}


def test_phash_starts_over_files_too_and_hashes_again_by_force(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("POST", "/api/hash", answer(202, {"status": "started", "job": 12}))
    outcome = run("phash", "/srv/a.mkv")
    assert outcome == (0, "phash 12 started\n", "`mediawatchctl job 12 --wait` waits for its end\n")
    run("phash", "--force", "/srv/a.mkv")
    run("phash")
    bodies = [request.body for request in daemon.requests]
    assert bodies == [{"scan_dirs": ["/srv/a.mkv"]}, {"force": True, "scan_dirs": ["/srv/a.mkv"]}, {}]


def test_a_phash_job_that_runs_already_is_named_as_such(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("POST", "/api/hash", refusal(409, "already_running", "phash 12 runs here already", job=12))
    outcome = run("phash")
    assert (outcome.status, "phash 12 is running already" in outcome.err) == (1, True)


def test_hints_name_a_socket_that_was_named(
    daemon: FakeDaemon, run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.on("POST", "/api/scan", answer(202, {"status": "started", "job": 12}))
    monkeypatch.delenv("MEDIAWATCHD_SOCKET")
    assert f"--socket {daemon.path} job 12 --wait" in run("scan", "--socket", daemon.path).err


def test_scan_of_paths_outside_the_roots(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    invalid = [f"/{number}" for number in range(11)] + ["/x\x1b"]
    daemon.on("POST", "/api/scan", answer(400, {"error": "outside all roots", "invalid": invalid}))
    outcome = run("scan", "/x")
    assert outcome.status == 2
    assert "  invalid: /9\n  invalid: and 2 more\n" in outcome.err


def test_wait_goes_on_over_time_outs_until_the_end(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    late = refusal(504, "timeout", "not yet")
    daemon.on("POST", "/api/scan", answer(202, {"status": "started", "job": 12}))
    daemon.on("GET", "/api/jobs/12", answer(200, JOB))
    daemon.on("GET", "/api/jobs/12/wait", late, late, answer(200, DONE))
    outcome = run("scan", "--wait")
    assert outcome.status == 0
    assert outcome.out == "scan 12 done: 2,000 of 2,000 files, 1,100 written, 100 skipped, 0 failed, in 0:01:30\n"
    assert outcome.err == "scan 12: 1,204 of 2,000 files, 60.2 %, 0:12:04 left, at /srv/films/a\\x1b.mkv\n"
    assert [request.path for request in daemon.requests[1:]] == [
        "/api/jobs/12",
        *["/api/jobs/12/wait", "/api/jobs/12"] * 2,
        "/api/jobs/12/wait",
    ]


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        (DONE, 0),
        (DONE | {"failed": 3}, 6),
        (DONE | {"state": "failed", "error": "disk full"}, 1),
        (DONE | {"state": "cancelled"}, 1),
    ],
)
def test_exit_status_tells_how_a_job_ended(
    daemon: FakeDaemon, run: Callable[..., Outcome], ended: dict[str, Any], status: int
) -> None:
    daemon.on("GET", "/api/jobs/12", answer(200, ended))
    outcome = run("job", "12", "--wait", "--json")
    assert outcome.status == status
    assert json.loads(outcome.out) == ended
    assert ("files --problem" in outcome.err) == (status == 6)
    assert run("job", "12").status == 0


def test_scan_joins_the_running_one_when_it_may_wait(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("POST", "/api/scan", RUNNING)
    daemon.on("GET", "/api/jobs/12", answer(200, DONE))
    outcome = run("scan", "--wait")
    assert outcome.status == 0
    assert outcome.err == "mediawatchctl: scan 12 is running already; waiting for that one\n"
    assert outcome.out.startswith("scan 12 done")


def test_scan_shows_the_running_one_when_it_may_not_wait(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("POST", "/api/scan", RUNNING)
    outcome = run("scan")
    assert outcome.status == 1
    assert outcome.out == "scan 12: 3 of 100 files, 3.0 %\n"
    assert "running already\nhint: `mediawatchctl job 12 --wait`" in outcome.err
    assert json.loads(run("scan", "--json").out)["progress"]["processed"] == 3


def test_another_conflict_is_an_error(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("POST", "/api/scan", refusal(409, "paused", "the daemon is paused", "mediawatchctl resume"))
    assert run("scan", "--wait") == (1, "", "mediawatchctl: the daemon is paused\nhint: mediawatchctl resume\n")


def test_interrupt_detaches_and_says_how_to_attach_again(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    def interrupt(_request: Request) -> bytes:
        os.kill(os.getpid(), signal.SIGINT)
        return refusal(504, "timeout", "not yet")

    daemon.on("GET", "/api/jobs/12", answer(200, JOB))
    daemon.on("GET", "/api/jobs/12/wait", interrupt)
    outcome = run("job", "12", "--wait")
    assert outcome.status == 130
    assert outcome.out == ""
    assert "detached; job 12 goes on. `mediawatchctl job 12 --wait` attaches again" in outcome.err
    assert not [request for request in daemon.requests if request.method == "POST"]


def test_jobs_as_a_table(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    unknown = JOB | {"id": 13, "total": None, "percent": None, "eta_seconds": None, "scope": [], "failed": 0}
    daemon.on("GET", "/api/jobs", answer(200, {"items": [unknown, JOB], "next": None}))
    outcome = run("jobs", "--limit", "2")
    assert outcome.out.splitlines() == [
        "JOB  KIND  STATE    FILES    DONE  FAILED     LEFT  STARTED              SCOPE",
        " 13  scan  running  1,204       -       0        -  1970-01-01 00:00:00  all roots",
        " 12  scan  running  1,204  60.2 %       4  0:12:04  1970-01-01 00:00:00  /srv/films",
    ]
    assert daemon.requests[0].query == {"limit": "2"}
    assert [json.loads(line)["id"] for line in run("jobs", "--json").out.splitlines()] == [13, 12]


def test_no_jobs(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/jobs", answer(200, {"items": [], "next": None}))
    assert run("jobs") == (0, "", "no jobs yet\n")


def test_one_job_in_full(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    failed = JOB | {"state": "failed", "finished": 90.0, "error": "disk\x1b full"}
    daemon.on("GET", "/api/jobs/12", answer(200, failed))
    assert run("job", "12").out.splitlines() == [
        "scan 12: failed",
        "  scope      /srv/films",
        "  processed  1,204 of 2,000 files (60.2 %), 1.0 KiB read",
        "  results    1,100 written, 100 skipped, 4 failed",
        "  left       0:12:04",
        "  at         /srv/films/a\\x1b.mkv",
        "  started    1970-01-01 00:00:00",
        "  finished   1970-01-01 00:01:30, after 0:01:30",
        "  error      disk\\x1b full",
    ]


def test_unknown_job(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/jobs/9", refusal(404, "no_such_job", "there is no job 9"))
    assert run("job", "9").status == 4
    assert run("job", "9", "--wait").status == 4


def test_cancel(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("POST", "/api/jobs/12/cancel", answer(200, {"status": "stopping"}), refusal(409, "finished", "too late"))
    assert run("cancel", "12") == (0, "job 12 is stopping\n", "")
    assert run("cancel", "12").status == 1


def test_missing_times_do_not_matter(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/jobs/1", answer(200, {"id": 1, "state": "queued"}))
    assert run("job", "1").status == 0


def test_patience_is_longer_than_a_restart() -> None:
    assert following.PATIENCE_SECONDS >= 30
