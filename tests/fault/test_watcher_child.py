"""The watcher child is killed, stopped, or dies inside: it is replaced, and what was missed is said."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mediawatchd.watching.link import COMMAND
from tests.wait import wait_until
from tests.watched import RecordingSink, child_of, create, observing

if TYPE_CHECKING:
    from pathlib import Path

SCALED = {"canary_interval_seconds": 0.2, "canary_timeout_seconds": 2.0, "restart_backoff_seconds": (0.1, 1.0)}
"""The canary's 60 and 10 seconds, and the pauses, scaled down."""


def broken(how: str) -> tuple[str, ...]:
    return (sys.executable, os.path.join(os.path.dirname(__file__), "broken_child.py"), how)


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    (tmp_path / "media" / "films").mkdir(parents=True)
    return os.fsencode(tmp_path) + b"/media/"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_child_that_is_gone_or_stopped_is_replaced(tmp_path: Path, root: bytes, how: signal.Signals) -> None:
    sink = RecordingSink()
    with observing(tmp_path, sink, **SCALED) as observer:
        observer.watch(1, root)
        assert observer.sync(30)
        child = child_of(observer)
        os.kill(child, how)
        create(root + b"missed.mkv")
        wait_until(lambda: (1, "restarted") in sink.losses, within=30)
        assert [state.kind for _, state in sink.states][:3] == ["inotify", "degraded", "inotify"]
        assert observer.sync(60)
        assert child not in observer.statistics().child_pids
        sink.clear()
        create(root + b"films/seen.mkv")
        assert observer.sync(60)
        assert sink.knows(root + b"films/seen.mkv")
        wait_until(lambda: observer.statistics().degraded is None, within=30)
        assert observer.statistics().restarts >= 1


@pytest.mark.parametrize("how", ["raise", "exit", "return", "hang"])
def test_a_reader_that_ends_or_hangs_is_noticed(tmp_path: Path, root: bytes, how: str) -> None:
    sink = RecordingSink()
    with observing(tmp_path, sink, command=broken(how), **SCALED) as observer:
        observer.watch(1, root)
        observer.watch(2, os.fsencode(tmp_path) + b"/media/films")
        assert observer.sync(30)
        create(root + b"poison")
        wait_until(lambda: {(1, "restarted"), (2, "restarted")} <= set(sink.losses), within=30)
        sink.clear()
        create(root + b"seen.mkv")
        assert observer.sync(60)
        assert sink.knows(root + b"seen.mkv")


def test_a_root_on_a_disk_that_hangs_stops_no_other(tmp_path: Path, root: bytes) -> None:
    sink = RecordingSink()
    (tmp_path / "stuck").mkdir()
    with observing(tmp_path, sink, command=broken("stick"), **SCALED) as observer:
        observer.watch(1, root)
        observer.watch(2, os.fsencode(tmp_path) + b"/stuck")
        wait_until(sink.state, within=30)
        create(root + b"seen.mkv")
        wait_until(lambda: sink.knows(root + b"seen.mkv"), within=30)
        # The canary does not wait for a disk, a sync does: until the root is given up.
        seen = observer.statistics().canary_last_seen
        wait_until(lambda: observer.statistics().canary_last_seen != seen, within=30)
        assert not observer.sync(0.2)
        assert observer.sync(30, lambda root_id: root_id != 2)
        asked: list[int] = []
        # A disk that does not answer any more while it is waited for is let go.
        assert observer.sync(30, lambda root_id: asked.append(root_id) or asked.count(2) < 2)  # type: ignore[func-returns-value]
        observer.unwatch(2)
        assert observer.sync(30)
        assert observer.statistics().restarts == 0
        assert sink.state(2) is None


def test_where_a_folder_has_moved_is_told_before_it_is_watched(tmp_path: Path, root: bytes) -> None:
    """To watch a large tree takes long, and meanwhile its files had left their old path and were nowhere."""
    sink = RecordingSink()
    os.mkdir(root + b"moving")
    with observing(tmp_path, sink, command=broken("stick"), **SCALED) as observer:
        observer.watch(1, root)
        assert observer.sync(30)
        os.rename(root + b"moving", root + b"stuck")
        wait_until(lambda: sink.names.get((1, root + b"stuck")), within=30)
        assert sink.walks == []


def test_a_sync_outlives_a_restart(tmp_path: Path, root: bytes) -> None:
    sink = RecordingSink()
    with observing(tmp_path, sink, **SCALED) as observer:
        observer.watch(1, root)
        assert observer.sync(30)
        os.kill(child_of(observer), signal.SIGSTOP)
        create(root + b"seen.mkv")
        assert observer.sync(60)
        assert sink.knows(root + b"seen.mkv")


def test_a_child_that_cannot_start_leaves_the_daemon_alone(tmp_path: Path, root: bytes) -> None:
    sink = RecordingSink()
    with observing(tmp_path, sink, command=("/nonexistent",), **SCALED) as observer:
        observer.watch(1, root)
        wait_until(lambda: observer.statistics().restarts > 2, within=30)
        assert not observer.sync(0.1)
        state = sink.state()
        assert state is not None
        assert (state.kind, state.unwatched) == ("degraded", (root,))
        assert "/nonexistent" in (observer.statistics().degraded or "")


def test_a_daemon_that_dies_before_it_has_read_everything_is_no_error_of_its_child(tmp_path: Path, root: bytes) -> None:
    """The kernel then says that the connection was reset, and not that it has ended."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        child = subprocess.Popen(COMMAND, stdin=theirs.fileno(), stderr=subprocess.PIPE)
        for command in (["begin", str(tmp_path), ".canary", 60.0], ["watch", 1, os.fsdecode(root)], ["canary", 1]):
            ours.sendall(json.dumps(command).encode() + b"\n")
        assert select.select([ours], [], [], 60)[0], "it says nothing"
    _, said = child.communicate(timeout=60)
    assert said == b""


def test_a_canary_that_cannot_be_written_is_said_and_heals(tmp_path: Path, root: bytes) -> None:
    sink = RecordingSink()
    with observing(tmp_path, sink, **SCALED) as observer:
        observer.watch(1, root)
        assert observer.sync(30)
        shutil.rmtree(tmp_path / "canary")
        wait_until(lambda: "cannot be written" in (observer.statistics().degraded or ""), within=30)
        assert not observer.sync(30)
        assert observer.statistics().restarts == 0
        (tmp_path / "canary").mkdir()
        wait_until(lambda: observer.statistics().degraded is None and observer.sync(30), within=60)


def test_watches_that_the_kernel_dropped_unsaid_are_counted_and_set_again(tmp_path: Path, root: bytes) -> None:
    sink = RecordingSink()
    with observing(tmp_path, sink, command=broken("forget")) as observer:
        observer.watch(1, root)
        observer.check_watch_count()
        assert observer.sync(30)
        assert sink.losses == []
        os.rmdir(root + b"films")
        observer.check_watch_count()
        assert observer.sync(30)
        assert sink.losses == [(1, "watches_gone")]
        sink.clear()
        observer.check_watch_count()
        assert observer.sync(30)
        assert sink.losses == []
