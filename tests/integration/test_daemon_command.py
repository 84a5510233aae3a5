"""The command mediawatchd: configurations that make no sense, what is taken already, ports, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from mediawatchd.control.client import Client
from tests.asking import WITHIN, answers, ctl_command, daemon, environment, free_port, mediawatchd, root, unsettled
from tests.running import Running, running
from tests.trees import size, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path


__all__ = ["daemon", "root", "unsettled"]


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
