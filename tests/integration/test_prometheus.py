"""A real Prometheus scrapes a real daemon, and its own tool finds nothing to complain of."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import urllib.parse
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest

from tests.running import Running, running
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

METRICS = {
    *("build_info", "degraded", "paused", "log_messages_total"),
    *("config_last_reload_successful", "config_last_reload_success_timestamp_seconds"),
    *("root_up", "root_state", "root_state_since_timestamp_seconds", "root_watch"),
    *("root_files", "root_bytes", "root_missing_files", "root_held_files"),
    *("root_problem_files", "pending_files", "settling_files"),
    *("duplicate_groups", "duplicate_bytes"),
    *("scans_total", "scan_in_progress", "last_scan_success_timestamp_seconds", "last_scan_duration_seconds"),
    *("watch_events_total", "watch_lost_total", "watches", "watches_limit", "unwatched_directories"),
    "unreadable_directories",
    *("canary_last_seen_timestamp_seconds", "watcher_restarts_total"),
    *("files_discovered_total", "files_processed_total", "hashed_bytes_total", "processing_errors_total"),
    *("queue_length", "queue_capacity", "queue_oldest_item_timestamp_seconds", "queue_wait_seconds"),
    *("stage_duration_seconds", "workers", "workers_busy", "worker_heartbeat_timestamp_seconds"),
    *("db_up", "db_write_duration_seconds", "db_size_bytes", "db_dropped_items_total"),
    *("jobs_total", "job_progress_ratio", "control_requests_total"),
}
"""What dashboards and alerts are built on."""
TYPE = re.compile(r"^# TYPE (\S+) (\S+)$", re.MULTILINE)


@pytest.fixture
def port() -> int:
    return _free_port()


@pytest.fixture
def daemon(tmp_path: Path, port: int) -> Iterator[Running]:
    root = tmp_path / "音楽"
    root.mkdir()
    for number in range(7):
        (root / f"{number}.mkv").write_bytes(os.urandom(1000))
    with running(tmp_path / "daemon", root, settings={"server": {"port": port}}) as daemon:
        daemon.sync()
        yield daemon


def test_the_metrics_are_those_that_are_promised(daemon: Running, port: int) -> None:
    status, content_type, text = _fetch(port, "/metrics")
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    names = {name for name, _ in TYPE.findall(text)}
    assert {name for name in names if name.startswith("mediawatchd_")} == {f"mediawatchd_{name}" for name in METRICS}
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes", "python_info"} <= names


def test_what_happened_is_counted(daemon: Running, port: int, tmp_path: Path) -> None:
    root = str(tmp_path / "音楽")
    (tmp_path / "音楽" / "0.mkv").unlink()
    daemon.sync()
    samples = _samples(port)
    for sample, value in {
        f'root_files{{root="{root}"}}': 6,
        f'root_missing_files{{root="{root}"}}': 1,
        f'root_state{{root="{root}",state="online"}}': 1,
        f'scans_total{{result="complete",root="{root}"}}': 1,
        "files_discovered_total": 7,
        'files_processed_total{result="hashed"}': 7,
        'files_processed_total{result="failed"}': 7,  # random bytes are no video
        "hashed_bytes_total": 7000,
        'stage_duration_seconds_count{stage="hash"}': 7,
        'stage_duration_seconds_bucket{le="+Inf",stage="probe"}': 7,
        'queue_wait_seconds_count{queue="hash"}': 7,
        'watch_events_total{type="deleted"}': 1,
    }.items():
        assert samples[sample] == value, sample
    failures = [value for sample, value in samples.items() if sample.startswith("processing_errors_total")]
    assert sum(failures) == 7
    assert samples['stage_duration_seconds_count{stage="stat"}'] > 0
    assert samples['stage_duration_seconds_count{stage="db"}'] > 0


def test_jobs_and_requests_are_counted(daemon: Running, port: int, tmp_path: Path) -> None:
    job = daemon.post("/api/scan", {})["job"]
    daemon.get(f"/api/jobs/{job}/wait", {"timeout": 60})
    samples = _samples(port)
    assert samples['jobs_total{kind="scan",result="done"}'] == 1
    assert samples[f'scans_total{{result="complete",root="{tmp_path / "音楽"}"}}'] == 2
    assert samples['control_requests_total{code="202",route="/api/scan"}'] == 1
    assert samples['control_requests_total{code="200",route="/api/jobs/<job>/wait"}'] == 1


def test_promtool_finds_nothing_wrong(daemon: Running, port: int) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("needs promtool")
    _, _, text = _fetch(port, "/metrics")
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_prometheus_has_every_metric(daemon: Running, port: int, tmp_path: Path) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("needs prometheus")
    with _prometheus(tmp_path, port) as prometheus:
        wait_until(lambda: _query(prometheus, "up == 1"), within=60, poll=0.1)
        # Copies are counted beside the first scrape and told at the second.
        wait_until(lambda: _query(prometheus, "mediawatchd_duplicate_groups"), within=60, poll=0.1)
        names = _ask(prometheus, "/api/v1/label/__name__/values")["data"]
        [files] = _query(prometheus, "mediawatchd_root_files")
        assert (files["metric"]["root"], files["value"][1]) == (str(tmp_path / "音楽"), "7")
        assert len(_query(prometheus, "sum by (root) (mediawatchd_root_state) == 1")) == 1
    scraped = {re.sub("_(bucket|sum|count)$", "", name) for name in names if name.startswith("mediawatchd_")}
    assert scraped == {f"mediawatchd_{name}" for name in METRICS}


@contextmanager
def _prometheus(folder: Path, target: int) -> Iterator[int]:
    """A Prometheus that scrapes `target` every second; yields its port."""
    config, log, port = folder / "prometheus.yml", folder / "prometheus.log", _free_port()
    job = {"job_name": "mediawatchd", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
    config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=output, stderr=output, cwd=folder
        )
    try:
        wait_until(lambda: process.poll() is None and _answers(port), within=60, poll=0.1, shows=log.read_text)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)


def _answers(port: int) -> bool:
    try:
        return _fetch(port, "/-/ready")[0] == 200
    except ConnectionRefusedError:
        return False


def _query(port: int, expression: str) -> list[Any]:
    found: list[Any] = _ask(port, "/api/v1/query?" + urllib.parse.urlencode({"query": expression}))["data"]["result"]
    return found


def _ask(port: int, path: str) -> Any:
    return json.loads(_fetch(port, path)[2])


def _samples(port: int) -> dict[str, float]:
    """What the daemon tells, by name without the prefix and with the labels."""
    lines = [line.rsplit(" ", 1) for line in _fetch(port, "/metrics")[2].splitlines() if not line.startswith("#")]
    return {sample.removeprefix("mediawatchd_"): float(value) for sample, value in lines}


def _fetch(port: int, path: str) -> tuple[int, str | None, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Content-Type"), answer.read().decode()
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])
