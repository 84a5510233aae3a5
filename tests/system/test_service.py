"""The unit, and what the daemon and systemd have agreed on, under a real systemd."""

from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path

from tests.system.conftest import CONFIG, INSTALLED, MEDIA, PROJECT, Service
from tests.wait import wait_until

CTL = f"{INSTALLED}/bin/mediawatchctl"
SOCKET = "/run/mediawatchd/mediawatchd.sock"
METRICS = f"""
import socket
client = socket.socket(socket.AF_UNIX)
client.connect("{SOCKET}")
client.sendall(b"GET /metrics HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
while data := client.recv(65536):
    print(data.decode(), end="")
"""


def test_the_unit_has_no_mistakes(service: Service) -> None:
    # Without this drop-in of the tests. What systemd does not understand it ignores, and verify still ends with 0.
    service.run("rm", "-r", "/etc/systemd/system/mediawatchd.service.d")
    verified = service.run("systemd-analyze", "verify", "--man=no", "/etc/systemd/system/mediawatchd.service")
    assert verified.stderr == ""


def test_every_line_of_the_unit_says_why_it_is_there() -> None:
    unit = (PROJECT / "systemd" / "mediawatchd.service").read_text()
    lines = unit.split("\n[Service]\n")[1].split("\n[Install]\n")[0].splitlines()
    # A reason stands above a group of lines, so each group begins with a comment or belongs to the line above.
    for above, line in pairwise(lines):
        if re.match(r"\w+=", line):
            assert above.startswith("#") or re.match(r"\w+=", above), line


def test_the_limits_of_inotify_are_settings_of_the_kernel() -> None:
    text = (PROJECT / "systemd" / "sysctl.d" / "60-mediawatchd.conf").read_text()
    settings = re.findall(r"^(\S+) = (\d+)$", text, re.MULTILINE)
    assert len(settings) == 3
    assert all(Path("/proc/sys", *name.split(".")).exists() for name, _ in settings)


def test_started_means_that_the_socket_answers(service: Service) -> None:
    # The first thing that happens after `start` returns, in the same shell: nothing is waited for here.
    answered = service.run("sh", "-c", f"systemctl start mediawatchd && exec {CTL} --json status")
    assert '"version"' in answered.stdout
    assert service.show("ActiveState") == "active"
    mode = service.run("stat", "--format=%U:%G %a", "/var/lib/mediawatchd", SOCKET).stdout
    assert mode == "mediawatchd:mediawatchd 750\nmediawatchd:mediawatchd 660\n"
    pid = str(service.main_pid())
    assert service.run("cut", "--delimiter= ", "--fields=19", f"/proc/{pid}/stat").stdout == "10\n"  # its niceness
    assert service.run("ionice", "-p", pid).stdout == "idle\n"


def test_files_are_found_and_metrics_told_inside_the_sandbox_of_the_unit(service: Service) -> None:
    service.files(20)
    service.start()
    service.files(30)
    service.ctl("sync")
    assert service.ctl("status")["catalog"]["files"] == 30
    told = service.run(f"{INSTALLED}/bin/python", "-c", METRICS).stdout
    assert f'mediawatchd_root_files{{root="{MEDIA}"}} 30.0' in told
    assert "process_resident_memory_bytes " in told
    assert "mediawatchd_root_up" in told


def test_videos_are_hashed_and_the_doctor_is_content_inside_the_sandbox_of_the_unit(service: Service) -> None:
    # What the unit forbids, a decode process must not need: it maps, forks and limits itself.
    service.run(f"{INSTALLED}/bin/python", "-m", "mediawatchd.cli.demo", MEDIA)
    service.start()
    service.ctl("sync")
    job = service.ctl("phash", "--wait", status=6)
    assert (job["state"], job["written"], job["failed"]) == ("done", 24, 3)  # three are no films, whatever their names
    group = service.ctl("similar", f"{MEDIA}/Films/Paper Lanterns (2021)", "--groups")
    assert f"{MEDIA}/Sorted later/lanterns without the start.webm" in group["paths"]
    doctor = service.ctl("doctor", status=0)
    findings = {each["check"]: each["level"] for each in doctor["findings"]}
    assert findings.pop("files") == "warning", doctor
    assert set(findings.values()) == {"ok"}, doctor


def test_the_status_shows_any_name(service: Service) -> None:
    # Not Latin-1, and with a line that systemd would obey.
    root = "/srv/音楽\nSTOPPING=1"
    service.files(3, root)
    service.configure(root)
    service.start()
    # The line break is escaped, of which systemd 252 drops the backslash.
    shown = ("3 files in /srv/音楽\\nSTOPPING=1, idle", "3 files in /srv/音楽nSTOPPING=1, idle")
    wait_until(lambda: service.show("StatusText") in shown, within=30, shows=lambda: service.show("StatusText"))
    assert service.show("ActiveState") == "active"


def test_a_reload_is_applied_when_it_returns(service: Service) -> None:
    service.start()
    service.files(1, "/srv/more")
    service.configure(MEDIA, "/srv/more")
    service.run("systemctl", "reload", "mediawatchd")
    assert [root["path"] for root in service.ctl("status")["roots"]] == [MEDIA, "/srv/more"]
    assert service.show("ActiveState") == "active"


def test_a_reload_with_a_mistake_fails_and_changes_nothing(service: Service) -> None:
    service.start()
    pid = service.main_pid()
    service.sandbox.write(CONFIG, "scan_dirs: [/srv/more]\nscan_dris: []\n")
    assert service.run("systemctl", "reload", "mediawatchd", check=False).returncode != 0
    assert [root["path"] for root in service.ctl("status")["roots"]] == [MEDIA]
    assert (service.show("ActiveState"), service.main_pid()) == ("active", pid)
    assert "scan_dris" in service.journal()


def test_stopping_ends_work_under_way_and_every_process(service: Service) -> None:
    # Slower than this, and systemd kills it: then the result is not "success".
    service.drop_in("RestartSec=100ms", "TimeoutStopSec=5s")
    service.files(4_000)
    service.start()
    wait_until(
        lambda: len([line for line in service.processes() if "spawn_main" in line]) > 0, within=60, poll=0.05,
        shows=service.processes,
    )  # fmt: skip
    assert any("watching.child" in line for line in service.processes())
    assert service.ctl("status")["catalog"]["pending_probe"] > 0
    service.run("systemctl", "stop", "mediawatchd")
    assert (service.show("Result"), service.show("ExecMainStatus")) == ("success", "0")
    assert service.processes() == []


def test_a_hung_daemon_is_ended_with_the_stacks_of_its_threads_and_restarted(service: Service) -> None:
    service.drop_in("RestartSec=100ms", "WatchdogSec=3s")
    service.start()
    # A healthy one lives on, because it pings.
    first = service.show("WatchdogTimestampMonotonic")
    pid = service.main_pid()
    wait_until(lambda: int(service.show("WatchdogTimestampMonotonic")) > int(first) + 3_500_000, within=30, poll=0.2)
    assert service.main_pid() == pid
    service.run("kill", "-STOP", str(pid))
    service.wait_for("NRestarts", "1")
    service.wait_for("ActiveState", "active")
    said = service.journal()
    assert "Watchdog timeout" in said
    assert "Fatal Python error: Aborted" in said
    # All threads, not only the one that got the signal: this one waits in the feeder.
    assert "feeder.py" in said


def test_after_a_kill_the_next_run_finds_everything(service: Service) -> None:
    service.files(500)
    service.start()
    service.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "mediawatchd")
    service.files(700)
    service.wait_for("NRestarts", "1")
    service.wait_for("ActiveState", "active")
    service.ctl("sync")
    listed = service.run(CTL, "--json", "files", "--limit", "10000").stdout.splitlines()
    paths = re.findall(r'"path": ?"([^"]+)"', "\n".join(listed))
    assert sorted(paths) == sorted(f"{MEDIA}/film-{number}.mkv" for number in range(1, 701))


def test_a_mistake_in_the_configuration_is_not_tried_again(service: Service) -> None:
    service.sandbox.write(CONFIG, "scan_dirs: 7\n")
    assert service.run("systemctl", "start", "mediawatchd", check=False).returncode != 0
    # At once, without a restart that waits: that state would be "activating".
    assert (service.show("ActiveState"), service.show("ExecMainStatus")) == ("failed", "78")
    assert service.show("NRestarts") == "0"


def test_a_socket_that_systemd_keeps_is_answered_on(service: Service) -> None:
    socket = "/run/mediawatchd.sock"
    service.sandbox.write(
        "/etc/systemd/system/mediawatchd.socket",
        f"[Socket]\nListenStream={socket}\nSocketMode=0660\nSocketGroup=mediawatchd\n",
    )
    service.run("systemctl", "daemon-reload")
    service.run("systemctl", "start", "mediawatchd.socket")
    assert service.show("ActiveState") == "inactive"
    # The first call starts the daemon and waits for it.
    assert '"version"' in service.run(CTL, "--json", "--socket", socket, "status").stdout
    service.run("systemctl", "restart", "mediawatchd")
    assert '"version"' in service.run(CTL, "--json", "--socket", socket, "status").stdout
    assert os.path.basename(socket) in service.run("ls", "/run").stdout.split()
