"""Which threads count as alive."""

import threading
import time

import pytest

from mediawatchd.telemetry.heartbeat import Heartbeats, Pulse


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heartbeats(clock: Clock) -> Heartbeats:
    return Heartbeats(clock=clock)


def test_a_thread_that_beats_is_not_stuck(heartbeats: Heartbeats, clock: Clock) -> None:
    writer = heartbeats.register("writer")
    clock.now += 50
    writer.beat()
    clock.now += 10
    assert heartbeats.stuck(clock.now, 10) == ()


def test_a_busy_thread_that_is_silent_for_longer_than_the_limit_is_stuck(heartbeats: Heartbeats, clock: Clock) -> None:
    heartbeats.register("settle").beat()
    heartbeats.register("writer").beat()
    clock.now += 11
    heartbeats.register("late")
    assert heartbeats.stuck(clock.now, 10) == (
        Pulse("settle", 11, idle=False, tolerated=False),
        Pulse("writer", 11, idle=False, tolerated=False),
    )


def test_a_thread_that_never_beats_is_stuck(heartbeats: Heartbeats, clock: Clock) -> None:
    heartbeats.register("writer")
    clock.now += 11
    assert [pulse.name for pulse in heartbeats.stuck(clock.now, 10)] == ["writer"]


def test_a_thread_that_waits_for_work_is_alive_however_long(heartbeats: Heartbeats, clock: Clock) -> None:
    writer = heartbeats.register("writer")
    with writer.idle():
        clock.now += 1e6
        assert heartbeats.stuck(clock.now, 10) == ()
        assert heartbeats.statistics(clock.now) == (Pulse("writer", 0, idle=True, tolerated=False),)
    clock.now += 5
    assert heartbeats.statistics(clock.now) == (Pulse("writer", 5, idle=False, tolerated=False),)


def test_a_thread_that_dies_in_its_wait_becomes_stuck(heartbeats: Heartbeats, clock: Clock) -> None:
    writer = heartbeats.register("writer")
    with pytest.raises(KeyError), writer.idle():
        raise KeyError
    clock.now += 11
    assert [pulse.name for pulse in heartbeats.stuck(clock.now, 10)] == ["writer"]


def test_a_tolerated_thread_is_stuck_and_says_so(heartbeats: Heartbeats, clock: Clock) -> None:
    heartbeats.register("hash-1", tolerated=True)
    clock.now += 11
    assert heartbeats.stuck(clock.now, 10) == (Pulse("hash-1", 11, idle=False, tolerated=True),)


def test_a_retired_thread_is_forgotten_and_its_name_is_free(heartbeats: Heartbeats, clock: Clock) -> None:
    watcher = heartbeats.register("watcher")
    with pytest.raises(ValueError, match="watcher"):
        heartbeats.register("watcher")
    heartbeats.retire(watcher)
    clock.now += 11
    assert heartbeats.stuck(clock.now, 10) == ()
    heartbeats.register("watcher")


def test_a_late_retirement_leaves_the_successor(heartbeats: Heartbeats, clock: Clock) -> None:
    first = heartbeats.register("watcher")
    heartbeats.retire(first)
    heartbeats.register("watcher")
    heartbeats.retire(first)
    assert [pulse.name for pulse in heartbeats.statistics(clock.now)] == ["watcher"]


def test_threads_beat_while_others_look() -> None:
    heartbeats = Heartbeats()
    stop = threading.Event()

    def work(name: str) -> None:
        while not stop.is_set():
            heartbeat = heartbeats.register(name)
            for _ in range(100):
                heartbeat.beat()
                with heartbeat.idle():
                    pass
            heartbeats.retire(heartbeat)

    threads = [threading.Thread(target=work, args=(f"worker-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2000):
            assert heartbeats.stuck(time.monotonic(), 60) == ()
            assert len(heartbeats.statistics(time.monotonic())) <= 4
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
