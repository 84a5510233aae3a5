"""Waiting for a job over everything that may come between."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.cli.following import Follower, Lines
from mediawatchd.cli.screen import Screen
from mediawatchd.control.client import Client, NotRunning
from mediawatchd.errors import Refused
from tests.unit.cli.fake_daemon import FakeDaemon, answer, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JOB: dict[str, Any] = {"id": 1, "kind": "scan", "state": "running", "processed": 3, "total": None}
DONE = JOB | {"state": "done", "total": 3}
LATE = refusal(504, "timeout", "not yet")


class Clock:
    """Time that passes only by sleeping in it; `wake` maps a number of sleeps to what happens then."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.wake: dict[int, Any] = {}

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)
        self.wake.get(len(self.slept), lambda: None)()


class Seen:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.notes: list[str] = []

    def update(self, job: dict[str, Any]) -> None:
        self.states.append(job["state"])

    def note(self, message: str) -> None:
        self.notes.append(message)

    def close(self) -> None:
        pass


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    fake = FakeDaemon(tmp_path / "s").start()
    yield fake
    fake.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def follower(daemon: FakeDaemon, clock: Clock) -> Follower:
    client = Client(sockets=[daemon.path])
    return Follower(client=client, job_id=1, look_seconds=2, patience_seconds=10, clock=clock, sleep=clock.sleep)


def test_job_that_has_ended_already(daemon: FakeDaemon, follower: Follower) -> None:
    daemon.on("GET", "/api/jobs/1", answer(200, DONE))
    seen = Seen()
    assert follower.wait_finished(seen) == DONE
    assert seen.states == ["done"]


def test_daemon_without_room_for_a_wait_is_looked_at_instead(
    daemon: FakeDaemon, follower: Follower, clock: Clock
) -> None:
    daemon.on("GET", "/api/jobs/1", answer(200, JOB), answer(200, JOB), answer(200, DONE))
    daemon.on("GET", "/api/jobs/1/wait", refusal(503, "too_many_streams", "no room"))
    seen = Seen()
    follower.wait_finished(seen)
    assert clock.slept == [2, 2]
    assert seen.states == ["running", "running", "done"]
    assert seen.notes == []


def test_daemon_that_restarts_is_waited_for(
    daemon: FakeDaemon, follower: Follower, clock: Clock, tmp_path: Path
) -> None:
    def vanish(_request: object) -> bytes:
        (tmp_path / "s").unlink()
        return b""  # the connection ends without an answer

    again = FakeDaemon(tmp_path / "s").on(
        "GET", "/api/jobs/1/wait", refusal(503, "starting", "starting"), answer(200, DONE)
    )
    again.on("GET", "/api/jobs/1", refusal(503, "starting", "starting"))
    daemon.on("GET", "/api/jobs/1", answer(200, JOB))
    daemon.on("GET", "/api/jobs/1/wait", vanish)
    clock.wake[4] = again.start
    seen = Seen()
    try:
        assert follower.wait_finished(seen) == DONE
    finally:
        again.stop()
    assert seen.states == ["running", "done"]
    assert [note.split(";")[0] for note in seen.notes] == ["the daemon went away", "the daemon is back"]


def test_daemon_that_stays_away_is_given_up(
    daemon: FakeDaemon, follower: Follower, clock: Clock, tmp_path: Path
) -> None:
    def vanish(_request: object) -> bytes:
        (tmp_path / "s").unlink()
        return b""

    daemon.on("GET", "/api/jobs/1", answer(200, JOB))
    daemon.on("GET", "/api/jobs/1/wait", vanish)
    with pytest.raises(NotRunning):
        follower.wait_finished(Seen())
    assert 10 < clock.now < 12


def test_daemon_that_was_never_there_is_not_waited_for(clock: Clock, tmp_path: Path) -> None:
    absent = Client(sockets=[str(tmp_path / "none")])
    follower = Follower(client=absent, job_id=1, look_seconds=2, clock=clock, sleep=clock.sleep)
    with pytest.raises(NotRunning):
        follower.wait_finished(Seen())
    assert clock.slept == []


def test_job_that_is_forgotten_meanwhile_ends_the_wait(daemon: FakeDaemon, follower: Follower) -> None:
    daemon.on("GET", "/api/jobs/1", answer(200, JOB))
    daemon.on("GET", "/api/jobs/1/wait", refusal(404, "no_such_job", "no job 1"))
    with pytest.raises(Refused, match="no job 1"):
        follower.wait_finished(Seen())


def test_lines_come_at_most_every_five_seconds_and_later_less_often(clock: Clock) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    lines = Lines(screen=Screen(stream, environment={}), clock=clock)
    at = []
    for second in range(1200):
        clock.now = float(second)
        before = stream.buffer.tell()
        lines.update(JOB | {"processed": second * 10, "total": 12_000, "percent": second / 12})
        if stream.buffer.tell() > before:
            at.append(second)
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert at[:3] == [0, 5, 10]
    assert min(gaps) == 5
    assert max(gaps) == 60
    assert gaps == sorted(gaps)
    stream.seek(0)
    assert stream.read().splitlines()[1] == "scan 1: 50 of 12,000 files, 0.4 %, 10/s"


def test_lines_leave_the_end_to_the_summary(clock: Clock) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    Lines(screen=Screen(stream, environment={}), clock=clock).update(DONE)
    assert stream.buffer.tell() == 0
