"""The real daemon and the real mediawatchctl, each a process, and HTTP between them: what scripts lean on."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml

from mediawatchd.control.client import Client
from mediawatchd.errors import Refused
from tests.media import make_audio, make_video
from tests.running import SETTLE_SECONDS, Running, running
from tests.trees import size, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHIN = 30.0
PROJECT = Path(__file__).parents[2]


class Done(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def ctl_command(daemon: Running, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "mediawatchd.cli.ctl", "--socket", str(daemon.socket), *arguments]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEDIAWATCHD", "XDG"))}
    return kept | {"PYTHONPATH": str(PROJECT), "PYTHONWARNINGS": "error", "LC_ALL": "C.UTF-8"} | more


def ctl(daemon: Running, *arguments: str) -> Done:
    done = subprocess.run(
        ctl_command(daemon, *arguments), env=environment(), capture_output=True, text=True, timeout=100, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def mediawatchd(*arguments: str | Path, **more: str) -> Done:
    """A daemon that is expected to end by itself."""
    done = subprocess.run(
        [sys.executable, "-m", "mediawatchd", *map(str, arguments)],
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("library") / "media"
    (root / "films").mkdir(parents=True)
    make_video(root / "films" / "a.mkv")
    make_video(root / "films" / "b.mp4", content=2)
    make_audio(root / "song.mp3")
    (root / "broken.mkv").write_bytes(b"this is no film")
    (root / "notes.txt").write_text("not media")
    return root


@pytest.fixture(scope="module")
def shared(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A daemon that has caught up, for tests that leave it as it is."""
    with running(tmp_path_factory.mktemp("shared"), library) as daemon:
        daemon.sync()
        yield daemon


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree({f"{number}.mp3": size(1000 + number) for number in range(5)}).under(tmp_path / "media")
    return tmp_path / "media"


@pytest.fixture
def daemon(tmp_path: Path, root: Path) -> Iterator[Running]:
    with running(tmp_path / "run", root) as made:
        yield made


@pytest.fixture
def unsettled(tmp_path: Path, root: Path) -> Iterator[Running]:
    """A daemon for which nothing ever settles, so a scan walks and then waits for its hashes."""
    with running(tmp_path / "run", root, settings={"watch": {"settle_seconds": 3600}}) as made:
        yield made


def refused(call: Any, *arguments: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        call(*arguments)
    return caught.value


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


# Jobs.


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


def test_folders_outside_the_roots_are_named(shared: Running, library: Path) -> None:
    refusal = refused(shared.post, "/api/scan", {"scan_dirs": [str(library), "/etc", "/usr/lib"]})
    assert (refusal.status, refusal.detail["invalid"]) == (400, ["/etc", "/usr/lib"])
    # Nor does a way round lead out.
    assert refused(shared.post, "/api/scan", {"scan_dirs": [f"{library}/../../../../../etc"]}).status == 400
    assert shared.status()["jobs"] == []


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


# The configuration.


def test_reload_applies_roots_extensions_and_ignore_rules(daemon: Running, root: Path, tmp_path: Path) -> None:
    daemon.sync()
    other = Path(os.fsdecode(tree({"b.mp3": size(50), "c.xyz": size(60)}).under(tmp_path / "other")))
    daemon.configure([root, other], {"ignore": ["4.mp3"], "file_extensions": {"audio": [".mp3", ".xyz"]}})
    assert ctl(daemon, "reload").status == 0
    daemon.sync()
    shown = {path.removeprefix(bytes(tmp_path) + b"/") for path in daemon.present()}
    assert shown == {b"media/0.mp3", b"media/1.mp3", b"media/2.mp3", b"media/3.mp3", b"other/b.mp3", b"other/c.xyz"}
    assert daemon.status()["catalog"]["files"] == 6
    # What left the configuration is hidden and kept.
    before = daemon.present()[bytes(other / "c.xyz")]["id"]
    daemon.configure([root], {})
    daemon.post("/api/reload")
    assert len(daemon.present()) == 5
    daemon.configure([root, other], {"file_extensions": {"audio": [".mp3", ".xyz"]}})
    daemon.post("/api/reload")
    daemon.sync()
    assert daemon.present()[bytes(other / "c.xyz")]["id"] == before


def test_reload_is_whole_or_not_at_all(daemon: Running, root: Path) -> None:
    daemon.sync()
    daemon.configure([root], {"ignore": ["0.mp3"], "hashing": {"workers": -3}, "watch": {"settle_secs": 1}})
    refusal = refused(daemon.post, "/api/reload")
    assert (refusal.status, refusal.code) == (400, "bad_configuration")
    assert "hashing.workers" in str(refusal)
    assert "settle_seconds" in str(refusal)  # what was meant, probably
    done = ctl(daemon, "reload")
    assert done.status == 2
    assert "hashing.workers" in done.err
    assert len(daemon.present()) == 5
    assert daemon.get("/api/config")["ignore"] == []


def test_reload_refuses_what_needs_a_restart_and_names_the_keys(daemon: Running, root: Path, tmp_path: Path) -> None:
    daemon.sync()
    daemon.configure(
        [root], {"ignore": ["0.mp3"], "db_path": str(tmp_path / "other.db"), "server": {"port": free_port()}}
    )
    refusal = refused(daemon.post, "/api/reload")
    assert (refusal.status, refusal.code) == (409, "restart_required")
    assert refusal.detail["keys"] == ["db_path", "server.port"]
    assert daemon.get("/api/config")["ignore"] == []
    assert ctl(daemon, "reload").status == 1


def test_reload_refuses_a_configuration_without_folders_as_a_start_does(daemon: Running) -> None:
    daemon.sync()
    daemon.configure([], {})
    assert "scan_dirs is empty" in str(refused(daemon.post, "/api/reload"))
    assert len(daemon.present()) == 5


def test_reload_applies_another_way_of_watching(daemon: Running, root: Path) -> None:
    daemon.sync()
    assert daemon.status()["roots"][0]["watch"] == "inotify"
    daemon.configure([root], {"watch": {"backend": "polling"}})
    daemon.post("/api/reload")
    wait_until(lambda: daemon.status()["roots"][0]["watch"] == "polling", within=WITHIN)
    (root / "new.mp3").write_bytes(b"x" * 70)
    daemon.sync()
    assert bytes(root / "new.mp3") in daemon.present()
    daemon.configure([root], {})
    daemon.post("/api/reload")
    wait_until(lambda: daemon.status()["roots"][0]["watch"] == "inotify", within=WITHIN)


def test_a_hangup_reloads_and_a_bad_file_changes_nothing(daemon: Running, root: Path) -> None:
    daemon.sync()
    assert daemon.process is not None
    daemon.configure([root], {"hashing": {"workers": -3}})
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "The configuration was not applied" in daemon.said(), within=WITHIN)
    assert "hashing.workers" in daemon.said()
    assert len(daemon.present()) == 5
    daemon.configure([root], {"ignore": ["0.mp3"]})
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(daemon.present()) == 4, within=WITHIN)
    assert daemon.get("/api/config")["ignore"] == ["0.mp3"]


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


def test_check_config(tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_text(yaml.safe_dump({"scan_dirs": [str(tmp_path)]}))
    done = mediawatchd("--check-config", "--config", good)
    assert done.status == 0
    assert done.out == f"{good}: the configuration is good\n"
    assert not (tmp_path / "catalog.db").exists()


def test_all_mistakes_are_told_at_once_with_status_78(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("scan_dirs: [/srv]\nsettle: 3\nhashing:\n  workers: many\nserver: {port: 99999}\n")
    for arguments in (["--check-config"], []):
        done = mediawatchd("--config", bad, *arguments)
        assert done.status == 78
        for line, key in ((2, "settle"), (4, "hashing.workers"), (5, "server.port")):
            assert f"{bad}:{line}: {key}" in done.err
        assert done.out == ""
        assert "Traceback" not in done.err


def test_a_daemon_with_nothing_to_catalog_does_not_start(tmp_path: Path) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text("scan_dirs: []\n")
    done = mediawatchd("--config", empty)
    assert done.status == 78
    assert "scan_dirs is empty" in done.err
    assert "mediawatchd ~/Videos" in done.err
    checked = mediawatchd("--check-config", "--config", empty)
    assert checked.status == 0
    assert "scan_dirs is empty" in checked.out


def test_no_configuration_file_is_a_mistake_that_names_the_ways_out(tmp_path: Path) -> None:
    done = mediawatchd("--config", tmp_path / "none.yaml")
    assert done.status == 78
    assert "No such file" in done.err
    assert "--config" in done.err


def test_version() -> None:
    done = mediawatchd("--version")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("mediawatchd ")


# Starting and ending.


def test_a_second_daemon_on_the_same_catalog_ends_and_says_who_has_it(
    daemon: Running, root: Path, tmp_path: Path
) -> None:
    assert daemon.process is not None
    done = mediawatchd(root, "--db", daemon.database, "--socket", tmp_path / "other.sock", "--port", "none")
    assert done.status == 1
    assert str(daemon.process.pid) in done.err
    assert "db_path" in done.err
    assert "Traceback" not in done.err
    daemon.sync()


def test_a_second_daemon_on_the_same_socket_ends(daemon: Running, root: Path, tmp_path: Path) -> None:
    done = mediawatchd(root, "--db", tmp_path / "other.db", "--socket", daemon.socket, "--port", "none")
    assert done.status == 1
    assert str(daemon.socket) in done.err
    assert "Stop the other daemon" in done.err
    daemon.sync()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_port_that_is_taken_is_told_with_the_way_out_and_nothing_stays_behind(root: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    arguments = (root, "--db", state / "catalog.db", "--socket", tmp_path / "c.sock")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = mediawatchd(*arguments, "--port", str(port))
    assert done.status == 1
    assert f"port {port}" in done.err
    assert "--port" in done.err
    assert not (tmp_path / "c.sock").exists()


def test_folders_on_the_command_line_and_a_port_of_ones_own(root: Path, tmp_path: Path) -> None:
    port = free_port()
    control = tmp_path / "c.sock"
    command = [sys.executable, "-m", "mediawatchd", str(root), "--db", str(tmp_path / "s" / "c.db")]
    with subprocess.Popen(
        [*command, "--socket", str(control), "--port", str(port)],
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            wait_until(lambda: answers(("127.0.0.1", port)) or process.poll() is not None, within=WITHIN)
            assert Client(sockets=[bytes(control)]).get("/api/config")["server"]["port"] == port
        finally:
            process.terminate()
            out, err = process.communicate(timeout=WITHIN)
    assert (process.returncode, out) == (0, "")
    assert str(root) in err
    assert f"http://127.0.0.1:{port}/metrics" in err
    assert f"--socket {control}" in err


def answers(address: tuple[str, int]) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(address) == 0


@pytest.mark.parametrize("port", ["x", "-1", "65536", "8080.5"])
def test_a_port_that_is_none(root: Path, port: str) -> None:
    done = mediawatchd(root, f"--port={port}")
    assert done.status == 2
    assert "is no port" in done.err


def test_a_terminated_daemon_ends_in_good_order_with_work_under_way(tmp_path: Path) -> None:
    root = tmp_path / "media"
    tree({f"{number % 50}/{number}.mp3": size(150_000, number) for number in range(1500)}).under(root)
    with running(tmp_path / "run", root) as daemon:
        daemon.post("/api/scan")
        wait_until(daemon.present, within=WITHIN)
        assert daemon.stop() == 0  # within its own bound
        assert "Traceback" not in daemon.said()
        assert not daemon.socket.exists()
        daemon.start()
        (job,) = daemon.get("/api/jobs")["items"]
        assert daemon.get(f"/api/jobs/{job['id']}/wait", {"timeout": 90})["state"] == "done"
        rows = daemon.present()
    assert len(rows) == 1500
    assert all(row["quick_hash"] for row in rows.values())


def test_an_endless_stream_and_a_wait_do_not_hold_up_the_end(unsettled: Running) -> None:
    job = unsettled.post("/api/scan")["job"]
    with (
        subprocess.Popen(ctl_command(unsettled, "events"), env=environment(), stderr=subprocess.PIPE) as events,
        subprocess.Popen(
            ctl_command(unsettled, "job", str(job), "--wait"), env=environment(), stderr=subprocess.PIPE
        ) as waiting,
    ):
        try:
            assert waiting.stderr is not None
            assert waiting.stderr.readline()  # progress: a daemon that was there is waited for
            wait_until(lambda: clients(unsettled) >= 2, within=WITHIN)
            assert unsettled.stop() == 0
            assert events.wait(WITHIN) == 3
        finally:
            waiting.send_signal(signal.SIGINT)
            assert waiting.wait(WITHIN) == 130


def clients(daemon: Running) -> int:
    """How many connections its socket has."""
    with open("/proc/net/unix") as sockets:
        return sum(line.rstrip().endswith(str(daemon.socket)) for line in sockets) - 1


def test_an_idle_daemon_holds_nothing_open_in_its_roots(daemon: Running, root: Path) -> None:
    daemon.sync(walk=True)
    assert daemon.process is not None
    folder = f"/proc/{daemon.process.pid}/fd"
    links = [os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)]
    assert [link for link in links if link.startswith(str(root))] == []
