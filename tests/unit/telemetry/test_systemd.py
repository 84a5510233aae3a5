"""What systemd gets to hear, on a real datagram socket."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from mediawatchd.telemetry.systemd import Systemd
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Timers:
    """Timers that run when the test says so."""

    def __init__(self) -> None:
        self.set: list[tuple[float, Callable[[], None]]] = []
        self.daemon = False

    def __call__(self, seconds: float, call: Callable[[], None]) -> Timers:
        self.set.append((seconds, call))
        return self

    def start(self) -> None:
        pass

    def fire(self) -> None:
        _, call = self.set.pop(0)
        call()


class Bus:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0") if address.startswith("@") else address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["path", "abstract"])
def bus(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    bus = Bus(str(tmp_path / "notify") if request.param == "path" else f"@mediawatchd-test-{os.getpid()}")
    monkeypatch.setenv("NOTIFY_SOCKET", bus.address)
    with bus.socket:
        yield bus


def test_the_life_of_a_daemon_is_told(bus: Bus) -> None:
    systemd = Systemd(environment={"NOTIFY_SOCKET": bus.address})
    systemd.ready()
    before = time.monotonic_ns() // 1000
    systemd.reloading()
    after = time.monotonic_ns() // 1000
    systemd.ready()
    systemd.stopping()
    ready, reloading, ready_again, stopping = bus.heard()
    assert (ready, ready_again, stopping) == ("READY=1", "READY=1", "STOPPING=1")
    state, usec = reloading.split("\nMONOTONIC_USEC=")
    assert state == "RELOADING=1"
    assert before <= int(usec) <= after


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("音楽.mkv", "STATUS=音楽.mkv"),
        ("a\nREADY=1\r\0b", "STATUS=a\\nREADY=1\\r\\x00b"),
        ("caf\udce9 \ud800", "STATUS=caf\\xe9 \\ud800"),
        ("é" * 5000, "STATUS=" + "é" * 500),
    ],
)
def test_any_file_name_can_be_in_a_status(bus: Bus, text: str, message: str) -> None:
    Systemd(environment={"NOTIFY_SOCKET": bus.address}).status(text)
    assert bus.heard() == [message]


def test_at_most_one_status_goes_out_in_a_second_and_the_last_is_not_lost(bus: Bus) -> None:
    clock, timers = Clock(), Timers()
    systemd = Systemd(environment={"NOTIFY_SOCKET": bus.address}, clock=clock, timer=timers)
    systemd.status("one")
    clock.now += 0.25
    systemd.status("two")
    systemd.status("three")
    assert bus.heard() == ["STATUS=one"]
    assert [seconds for seconds, _ in timers.set] == [0.75]
    assert timers.daemon
    clock.now += 0.75
    timers.fire()
    assert bus.heard() == ["STATUS=three"]
    systemd.status("four")
    clock.now += 1
    timers.fire()
    clock.now += 1
    systemd.status("five")
    assert bus.heard() == ["STATUS=four", "STATUS=five"]
    assert timers.set == []


def test_a_status_that_was_overtaken_is_not_sent_late(bus: Bus) -> None:
    clock, timers = Clock(), Timers()
    systemd = Systemd(environment={"NOTIFY_SOCKET": bus.address}, clock=clock, timer=timers)
    systemd.status("one")
    systemd.status("two")
    clock.now += 2  # the timer is late
    systemd.status("three")
    timers.fire()
    assert bus.heard() == ["STATUS=one", "STATUS=three"]


def test_a_status_that_stays_the_same_is_said_once(bus: Bus) -> None:
    clock = Clock()
    systemd = Systemd(environment={"NOTIFY_SOCKET": bus.address}, clock=clock, timer=Timers())
    for _ in range(3):
        systemd.status("idle")
        clock.now += 5
    assert bus.heard() == ["STATUS=idle"]


def test_the_last_status_comes_by_itself(bus: Bus) -> None:
    clock = Clock()
    systemd = Systemd(environment={"NOTIFY_SOCKET": bus.address}, clock=clock)
    systemd.status("one")
    clock.now += 0.99
    systemd.status("two")
    messages: list[str] = []
    wait_until(lambda: messages.extend(bus.heard()) or len(messages) == 2, within=30)
    assert messages == ["STATUS=one", "STATUS=two"]


@pytest.mark.parametrize(
    ("environment", "interval_seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 20),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 20),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_told_three_times_in_its_limit_if_it_means_us(
    bus: Bus, environment: dict[str, str], interval_seconds: float | None
) -> None:
    systemd = Systemd(environment={"NOTIFY_SOCKET": bus.address, **environment})
    assert systemd.watchdog_interval_seconds() == interval_seconds
    systemd.watchdog()
    assert bus.heard() == ([] if interval_seconds is None else ["WATCHDOG=1"])


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    timers = Timers()
    systemd = Systemd(environment={"WATCHDOG_USEC": "60000000"}, timer=timers)
    for tell in (systemd.ready, systemd.reloading, systemd.stopping, systemd.watchdog):
        tell()
    systemd.status("one")
    systemd.status("two")
    assert timers.set == []
    assert caplog.records == []
    assert systemd.listen_fds() == ()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sdnotify drops its socket unclosed
def test_a_systemd_that_does_not_answer_is_logged_once_until_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    systemd = Systemd(environment={"NOTIFY_SOCKET": address})
    systemd.ready()
    systemd.stopping()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    bus = Bus(address)
    with bus.socket:
        systemd.ready()
        assert bus.heard() == ["READY=1"]
    systemd.ready()
    assert len(caplog.records) == 2


def test_a_systemd_that_does_not_read_holds_nobody_up_for_ever(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, contextlib.suppress(BlockingIOError):
        other.setblocking(False)
        other.connect(bus.socket.getsockname())
        while True:
            other.send(b"full")
    Systemd(environment={"NOTIFY_SOCKET": bus.address}).ready()
    assert "timed out" in caplog.text
    assert "READY=1" not in bus.heard()


HANDED_OVER = """
import fcntl, os, socket
from mediawatchd.telemetry.systemd import Systemd

made = [socket.socket(family).detach() for family in (socket.AF_UNIX, socket.AF_INET)]
above = [fcntl.fcntl(fd, fcntl.F_DUPFD, 50) for fd in made]
for fd, source in zip((3, 4), above):
    os.dup2(source, fd, inheritable=True)

ours = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "control:web"}
for name, fd in Systemd(environment=ours).listen_fds():
    print(name, fd, socket.socket(fileno=os.dup(fd)).family.name, os.get_inheritable(fd))
print(*Systemd(environment={**ours, "LISTEN_FDNAMES": "one"}).listen_fds())
print(*Systemd(environment={**ours, "LISTEN_PID": "1"}).listen_fds())
"""


def test_sockets_are_taken_over_by_name_and_not_passed_on() -> None:
    run = subprocess.run([sys.executable, "-c", HANDED_OVER], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.splitlines() == [
        "control 3 AF_UNIX False",
        "web 4 AF_INET False",
        "Listener(name='unknown', fd=3) Listener(name='unknown', fd=4)",
        "",
    ]
