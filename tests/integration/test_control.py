"""The real daemon and the real mediawatchctl, each a process, and HTTP between them: what scripts lean on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.asking import WITHIN, ctl, ctl_command, daemon, environment, library, refused, root, shared, unsettled
from tests.running import SETTLE_SECONDS, Running, running
from tests.trees import size, tree
from tests.wait import wait_until

__all__ = ["daemon", "library", "root", "shared", "unsettled"]


# What `GET /api/status` and the other answers hold.


def test_status_has_every_field_of_the_contract(shared: Running, library: Path) -> None:
    status = shared.status()
    assert set(status) >= {
        *("version", "state", "degraded", "uptime_seconds", "roots", "catalog", "queue", "settling", "jobs")
    }
    assert (status["state"], status["degraded"], status["settling"], status["jobs"]) == ("idle", False, 0, [])
    assert status["uptime_seconds"] > 0
    (root,) = status["roots"]
    assert set(root) >= {
        *("path", "path_b64", "state", "watch", "files", "bytes", "missing", "held", "unwatched_directories"),
        *("last_reconcile", "message", "hint"),
    }
    files = [library / "films/a.mkv", library / "films/b.mp4", library / "song.mp3", library / "broken.mkv"]
    whole = sum(file.stat().st_size for file in files)
    assert (root["path"], root["state"], root["watch"]) == (str(library), "online", "inotify")
    assert (root["files"], root["bytes"], root["missing"], root["held"]) == (4, whole, 0, 0)
    assert root["last_reconcile"].endswith("+00:00")
    catalog = dict(status["catalog"])
    assert catalog.items() >= {
        "files": 4, "bytes": whole, "videos": 3, "audio": 1, "quick_hashed": 4, "pending_quick_hash": 0,
        "phashed": 0, "missing": 0, "problems": 1,
    }.items()  # fmt: skip
    assert "pending_phash" in catalog
    assert status["queue"]["length"] == 0
    assert status["queue"]["capacity"] > 0


def test_version_and_configuration(shared: Running) -> None:
    assert shared.get("/api/version")["version"] == shared.status()["version"]
    config = shared.get("/api/config")
    assert config["has_secret_token"] is False
    assert "secret_token" not in config
    assert config["watch"]["settle_seconds"] == SETTLE_SECONDS


def test_a_file_has_the_columns_of_the_view_with_path_for_file_path(shared: Running, library: Path) -> None:
    path = library / "films" / "a.mkv"
    (row,) = (row for row in shared.rows() if row["file_path"] == bytes(path))
    shown = shared.get("/api/file", {"path": str(path)})
    assert set(shown) >= {column for column in row if column != "file_path"} | {"path"}
    assert shown["path"] == str(path)
    assert shown["path_b64"] is None
    for column, value in row.items():
        if column not in {"file_path", "filename", "root"}:
            assert shown[column] == value, column
    assert (shown["filename"], shown["root"]) == ("a.mkv", str(library))
    assert (shown["media_type"], shown["width"], shown["height"]) == ("video", 64, 36)
    assert shown["quick_hash"] == row["quick_hash"]
    assert (shown["state"], shown["problem"], shown["missing_since"]) == ("ready", None, None)
    listed = {file["path"]: file for file in shared.get("/api/files")["items"]}
    assert listed[str(path)].items() <= shown.items()


# mediawatchctl, end to end.


def test_ctl_status(shared: Running, library: Path) -> None:
    told = ctl(shared, "status")
    assert told.status == 0
    assert told.err == ""
    assert str(library) in told.out
    asked = ctl(shared, "--json", "status").json
    assert asked["catalog"]["files"] == 4


def test_ctl_cancel_of_what_has_ended_and_of_what_never_was(shared: Running) -> None:
    job = ctl(shared, "--json", "scan", "--wait").json
    assert ctl(shared, "cancel", str(job["id"])).status == 1
    assert ctl(shared, "cancel", "999999").status == 4
    assert ctl(shared, "job", "999999").status == 4


def test_ctl_files_and_show(shared: Running, library: Path) -> None:
    listed = {line["path"] for line in ctl(shared, "--json", "files").lines}
    assert listed == {str(library / name) for name in ("films/a.mkv", "films/b.mp4", "song.mp3", "broken.mkv")}
    below = ctl(shared, "--json", "files", "--under", str(library / "films")).lines
    assert len(below) == 2
    (broken,) = ctl(shared, "--json", "files", "--problem").lines
    assert broken["path"] == str(library / "broken.mkv")
    shown = ctl(shared, "--json", "show", str(library / "broken.mkv"))
    assert shown.status == 0
    assert shown.json["state"] == "problem"
    assert shown.json["why"]
    assert str(library / "broken.mkv") in ctl(shared, "show", str(library / "broken.mkv")).out


def test_ctl_show_says_why_a_path_is_not_in_the_catalog(shared: Running, library: Path) -> None:
    for path, why in (
        (library / "notes.txt", "none of the configured extensions"),
        (library / "gone.mkv", "not on disk"),
        (library / "a.mkv.part", "is ignored by the rule *.part"),
        (Path("/etc/passwd"), "below no root"),
    ):
        done = ctl(shared, "show", str(path))
        assert done.status == 4, path
        assert why in done.err
        assert done.out == ""


def test_ctl_sync(shared: Running) -> None:
    assert ctl(shared, "sync").status == 0
    answer = ctl(shared, "--json", "sync", "--walk").json
    assert answer["synced"] is True
    assert (answer["unsettled"], answer["problems"], answer["held"], answer["offline"]) == ([], 1, 0, [])


def test_ctl_says_that_nothing_runs_with_status_3(shared: Running, tmp_path: Path) -> None:
    away = subprocess.run(
        [sys.executable, "-m", "mediawatchd.cli.ctl", "--socket", str(tmp_path / "none.sock"), "status"],
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert away.returncode == 3
    assert str(tmp_path / "none.sock") in away.stderr
    assert away.stdout == ""


def test_ctl_usage_is_status_2(shared: Running) -> None:
    assert ctl(shared, "scan", "/etc").status == 2
    assert ctl(shared, "fly").status == 2


def test_ctl_events_tell_what_happens_from_a_number_on(daemon: Running, root: Path) -> None:
    daemon.sync()
    newest = daemon.get("/api/history", {"order": "desc", "limit": 1})["items"]
    since = newest[0]["seq"] if newest else 0
    os.rename(root / "0.mp3", root / "moved.mp3")
    daemon.sync()
    with subprocess.Popen(
        ctl_command(daemon, "--json", "events", "--since", str(since)),
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as listening:
        lines: list[dict[str, Any]] = []

        def read() -> None:
            assert listening.stdout is not None
            lines.extend(map(json.loads, listening.stdout))

        reader = threading.Thread(target=read)
        reader.start()
        try:
            os.unlink(root / "1.mp3")
            daemon.sync()
            # What happened before it listened comes first, what happens meanwhile after it.
            (root / "last.mp3").write_bytes(b"x" * 77)
            daemon.sync()
            wait_until(lambda: [line for line in lines if line["path"] == str(root / "last.mp3")], within=WITHIN)
        finally:
            listening.send_signal(signal.SIGINT)
            status = listening.wait(WITHIN)
            reader.join(WITHIN)
    assert status == 130
    told = [(line["event"], line["path"]) for line in lines]
    assert told[:2] == [("moved", str(root / "moved.mp3")), ("missing", str(root / "1.mp3"))]
    assert lines[0]["from"] == str(root / "0.mp3")
    numbers = [line["seq"] for line in lines]
    assert numbers == sorted(set(numbers))


def test_ctl_pause_holds_hashing_and_sync_until_resume(daemon: Running, root: Path) -> None:
    daemon.sync()
    assert ctl(daemon, "pause").status == 0
    assert daemon.status()["state"] == "paused"
    (root / "new.mp3").write_bytes(b"x" * 500)
    # Watching and recording go on.
    wait_until(lambda: bytes(root / "new.mp3") in daemon.present(), within=WITHIN)
    wait_until(lambda: daemon.get("/api/file", {"path": str(root / "new.mp3")})["state"] == "paused", within=WITHIN)
    done = ctl(daemon, "sync")
    assert done.status == 1
    assert "paused" in done.err
    assert "resume" in done.err
    assert refused(daemon.sync).code == "paused"
    assert daemon.present()[bytes(root / "new.mp3")]["quick_hash"] is None
    assert ctl(daemon, "resume").status == 0
    assert ctl(daemon, "sync").status == 0
    assert daemon.present()[bytes(root / "new.mp3")]["quick_hash"]


def test_a_pause_survives_a_restart(daemon: Running, root: Path) -> None:
    daemon.sync()
    daemon.post("/api/pause")
    assert daemon.stop() == 0
    (root / "new.mp3").write_bytes(b"x" * 500)
    daemon.start()
    assert daemon.status()["state"] == "paused"
    assert bytes(root / "new.mp3") not in daemon.present()
    daemon.post("/api/resume")
    daemon.sync()
    assert daemon.present()[bytes(root / "new.mp3")]["quick_hash"]


def test_ctl_sync_times_out_with_status_124_and_names_what_is_open(unsettled: Running) -> None:
    done = ctl(unsettled, "--json", "sync", "--timeout", "0.5")
    assert done.status == 124
    assert done.json.items() >= {"synced": False, "open": "hashing", "code": "timeout"}.items()
    assert "hashing" in done.err


def test_sync_names_a_root_that_is_offline_and_does_not_wait_for_it(tmp_path: Path, root: Path) -> None:
    away = tmp_path / "away"
    with running(tmp_path / "run", root, away) as daemon:
        answer = daemon.sync()
        assert (answer["synced"], answer["offline"]) == (True, [str(away)])
        assert len(daemon.present()) == 5


def test_sync_right_after_the_start_waits_for_the_first_walk(tmp_path: Path) -> None:
    root = tmp_path / "media"
    tree({f"{number % 30}/{number}.mp3": size(200, number) for number in range(600)}).under(root)
    with running(tmp_path / "run", root) as daemon:
        daemon.sync()
        rows = daemon.present()
    assert len(rows) == 600
    assert all(row["quick_hash"] for row in rows.values())


def test_folders_outside_the_roots_are_named(shared: Running, library: Path) -> None:
    refusal = refused(shared.post, "/api/scan", {"scan_dirs": [str(library), "/etc", "/usr/lib"]})
    assert (refusal.status, refusal.detail["invalid"]) == (400, ["/etc", "/usr/lib"])
    # Nor does a way round lead out.
    assert refused(shared.post, "/api/scan", {"scan_dirs": [f"{library}/../../../../../etc"]}).status == 400
    assert shared.status()["jobs"] == []
