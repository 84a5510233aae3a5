from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from mediawatchd.hashing.attempt import attempt
from mediawatchd.hashing.decoding import DecodePool
from mediawatchd.model import FINGERPRINT, PHASH, PROBE, Changed, Outcome, Probe, Probed, Stamp, Task, stamp_of
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

    def __init__(self, deliver: Callable[[Outcome, bool], None]) -> None:
        self._deliver = deliver
        self.tasks: list[Task] = []
        self.works: list[tuple[object, ...]] = []
        self.ends_in_time = True

    def start(self) -> None:
        pass

    def submit(self, task: Task, *work: object) -> None:
        self.tasks.append(task)
        self.works.append(work)

    def cancel(self, wanted: Callable[[Task], bool]) -> list[Task]:
        taken = [task for task in self.tasks if wanted(task)]
        self.tasks = [task for task in self.tasks if not wanted(task)]
        return taken

    def tell(self, task: Task) -> None:
        self._deliver(Probed(task.file_id, task.stamp, Probe(None, None, None, None, None, None)), False)

    def end(self, task: Task) -> None:
        self._deliver(Changed(task.file_id, task.stamp, task.path, None), True)

    def stop(self, timeout: float) -> bool:
        return self.ends_in_time


class Bench:
    def __init__(self, under_way: int) -> None:
        changed = threading.Condition()
        self.queue = WorkQueue(capacity=100, busy_limit=100, takers=under_way, changed=changed)
        self.phashing = WorkQueue(capacity=100, busy_limit=100, takers=1, changed=changed)
        self.heartbeats = Heartbeats()
        self.outcomes: list[Outcome] = []
        self.kinds: list[int] = []
        self.decoders = Decoders(
            queues={PROBE: self.queue, PHASH: self.phashing},
            pool=self._make_pool,  # type: ignore[arg-type] - made up
            deliver=self._deliver,
            heart=self.heartbeats.register("decode"),
        )

    def _make_pool(self, deliver: Callable[[Outcome, bool], None]) -> MadeUpPool:
        self.pool = MadeUpPool(deliver)
        return self.pool

    def _deliver(self, kind: int, outcomes: Sequence[Outcome]) -> None:
        self.outcomes += outcomes
        self.kinds.append(kind)


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


def phash(file_id: int, lacks: int = PHASH) -> Task:
    return task(file_id)._replace(lacks=lacks)


def test_what_takes_long_waits_for_all_that_is_quick_and_for_a_free_process() -> None:
    with decoding(under_way=1) as bench:
        bench.queue.offer([task(1)])
        wait_until(lambda: bench.pool.tasks, within=WITHIN)
        bench.queue.offer([task(2)])
        bench.phashing.offer([phash(11), phash(12)])
        wait_until(lambda: len(bench.pool.tasks) == 2, within=WITHIN)
        assert [each.file_id for each in bench.pool.tasks] == [1, 11]
        bench.pool.end(task(1))
        wait_until(lambda: len(bench.pool.tasks) == 3, within=WITHIN)
        bench.pool.end(phash(11))
        wait_until(lambda: len(bench.pool.tasks) == 4, within=WITHIN)
        assert [each.file_id for each in bench.pool.tasks] == [1, 11, 2, 12]
        assert bench.kinds == [PROBE, PHASH]


def test_the_work_is_what_the_task_lacks() -> None:
    with decoding() as bench:
        bench.phashing.offer([phash(1, FINGERPRINT)])
        wait_until(lambda: bench.pool.works, within=WITHIN)
        bench.queue.offer([task(2)])
        wait_until(lambda: len(bench.pool.works) == 2, within=WITHIN)
    assert [each.lacks for each in bench.pool.tasks] == [FINGERPRINT, PROBE]
    assert bench.pool.works == [(attempt, True)] * 2


def test_what_is_withdrawn_is_killed_or_dropped_and_may_be_offered_again() -> None:
    with decoding() as bench:
        bench.phashing.offer([phash(1), phash(2), phash(3)])
        bench.queue.offer([task(4)])
        wait_until(lambda: len(bench.pool.tasks) == 2, within=WITHIN)
        bench.decoders.withdraw(PHASH, lambda task: task.file_id != 3)
        wait_until(lambda: {each.file_id for each in bench.pool.tasks} == {3, 4}, within=WITHIN)
        assert bench.decoders.current(PHASH) == b"/3.mkv"
        bench.phashing.look()
        assert bench.phashing.offer([phash(1), phash(3)]) == 1
        bench.pool.end(phash(3))
        wait_until(lambda: bench.decoders.current(PHASH) == b"/1.mkv", within=WITHIN)


def test_a_file_that_is_probed_anew_while_it_is_hashed_is_left_for_later() -> None:
    with decoding() as bench:
        bench.phashing.offer([phash(1)])
        wait_until(lambda: bench.pool.tasks, within=WITHIN)
        bench.queue.offer([task(1)])
        wait_until(lambda: bench.queue.statistics().held == 0, within=WITHIN)
        assert [each.lacks for each in bench.pool.tasks] == [PHASH]
        bench.pool.end(phash(1))
        bench.queue.look()
        assert bench.queue.offer([task(1)]) == 1
        wait_until(lambda: len(bench.pool.tasks) == 2, within=WITHIN)


def test_what_is_wanted_beside_the_probe_is_had_in_one_attempt_when_nobody_waits() -> None:
    with decoding(under_way=1) as bench:
        bench.queue.offer([phash(1, PROBE | PHASH), phash(2, PROBE | PHASH)])
        wait_until(lambda: bench.pool.tasks, within=WITHIN)
        assert bench.pool.tasks[0].lacks == PROBE, "another waits for its probe"
        bench.pool.end(phash(1))
        wait_until(lambda: len(bench.pool.tasks) == 2, within=WITHIN)
        assert bench.pool.tasks[1].lacks == PROBE | PHASH
        assert bench.phashing.offer([phash(2)]) == 0, "it is with that queue too"
        assert bench.decoders.current(PHASH) == b"/2.mkv"


def test_what_is_wanted_waits_where_others_are_hashed_or_wait_for_that() -> None:
    with decoding(under_way=3) as bench:
        bench.phashing.offer([phash(11)])
        wait_until(lambda: bench.pool.tasks, within=WITHIN)
        bench.queue.offer([phash(1, PROBE | PHASH)])
        wait_until(lambda: len(bench.pool.tasks) == 2, within=WITHIN)
        bench.phashing.offer([phash(12)])
        bench.queue.offer([phash(2, PROBE | PHASH)])
        wait_until(lambda: len(bench.pool.tasks) == 3, within=WITHIN)
        assert [each.lacks for each in bench.pool.tasks] == [PHASH, PROBE, PROBE]


def test_a_probe_that_was_told_makes_room_for_others_and_the_rest_goes_on() -> None:
    with decoding(under_way=1) as bench:
        bench.queue.offer([phash(1, PROBE | PHASH)])
        wait_until(lambda: bench.pool.tasks, within=WITHIN)
        bench.pool.tell(phash(1))
        assert bench.kinds == [PROBE]
        bench.queue.release([1])
        bench.queue.offer([phash(2, PROBE | PHASH)])
        wait_until(lambda: len(bench.pool.tasks) == 2, within=WITHIN)
        assert bench.pool.tasks[1].lacks == PROBE, "there is no second process for hashes"
        assert bench.phashing.offer([phash(1)]) == 0
        bench.pool.end(phash(1))
        assert bench.kinds == [PROBE, PHASH]
        bench.pool.end(phash(2))
        assert [queue.statistics().busy for queue in (bench.queue, bench.phashing)] == [0, 0]


def test_an_attempt_that_failed_before_the_probe_was_told_leaves_both_queues() -> None:
    with decoding() as bench:
        bench.queue.offer([phash(1, PROBE | PHASH)])
        wait_until(lambda: bench.pool.tasks, within=WITHIN)
        bench.pool.end(phash(1))
        assert bench.kinds == [PROBE | PHASH]
        assert [queue.statistics().busy for queue in (bench.queue, bench.phashing)] == [0, 0]


@pytest.mark.parametrize("told", [False, True])
def test_what_is_withdrawn_of_one_attempt_at_all_may_be_offered_again(told: bool) -> None:
    with decoding() as bench:
        bench.queue.offer([phash(1, PROBE | PHASH)])
        wait_until(lambda: bench.pool.tasks, within=WITHIN)
        if told:
            bench.pool.tell(phash(1))
        bench.decoders.withdraw(PHASH, lambda _task: True)
        assert bench.pool.tasks == []
        assert [queue.statistics().busy for queue in (bench.queue, bench.phashing)] == [0, 0]
        bench.phashing.look()
        assert bench.phashing.offer([phash(1)]) == 1
        bench.queue.look()
        assert bench.queue.offer([phash(1, PROBE | PHASH)]) == (not told), "the probe awaits its commit"


def test_what_waits_for_its_probe_is_offered_again_without_what_is_not_wanted_any_more() -> None:
    with decoding(under_way=1) as bench:
        bench.queue.offer([task(1), phash(2, PROBE | PHASH), task(3)])
        wait_until(lambda: bench.pool.tasks, within=WITHIN)
        bench.decoders.withdraw(PHASH, lambda _task: True)
        bench.queue.look()
        assert bench.queue.offer([task(2), task(3)]) == 1


def test_a_probe_that_is_told_of_what_was_just_withdrawn_is_dropped() -> None:
    """The pool has taken it in when the withdrawal comes, and delivers it after that."""
    with decoding() as bench:
        bench.queue.offer([phash(1, PROBE | PHASH)])
        wait_until(lambda: bench.pool.tasks, within=WITHIN)
        bench.decoders.withdraw(PHASH, lambda _task: True)
        bench.pool.tell(phash(1))
        assert bench.outcomes == []


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

    def deliver(_kind: int, outcomes: Sequence[Outcome]) -> None:
        probed.extend(outcomes)
        ended.set()

    queue = WorkQueue(capacity=10, busy_limit=2)
    decoders = Decoders(
        queues={PROBE: queue},
        pool=lambda each: DecodePool(workers=1, timeout_seconds=60, memory_mb=2048, deliver=each),
        deliver=deliver,
        heart=Heartbeats().register("decode"),
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
