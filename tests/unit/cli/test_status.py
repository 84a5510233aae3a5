from __future__ import annotations

import io
import json
import time
from typing import TYPE_CHECKING, Any

import mediawatchd
from mediawatchd.cli import status
from mediawatchd.cli.screen import Screen
from tests.unit.cli.fake_daemon import FakeDaemon, answer

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.unit.cli.conftest import Outcome

FINE: dict[str, Any] = {
    "path": "/srv/films",
    "path_b64": None,
    "state": "online",
    "watch": "inotify",
    "files": 48_211,
    "bytes": 25_400_000_000_000,
    "missing": 0,
    "held": 0,
    "unwatched_directories": 0,
    "last_reconcile": 1.0,
    "message": None,
    "hint": None,
}
AWAY = FINE | {
    "path": "/mnt/usb",
    "state": "offline",
    "held": 410,
    "missing": 1,
    "unwatched_directories": 35,
    "last_reconcile": None,
    "message": "nothing is mounted there\x1b[2J",
    "hint": "mount /mnt/usb",
}
STATUS: dict[str, Any] = {
    "version": "1.2.3",
    "state": "scanning",
    "degraded": True,
    "uptime_seconds": 3725,
    "roots": [FINE, AWAY],
    "catalog": {"files": 50_233, "bytes": 1024, "videos": 1, "audio": 2, "quick_hashed": 3, "pending_quick_hash": 1233}
    | {"phashed": 4, "pending_phash": 5, "missing": 6, "problems": 7},
    "queue": {"length": 210, "capacity": 2000},
    "settling": 8,
    "jobs": [
        {"id": 12, "kind": "scan", "state": "running", "total": 10, "processed": 5, "percent": 50.0, "eta_seconds": 60}
    ],
}


def test_status_for_a_person(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/status", answer(200, STATUS))
    outcome = run("status")
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == "mediawatchd 1.2.3  scanning  up 1:02:05  degraded"
    assert lines[2].split() == ["ROOT", "STATE", "WATCH", "FILES", "SIZE", "LAST", "WALK"]
    assert lines[3].split()[:6] == ["/srv/films", "online", "inotify", "48,211", "23.1", "TiB"]
    assert lines[4].split()[0] == "/mnt/usb"
    assert lines[4].endswith("never")
    assert lines[5:10] == [
        "    nothing is mounted there\\x1b[2J",
        "    try: mount /mnt/usb",
        "    35 directories not watched; walks find what changes there",
        "    410 files held: absent, but too many at once to believe it",
        "    1 file missing",
    ]
    assert lines[11:15] == [
        "catalog    50,233 files, 1.0 KiB: 1 video, 2 audio",
        "hashes     3 quick (1,233 to do), 4 perceptual (5 to do)",
        "attention  6 missing, 7 problems",
        "queue      210 of 2,000, 8 settling",
    ]
    assert lines[16] == "scan 12: 5 of 10 files, 50.0 %, 0:01:00 left"


def test_status_without_trouble_has_none_to_show(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    quiet = STATUS | {"degraded": False, "roots": [FINE], "jobs": []}
    quiet["catalog"] = STATUS["catalog"] | {"missing": 0, "problems": 0, "pending_quick_hash": 0, "pending_phash": 0}
    daemon.on("GET", "/api/status", answer(200, quiet))
    out = run("status").out
    for word in ("degraded", "held", "try:", "attention", "to do", "missing"):
        assert word not in out


def test_status_without_roots_says_why(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/status", answer(200, STATUS | {"roots": []}))
    assert "scan_dirs" in run("status").out


def test_status_as_json(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/status", answer(200, STATUS, chunk_bytes=100))
    outcome = run("status", "--json")
    assert outcome.out.count("\n") == 1
    assert json.loads(outcome.out) == STATUS


def test_version_of_both(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/version", answer(200, {"version": "1.2.3", "python": "3.13"}))
    assert run("version").out.splitlines() == [f"mediawatchctl {mediawatchd.__version__}", "mediawatchd   1.2.3"]
    assert json.loads(run("version", "--json").out)["mediawatchd"] == "1.2.3"


def test_version_without_a_daemon(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    outcome = run("version", "--socket", "/nowhere/s")
    assert outcome.status == 3
    assert outcome.out == f"mediawatchctl {mediawatchd.__version__}\n"
    assert "/nowhere/s" in outcome.err
    assert json.loads(run("--json", "version", "--socket", "/nowhere/s").out)["mediawatchd"] is None


def test_folders_that_cannot_be_read_and_changes_that_no_event_tells_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    bad = {"path": "/srv/films/bad\x1b", "path_b64": None, "reason": "EIO", "since": 60, "next_attempt": 100_030.0}
    root = FINE | {"unreadable_directories": 3, "unreadable": [bad, bad], "events_reliable": False}
    root |= {"next_walk": 100_600.0}
    lines = status.page({"roots": [root]}, Screen(io.StringIO(), environment={}), now_seconds=100_000.0)
    assert "    3 folders cannot be read: /srv/films/bad\\x1b: EIO" in lines
    assert "    since 1970-01-01 00:01:00, walked again in 30 s" in lines
    assert "    changes made elsewhere are found by the next walk, in 10 min" in lines
    lines = status.page({"roots": [FINE]}, Screen(io.StringIO(), environment={}), now_seconds=100_000.0)
    assert not any("elsewhere" in line or "cannot be read" in line for line in lines)


def test_a_disk_below_a_root_that_is_away() -> None:
    root = FINE | {"away": ["/srv/films/usb\x1b"], "away_b64": [None]}
    lines = status.page({"roots": [root]}, Screen(io.StringIO(), environment={}), now_seconds=100_000.0)
    assert "    a disk below it is away: /srv/films/usb\\x1b" in lines


def test_since_when_and_what_comes_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    away = AWAY | {"since": 0, "next_attempt": 100_007.0}
    blind = FINE | {"watch": "degraded", "watch_since": 60, "next_walk": 100_600.0, "message": "too few watches"}
    lines = status.page({"roots": [away, blind]}, Screen(io.StringIO(), environment={}), now_seconds=100_000.0)
    assert "    since 1970-01-01 00:00:00, looked at again in 7 s" in lines
    assert "    since 1970-01-01 00:01:00, walked again in 10 min" in lines
    assert lines[3].split()[:3] == ["/mnt/usb", "offline", "-"], "how a root that is away is watched says nothing"
