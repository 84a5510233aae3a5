from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mediawatchd.hashing.decoding import DecodePool
from mediawatchd.model import PROBE, Changed, Outcome, Probed, Stamp, Task, stamp_of
from mediawatchd.telemetry.heartbeat import Heartbeats
from mediawatchd.work.decoders import Decoders
from mediawatchd.work.queue import WorkQueue
from tests.media import make_video
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

WITHIN = 60.0


class MadeUpPool:
    """Keeps what it is given until the test ends it."""

    def __init__(self, deliver: Callable[[Outcome], None]) -> None:
        self._deliver = deliver
        self.tasks: list[Task] = []
        self.ends_in_time = True

    def start(self) -> None:
        pass

    def submit(self, task: Task) -> None:
        self.tasks.append(task)

    def end(self, task: Task) -> None:
        self._deliver(Changed(task.file_id, task.stamp, task.path, None))

    def stop(self, timeout: float) -> bool:
        return self.ends_in_time


class Bench:
    def __init__(self, under_way: int) -> None:
        self.queue = WorkQueue(capacity=100, busy_limit=100)
        self.heartbeats = Heartbeats()
        self.outcomes: list[Outcome] = []
        self.decoders = Decoders(
            queue=self.queue,
            pool=self._make_pool,  # type: ignore[arg-type] - made up
            deliver=self._deliver,
            heart=self.heartbeats.register("decode"),
            under_way=under_way,
        )

    def _make_pool(self, deliver: Callable[[Outcome], None]) -> MadeUpPool:
        self.pool = MadeUpPool(deliver)
        return self.pool

    def _deliver(self, outcomes: Sequence[Outcome]) -> None:
        self.outcomes += outcomes


@contextmanager
def decoding(under_way: int = 2) -> Iterator[Bench]:
    bench = Bench(under_way)
    bench.decoders.start()
    try:
        yield bench
    finally:
        assert bench.decoders.stop(WITHIN)


def task(file_id: int) -> Task:
    return Task(file_id, b"/%d.mkv" % file_id, Stamp(1, 2, 3, 4, 1), "video", PROBE, 1, 1, 1)


def test_only_so_many_are_under_way() -> None:
    with decoding(under_way=2) as bench:
        bench.queue.offer([task(1), task(2), task(3)])
        wait_until(lambda: len(bench.pool.tasks) == 2, within=WITHIN)
        assert bench.queue.statistics().length == 1
        bench.pool.end(bench.pool.tasks[0])
        wait_until(lambda: len(bench.pool.tasks) == 3, within=WITHIN)
        assert [each.file_id for each in bench.pool.tasks] == [1, 2, 3]
        assert [outcome.file_id for outcome in bench.outcomes] == [1]


def test_a_live_change_waits_for_no_more_than_what_is_under_way() -> None:
    with decoding(under_way=1) as bench:
        bench.queue.offer(task(number)._replace(priority=1) for number in range(10))
        wait_until(lambda: bench.pool.tasks, within=WITHIN)
        bench.queue.offer([task(99)._replace(priority=0)])
        bench.pool.end(bench.pool.tasks[0])
        wait_until(lambda: len(bench.pool.tasks) == 2, within=WITHIN)
        assert bench.pool.tasks[1].file_id == 99


def test_what_is_decoded_shows_until_it_has_ended() -> None:
    with decoding() as bench:
        assert bench.decoders.current() is None
        bench.queue.offer([task(1)])
        wait_until(lambda: bench.pool.tasks, within=WITHIN)
        assert bench.decoders.current() == b"/1.mkv"
        bench.pool.end(task(1))
        assert bench.decoders.current() is None


def test_stopping_with_all_places_taken_ends() -> None:
    with decoding(under_way=1) as bench:
        bench.queue.offer([task(1), task(2)])
        wait_until(lambda: bench.pool.tasks, within=WITHIN)
    assert [each.file_id for each in bench.pool.tasks] == [1]
    assert bench.outcomes == []


def test_a_pool_that_does_not_end_in_time_is_told() -> None:
    bench = Bench(1)
    bench.decoders.start()
    bench.pool.ends_in_time = False
    assert not bench.decoders.stop(WITHIN)
    bench.pool.ends_in_time = True
    assert bench.decoders.stop(WITHIN)


def test_real_processes_probe_a_real_file(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv")
    probed: list[Outcome] = []
    ended = threading.Event()

    def deliver(outcomes: Sequence[Outcome]) -> None:
        probed.extend(outcomes)
        ended.set()

    queue = WorkQueue(capacity=10, busy_limit=2)
    decoders = Decoders(
        queue=queue,
        pool=lambda each: DecodePool(workers=1, timeout_seconds=60, memory_mb=2048, deliver=each),
        deliver=deliver,
        heart=Heartbeats().register("decode"),
        under_way=2,
    )
    decoders.start()
    try:
        queue.offer([task(1)._replace(path=path, stamp=stamp_of((tmp_path / "a.mkv").lstat()))])
        assert ended.wait(WITHIN)
    finally:
        assert decoders.stop(WITHIN)
    (outcome,) = probed
    assert isinstance(outcome, Probed)
    assert outcome.probe.video is not None
    assert outcome.probe.video.width == 64
