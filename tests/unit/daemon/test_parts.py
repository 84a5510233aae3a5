"""The parts list: what starts, what is stopped again, and what ends the daemon. In this process, with real parts."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd import config as configuration
from mediawatchd.config import CommandLine, Config
from mediawatchd.daemon import parts, serving
from mediawatchd.daemon.parts import Daemon
from mediawatchd.errors import ConfigurationError, Refused, SocketUnavailable
from mediawatchd.telemetry.logs import Counter
from tests.trees import size, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WITHIN = 30.0


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Signals and the hook for dying threads are this process's own."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    hook = threading.excepthook
    yield
    threading.excepthook = hook
    for number, handler in handlers.items():
        signal.signal(number, handler)


class Bench:
    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self.folder = folder
        self.root = tree({"a.mp3": size(100), "b.mp3": size(200)}).under(folder / "media")
        self.socket = bytes(folder / "c.sock")
        self.command_line = CommandLine((self.root,), bytes(folder / "state" / "c.db"), self.socket, port)
        self.file = folder / "c.yaml"
        self.file.write_text("watch: {settle_seconds: 0.1}\n")
        self.daemon = Daemon(config=self.load(), load=self.load, environment={}, messages=Counter())

    def load(self) -> Config:
        return configuration.load(self.file, overrides=self.command_line, environment={})

    def threads(self) -> set[str]:
        return {thread.name for thread in threading.enumerate()}


@contextmanager
def started(folder: Path) -> Iterator[Bench]:
    bench = Bench(folder)
    before = bench.threads()
    bench.daemon.start()
    try:
        yield bench
    finally:
        bench.daemon.stop()
        wait_until(lambda: bench.threads() <= before, within=WITHIN, shows=bench.threads)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with started(tmp_path) as made:
        yield made


def test_a_started_daemon_answers_and_a_stopped_one_leaves_nothing(tmp_path: Path) -> None:
    with started(tmp_path) as bench:
        assert bench.daemon.is_ready
        assert bench.daemon.front.operations.sync(WITHIN, walk=False)["synced"]
        assert bench.daemon.front.operations.status()["catalog"]["quick_hashed"] == 2
        assert os.path.exists(bench.socket)
        pulses = {pulse.name for pulse in bench.daemon.heartbeats.statistics(0)}
        assert pulses >= {"writer", "mounts", "feeder", "decode", "hash-0", "root-1"}
    assert not bench.daemon.is_ready
    assert not os.path.exists(bench.socket)


def test_what_was_started_is_stopped_again_when_a_part_fails(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bench = Bench(tmp_path, port=taken.getsockname()[1])
        before = bench.threads()
        with pytest.raises(SocketUnavailable) as refused:
            bench.daemon.start()
    assert "--port" in refused.value.hint
    wait_until(lambda: bench.threads() <= before, within=WITHIN, shows=bench.threads)
    assert not os.path.exists(bench.socket)
    assert not bench.daemon.is_ready
    # The catalog is free again.
    again = Daemon(config=Bench(tmp_path).load(), load=bench.load, environment={}, messages=Counter())
    again.start()
    again.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(bench: Bench, number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    assert bench.daemon.run() == 0


def test_a_signal_between_start_and_run_is_not_lost(tmp_path: Path) -> None:
    with started(tmp_path) as bench:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        assert bench.daemon.run() == 0
        assert bench.daemon.last_reload[1] > bench.daemon.started


def test_a_thread_that_dies_ends_the_daemon_with_its_cause(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    def die() -> None:
        raise ZeroDivisionError("a fault of ours")

    threading.Thread(target=die, name="doomed").start()
    assert bench.daemon.run() == 1
    assert "The daemon ends" in caplog.text or "the daemon ends" in caplog.text
    assert "doomed: ZeroDivisionError('a fault of ours')" in caplog.text
    assert not bench.daemon.is_healthy()


def test_one_deadline_for_all_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(parts.time, "monotonic", lambda: clock[0])
    made = Bench(tmp_path).daemon
    given: list[float] = []

    def take_all(seconds: float) -> None:
        given.append(seconds)
        clock[0] += seconds

    for _ in range(4):
        made._when_stopping(take_all, parts.STOP_SECONDS / 2)
    made._parts.close()
    assert given == [2.5, 2.5, parts.SHORTEST_STOP_SECONDS, parts.SHORTEST_STOP_SECONDS]


def test_every_part_is_stopped_though_one_of_them_fails(tmp_path: Path) -> None:
    made = Bench(tmp_path).daemon
    stopped: list[str] = []

    def fail(_seconds: float) -> None:
        raise ZeroDivisionError

    made._when_stopping(lambda _seconds: stopped.append("first"), 1)
    made._when_stopping(fail, 1)
    made._when_stopping(lambda _seconds: stopped.append("last"), 1)
    with pytest.raises(ZeroDivisionError):
        made._parts.close()
    assert stopped == ["last", "first"]


def test_reload_applies_each_part_of_the_configuration(bench: Bench) -> None:
    workers, observers = bench.daemon.workers, bench.daemon.observers
    keepers = bench.daemon.roots.keepers()
    bench.file.write_text("watch: {settle_seconds: 0.1}\nhistory: {keep_days: 5}\nmissing: {hold_share: null}\n")
    bench.daemon.reload()
    assert bench.daemon.config.history.keep_days == 5
    assert bench.daemon.workers is workers
    assert bench.daemon.roots.keepers() == keepers
    bench.file.write_text("watch: {settle_seconds: 0.1}\nhashing: {workers: 1}\n")
    bench.daemon.reload()
    assert bench.daemon.workers is not workers
    assert bench.daemon.roots.keepers() == keepers
    bench.file.write_text("watch: {settle_seconds: 0.1, backend: polling}\nhashing: {workers: 1}\n")
    bench.daemon.reload()
    assert bench.daemon.observers is not observers
    assert bench.daemon.roots.keepers() != keepers
    assert bench.daemon.front.operations.sync(WITHIN, walk=True)["synced"]
    assert bench.daemon.last_reload[0]


@pytest.mark.parametrize("content", ["settle: 3\n", "hashing: {workers: 0}\nwatch: {settle_seconds: 0.1}\n", ": :"])
def test_a_bad_configuration_changes_nothing(bench: Bench, content: str) -> None:
    before = bench.daemon.config
    bench.file.write_text(content)
    with pytest.raises(Refused) as refused:
        bench.daemon.reload()
    assert (refused.value.status, refused.value.code) == (400, "bad_configuration")
    assert bench.daemon.config is before
    assert not bench.daemon.last_reload[0]


def test_a_catalog_that_cannot_be_written_leaves_the_old_configuration_at_work(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keepers of the old roots had ended and the new ones waited for the catalog: nobody watched meanwhile."""
    monkeypatch.setattr(parts, "RELOAD_SECONDS", 0.2)
    before, keepers = bench.daemon.config, bench.daemon.roots.keepers()
    bench.file.write_text("watch: {settle_seconds: 0.2}\n")
    with closing(sqlite3.connect(bench.daemon.config.db_path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Refused) as refused:
            bench.daemon.reload()
    assert (refused.value.status, refused.value.code) == (503, "catalog_busy")
    assert bench.daemon.config is before
    assert bench.daemon.roots.keepers() == keepers
    bench.daemon.reload()
    assert bench.daemon.roots.keepers() != keepers


def test_what_only_a_restart_can_change_is_named_and_nothing_is_applied(bench: Bench) -> None:
    before = bench.daemon.config
    bench.file.write_text("history: {keep_days: 5}\nserver: {host: 127.0.0.2}\ncontrol: {mode: 0600}\n")
    with pytest.raises(Refused) as refused:
        bench.daemon.reload()
    assert (refused.value.status, refused.value.code) == (409, "restart_required")
    assert refused.value.detail == {"keys": ["server.host", "control.mode"]}
    assert bench.daemon.config is before


def test_a_pause_is_kept(tmp_path: Path) -> None:
    with started(tmp_path) as bench:
        bench.daemon.pause(True)
    with started(tmp_path) as bench:
        assert bench.daemon.is_paused()
        bench.daemon.pause(False)
    with started(tmp_path) as bench:
        assert not bench.daemon.is_paused()


def test_troubles_name_the_root_and_what_is_wrong(bench: Bench) -> None:
    assert bench.daemon.front.operations.sync(WITHIN, walk=False)["synced"]
    assert bench.daemon.troubles() == []
    os.rename(bench.root[:-1], bench.root[:-1] + b".away")
    with open(bench.root[:-1], "wb"):
        pass
    for keeper in bench.daemon.roots.keepers():
        keeper.check_root()
    (trouble,) = wait_until(bench.daemon.troubles, within=WITHIN)
    assert trouble == f"{os.fsdecode(bench.root)[:-1]}: this is not a folder"
    assert bench.daemon.is_healthy()


def test_a_part_that_the_watchdog_must_not_tolerate_is_unhealthy(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pings: list[Any] = []
    monkeypatch.setattr(bench.daemon.systemd, "watchdog", lambda: pings.append(1))
    bench.daemon._serving.look_after(10.0)
    assert len(pings) == 1
    stuck = bench.daemon.heartbeats.register("stuck")
    stuck.beat()
    monkeypatch.setattr(serving, "STUCK_SECONDS", -1.0)
    for _ in range(3):
        bench.daemon._serving.look_after(10.0)
    assert len(pings) == 1
    assert not bench.daemon.is_healthy()
    assert caplog.text.count("Threads are stuck threads=") >= 1
    bench.daemon.heartbeats.retire(stuck)


def test_a_configuration_that_cannot_be_read_starts_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.file.unlink()
    with pytest.raises(ConfigurationError):
        bench.load()
