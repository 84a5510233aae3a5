from __future__ import annotations

import hashlib
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from mediawatchd.hashing import quick
from mediawatchd.model import QUICK_HASH, Changed, Failed, Hashed, Outcome, Task, stamp_of
from mediawatchd.telemetry.heartbeat import Heartbeats
from mediawatchd.work.hashers import TAKEN, Hashers
from mediawatchd.work.queue import WorkQueue
from tests.trees import size, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

WITHIN = 20.0


class Bench:
    """Hash threads over real files; `outcomes` by file id, each with all that came for it."""

    def __init__(self, workers: int) -> None:
        self.queue = WorkQueue(capacity=1000, busy_limit=max(1, workers - 1))
        self.heartbeats = Heartbeats()
        self.outcomes: dict[int, list[Outcome]] = {}
        self._lock = threading.Lock()
        hearts = [self.heartbeats.register(f"hash-{number}", tolerated=True) for number in range(workers)]
        self.hashers = Hashers(queue=self.queue, deliver=self._deliver, hearts=hearts)

    def _deliver(self, outcomes: Sequence[Outcome]) -> None:
        with self._lock:
            for outcome in outcomes:
                self.outcomes.setdefault(outcome.file_id, []).append(outcome)

    def outcome(self, file_id: int) -> Outcome:
        """The one outcome of a file."""
        wait_until(lambda: file_id in self.outcomes, within=WITHIN)
        (outcome,) = self.outcomes[file_id]
        return outcome


@contextmanager
def hashing(workers: int = 2) -> Iterator[Bench]:
    bench = Bench(workers)
    bench.hashers.start()
    try:
        yield bench
    finally:
        assert bench.hashers.stop(WITHIN)


def a_task(file_id: int, path: bytes, *, filesystem: int = 1) -> Task:
    return Task(file_id, path, stamp_of(os.lstat(path)), "video", QUICK_HASH, 1, filesystem, 1)


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    return tree({f"{number:03}.mkv": size(1000 + number) for number in range(100)}).under(tmp_path)


def a_hundred(root: bytes) -> list[Task]:
    return [a_task(number, root + b"%03d.mkv" % number) for number in range(100)]


class Stuck:
    """Reading this one file lasts until `go_on`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, file_id: int) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.attempted: list[int] = []
        attempt = quick.attempt

        def slow(task: Task) -> Outcome:
            self.attempted.append(task.file_id)
            if task.file_id == file_id:
                self.reached.set()
                assert self.go_on.wait(60)
            return attempt(task)

        monkeypatch.setattr(quick, "attempt", slow)


def test_each_file_gets_exactly_one_outcome(root: bytes) -> None:
    with hashing() as bench:
        bench.queue.offer(a_hundred(root))
        wait_until(lambda: len(bench.outcomes) == 100, within=WITHIN)
    assert all(len(outcomes) == 1 for outcomes in bench.outcomes.values())
    for number in range(100):
        outcome = bench.outcome(number)
        assert isinstance(outcome, Hashed)
        with open(root + b"%03d.mkv" % number, "rb") as file:
            content = file.read()
        assert outcome.quick_hash == hashlib.sha256(len(content).to_bytes(8, "little") + content).digest()
        assert outcome.size_read == len(content)


def test_files_that_went_changed_or_cannot_be_read_have_outcomes_too(root: bytes) -> None:
    gone, changed, fifo, fine = a_hundred(root)[:4]
    os.unlink(gone.path)
    with open(changed.path, "ab") as file:
        file.write(b"more")
    os.unlink(fifo.path)
    os.mkfifo(fifo.path)
    with hashing() as bench:
        bench.queue.offer([gone, changed, fifo, fine])
        went = bench.outcome(gone.file_id)
        assert isinstance(went, Changed)
        assert went.found is None
        moved_on = bench.outcome(changed.file_id)
        assert isinstance(moved_on, Changed)
        assert moved_on.found is not None
        assert moved_on.found.size == changed.stamp.size + 4
        assert not isinstance(bench.outcome(fifo.file_id), Hashed)
        assert isinstance(bench.outcome(fine.file_id), Hashed)


def test_a_file_that_breaks_the_code_ends_no_thread(
    root: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempt = quick.attempt

    def break_at(task: Task) -> Outcome:
        if task.file_id % 10 == 3:
            raise ZeroDivisionError("a fault of ours")
        return attempt(task)

    monkeypatch.setattr(quick, "attempt", break_at)
    with hashing() as bench:
        bench.queue.offer(a_hundred(root))
        wait_until(lambda: len(bench.outcomes) == 100, within=WITHIN)
    broken = bench.outcome(13)
    assert isinstance(broken, Failed)
    assert (broken.lacks, broken.problem.reason, broken.final) == (QUICK_HASH, "io", False)
    assert "a fault of ours" in broken.problem.text
    assert sum(isinstance(bench.outcome(number), Hashed) for number in range(100)) == 90
    assert "A file could not be hashed" in caplog.text


def test_a_file_system_that_hangs_leaves_a_thread_for_the_others(root: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck(monkeypatch, 0)
    with hashing(workers=2) as bench:
        tasks = a_hundred(root)
        bench.queue.offer(task._replace(filesystem_id=7) for task in tasks[:50])
        assert stuck.reached.wait(WITHIN)
        bench.queue.offer(tasks[50:])
        wait_until(lambda: len(bench.outcomes) == 50, within=WITHIN)
        assert min(bench.outcomes) == 50
        assert bench.hashers.current() == tasks[0].path
        stuck.go_on.set()
        wait_until(lambda: len(bench.outcomes) == 100, within=WITHIN)
        wait_until(lambda: bench.hashers.current() is None, within=WITHIN)


def test_stopping_waits_for_no_file_that_hangs(root: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck(monkeypatch, 5)
    bench = Bench(workers=1)
    bench.hashers.start()
    bench.queue.offer(a_hundred(root))
    assert stuck.reached.wait(WITHIN)
    assert not bench.hashers.stop(0.01)
    stuck.go_on.set()
    assert bench.hashers.stop(WITHIN)


def test_stopping_ends_after_the_file_under_way_and_hands_over_what_is_done(
    root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A thread that had taken several files went on to the last of them.
    assert TAKEN > 3
    stuck = Stuck(monkeypatch, 2)
    bench = Bench(workers=1)
    bench.queue.offer(a_hundred(root))
    bench.hashers.start()
    assert stuck.reached.wait(WITHIN)
    assert not bench.hashers.stop(0.01)
    stuck.go_on.set()
    assert bench.hashers.stop(WITHIN)
    assert stuck.attempted == [0, 1, 2]
    assert sorted(bench.outcomes) == [0, 1, 2]


def test_threads_that_wait_are_idle_and_end_at_once() -> None:
    with hashing(workers=3) as bench:
        wait_until(lambda: all(pulse.idle for pulse in bench.heartbeats.statistics(0)), within=WITHIN)
        assert bench.hashers.current() is None


def test_a_hanging_thread_is_seen_and_tolerated(root: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck(monkeypatch, 0)
    with hashing() as bench:
        bench.queue.offer(a_hundred(root)[:1])
        assert stuck.reached.wait(WITHIN)
        (pulse,) = (pulse for pulse in bench.heartbeats.statistics(0) if not pulse.idle)
        assert pulse.tolerated
        stuck.go_on.set()
