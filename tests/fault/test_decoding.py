"""Decode processes that crash, hang, eat memory or die; each task comes back once, whatever happens."""

from __future__ import annotations

import ast
import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING

import pytest
from pebble.pool.process import PoolManager, TaskManager

from mediawatchd.hashing import decoding
from mediawatchd.model import Changed, Failed, Outcome, Probed
from tests import misbehaviour
from tests.decoding import PATIENCE, Decoding, decoding_with, problem
from tests.media import make_video
from tests.misbehaviour import attempts
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["decoding_with"]


def ended(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_decoder_that_crashes_is_tried_once_more_and_the_pool_goes_on(decoding_with: Callable[..., Decoding]) -> None:
    pool = decoding_with()
    task, outcome = pool.outcome(misbehaviour.die, signal.SIGSEGV)
    assert problem(outcome) == ("crash", True)
    assert "SIGSEGV" in outcome.problem.text
    assert len(set(attempts(task.path))) == 2
    assert isinstance(pool.outcome(misbehaviour.behave, number=2)[1], Changed)
    assert len(pool.outcomes) == 2


def test_a_decoder_that_crashes_once_succeeds_at_the_second_attempt(decoding_with: Callable[..., Decoding]) -> None:
    task, outcome = decoding_with().outcome(misbehaviour.die, signal.SIGABRT, 1)
    assert isinstance(outcome, Changed)
    assert len(attempts(task.path)) == 2


def test_a_decoder_that_dies_before_it_is_known_what_it_had_harms_no_other(
    decoding_with: Callable[..., Decoding], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All processes were given up, with what they had, when a dead one was seen before what it had said was read."""
    start = TaskManager.task_start

    def start_late(manager: TaskManager, task_id: int, worker_id: int) -> None:
        time.sleep(0.5)  # five looks for dead processes
        start(manager, task_id, worker_id)

    pool = decoding_with(workers=2)
    hanging = pool.submit(pool.task(1), misbehaviour.hang)
    process = pool.started(hanging)
    monkeypatch.setattr(TaskManager, "task_start", start_late)
    task, outcome = pool.outcome(misbehaviour.report_no_memory, number=2)
    assert problem(outcome) == ("memory", True)
    assert len(attempts(task.path)) == 1
    assert not ended(process)
    assert pool.pool.cancel(lambda _: True) == [hanging]


@pytest.mark.parametrize(("breakdowns", "told", "begun"), [(2, ("crash", True), 4), (3, ("crash", False), 3)])
def test_a_breakdown_of_all_processes_is_no_attempt_at_the_file(
    decoding_with: Callable[..., Decoding],
    monkeypatch: pytest.MonkeyPatch,
    breakdowns: int,
    told: tuple[str, bool],
    begun: int,
) -> None:
    """It was taken for the crash of each file that they had: one that does not crash had a problem."""
    find = PoolManager.find_expired_task
    left = [BrokenProcessPool("All workers expired")] * breakdowns

    def forget(manager: PoolManager, process: int) -> object:
        if left:
            raise left.pop()
        return find(manager, process)

    monkeypatch.setattr(PoolManager, "find_expired_task", forget)
    task, outcome = decoding_with().outcome(misbehaviour.die, signal.SIGSEGV)
    assert problem(outcome) == told
    assert len(attempts(task.path)) == begun


def test_a_decoder_that_hangs_in_native_code_is_killed_at_its_time(decoding_with: Callable[..., Decoding]) -> None:
    pool = decoding_with(timeout_seconds=0.3)
    task, outcome = pool.outcome(misbehaviour.hang)
    assert problem(outcome) == ("timeout", True)
    (process,) = attempts(task.path)  # no second attempt
    wait_until(lambda: ended(process), within=PATIENCE)
    assert isinstance(pool.outcome(misbehaviour.behave, number=2)[1], Changed)


def test_a_decoder_of_a_daemon_that_is_stopped_ends_by_itself(tmp_path: Path) -> None:
    program = """if True:
        import os, socket, sys
        from mediawatchd.hashing.confinement import confine, run
        from mediawatchd.model import PROBE, Stamp, Task
        from tests import misbehaviour
        confine(os.getppid(), 1 << 29, socket.socket())
        run(misbehaviour.spin, Task(1, os.fsencode(sys.argv[1]), Stamp(0, 0, 0, 0, 0), "video", PROBE, 1, 1, 0), (), 0)
    """
    command = [sys.executable, "-c", program, str(tmp_path / "film.mkv")]
    ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": "."}, check=False, timeout=PATIENCE)
    assert ended.returncode == -signal.SIGXCPU


def test_too_much_processor_time_is_a_timeout(decoding_with: Callable[..., Decoding]) -> None:
    task, outcome = decoding_with().outcome(misbehaviour.die, signal.SIGXCPU)
    assert problem(outcome) == ("timeout", True)
    assert len(attempts(task.path)) == 1


def test_a_clock_that_jumps_times_nothing_out(
    decoding_with: Callable[..., Decoding], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = decoding_with()
    task = pool.submit(pool.task(1), misbehaviour.hang)
    pool.started(task)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    other = pool.submit(pool.task(2), misbehaviour.behave)
    time.sleep(0.5)  # five looks of pebble
    assert pool.outcomes == []
    assert pool.pool.cancel(lambda found: found == task) == [task]
    assert isinstance(pool.outcome_of(other), Changed)


@pytest.mark.parametrize("function", [misbehaviour.eat_memory, misbehaviour.report_no_memory])
def test_a_decoder_that_eats_memory_is_ended_at_its_limit(
    decoding_with: Callable[..., Decoding], function: Callable[..., Outcome]
) -> None:
    pool = decoding_with()
    task, outcome = pool.outcome(function)
    assert problem(outcome) == ("memory", True)
    (process,) = attempts(task.path)
    wait_until(lambda: ended(process), within=PATIENCE)  # with a heap that is full
    assert isinstance(pool.outcome(misbehaviour.behave, number=2)[1], Changed)


def test_a_decoder_that_the_kernel_kills_ran_out_of_memory_when_it_happens_again(
    decoding_with: Callable[..., Decoding],
) -> None:
    pool = decoding_with()
    task, outcome = pool.outcome(misbehaviour.die, signal.SIGKILL)
    assert problem(outcome) == ("memory", True)
    assert len(attempts(task.path)) == 2
    assert isinstance(pool.outcome(misbehaviour.die, signal.SIGKILL, 1, number=2)[1], Changed)


def test_a_fault_of_ours_is_a_problem_of_that_file(
    decoding_with: Callable[..., Decoding], caplog: pytest.LogCaptureFixture
) -> None:
    task, outcome = decoding_with().outcome(misbehaviour.go_wrong)
    assert problem(outcome) == ("decode", True)
    assert len(attempts(task.path)) == 1
    assert "a fault of ours" in caplog.text


def test_cancelling_kills_what_runs_and_takes_back_what_waits(decoding_with: Callable[..., Decoding]) -> None:
    pool = decoding_with()
    running = pool.submit(pool.task(1), misbehaviour.hang)
    waiting = pool.submit(pool.task(2), misbehaviour.behave)
    kept = pool.submit(pool.task(3), misbehaviour.behave)
    process = pool.started(running)
    assert pool.pool.cancel(lambda task: task.file_id < 3) == [waiting, running]
    wait_until(lambda: ended(process), within=5)
    assert isinstance(pool.outcome_of(kept), Changed)
    assert [outcome.file_id for outcome in pool.outcomes] == [3]
    assert attempts(waiting.path) == []
    assert pool.pool.cancel(lambda task: True) == []


def test_stopping_kills_what_runs(decoding_with: Callable[..., Decoding]) -> None:
    pool = decoding_with(workers=2)
    tasks = [pool.submit(pool.task(number), misbehaviour.hang) for number in range(3)]
    processes = [pool.started(task) for task in tasks[:2]]
    assert pool.pool.stop(10)
    assert all(ended(process) for process in processes)
    assert pool.outcomes == []


def test_processes_end_when_idle_and_start_again_with_work(decoding_with: Callable[..., Decoding]) -> None:
    pool = decoding_with(idle_seconds=0.1)
    assert not pool.pool.statistics().has_processes
    for number in (1, 2):
        task, _ = pool.outcome(misbehaviour.behave, number=number)
        wait_until(lambda: not pool.pool.statistics().has_processes, within=PATIENCE)
        wait_until(lambda path=task.path: ended(attempts(path)[0]), within=PATIENCE)
    assert pool.pool.statistics().pools_started == 2


def test_an_idle_process_that_is_killed_is_replaced(decoding_with: Callable[..., Decoding]) -> None:
    pool = decoding_with()
    task, _ = pool.outcome(misbehaviour.behave)
    (process,) = attempts(task.path)
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: ended(process), within=PATIENCE)
    for number in (2, 3):
        assert isinstance(pool.outcome(misbehaviour.behave, number=number)[1], Changed)


def test_processes_that_take_no_work_are_replaced(
    decoding_with: Callable[..., Decoding], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = decoding_with()
    task, _ = pool.outcome(misbehaviour.behave)
    (process,) = attempts(task.path)
    monkeypatch.setattr(decoding, "_START_SECONDS", 0.5)
    os.kill(process, signal.SIGSTOP)
    other = pool.submit(pool.task(2), misbehaviour.behave)
    wait_until(lambda: pool.pool.statistics().pools_replaced, within=PATIENCE)
    monkeypatch.setattr(decoding, "_START_SECONDS", PATIENCE)
    outcome = pool.outcome_of(other)
    # A slow start is taken for the same, and then there is no further attempt: told, and tried again later.
    assert isinstance(outcome, Changed) or problem(outcome) == ("crash", False)
    assert ended(process)


def test_a_machine_that_starts_no_process_delays_the_work(
    decoding_with: Callable[..., Decoding], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(process: SpawnProcess) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    pool = decoding_with()
    with monkeypatch.context() as patched:
        patched.setattr(SpawnProcess, "start", refuse)
        assert problem(pool.outcome(misbehaviour.behave)[1]) == ("crash", False)
    assert isinstance(pool.outcome(misbehaviour.behave, number=2)[1], Changed)


def test_processes_die_with_a_daemon_that_is_killed(tmp_path: Path) -> None:
    program = """if True:
        import os, sys, time
        from mediawatchd.hashing.decoding import DecodePool
        from mediawatchd.model import PROBE, Stamp, Task
        from tests import misbehaviour
        if __name__ == "__main__":
            pool = DecodePool(workers=1, timeout_seconds=60, memory_mb=512, deliver=print)
            pool.start()
            path = os.fsencode(sys.argv[1])
            pool.submit(Task(1, path, Stamp(0, 0, 0, 0, 0), "video", PROBE, 1, 1, 0), misbehaviour.hang)
            time.sleep(60)
    """
    path = tmp_path / "film.mkv"
    path.touch()
    with subprocess.Popen([sys.executable, "-c", program, str(path)], env=os.environ | {"PYTHONPATH": "."}) as daemon:
        try:
            process = wait_until(lambda: attempts(os.fsencode(path)), within=PATIENCE)[0]
        finally:
            daemon.kill()
    wait_until(lambda: ended(process), within=5)


def test_a_process_is_confined(decoding_with: Callable[..., Decoding]) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # as daemons do in their threads
    try:
        pool = decoding_with()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    _, outcome = pool.outcome(misbehaviour.describe_process)
    assert isinstance(outcome, Failed)
    assert ast.literal_eval(outcome.problem.text) == (
        [0, 0, 0, 64, 512 * 1024 * 1024],
        "1",
        "800",
        os.devnull,
        True,
        True,
        [],
    )


def test_every_task_comes_back_once(decoding_with: Callable[..., Decoding]) -> None:
    pool = decoding_with(workers=2, timeout_seconds=1)
    choose = random.Random(4)
    kinds: list[tuple[object, ...]] = [
        (misbehaviour.behave,),
        (misbehaviour.behave,),
        (misbehaviour.die, signal.SIGSEGV, 1),
        (misbehaviour.die, signal.SIGSEGV),
        (misbehaviour.hang,),
        (misbehaviour.eat_memory,),
    ]
    tasks = [pool.task(number) for number in range(24)]
    for task in tasks:
        pool.submit(task, *choose.choice(kinds))
    taken = pool.pool.cancel(lambda task: task.file_id in (5, 23))
    wait_until(lambda: len(pool.outcomes) >= 8, within=PATIENCE, shows=pool.pool.statistics)
    taken += pool.pool.cancel(lambda task: task.file_id % 3 == 0)
    wait_until(lambda: len(pool.outcomes) + len(taken) >= len(tasks), within=PATIENCE, shows=pool.pool.statistics)
    with contextlib.suppress(AssertionError):  # nothing more comes
        wait_until(lambda: len(pool.outcomes) + len(taken) > len(tasks), within=0.5)
    assert sorted([*(outcome.file_id for outcome in pool.outcomes), *(task.file_id for task in taken)]) == list(
        range(24)
    )


def test_a_real_video_is_probed(decoding_with: Callable[..., Decoding], tmp_path: Path) -> None:
    pool = decoding_with()
    task = pool.task(1, make_video(tmp_path / "film.mp4"))
    pool.pool.submit(task)
    outcome = pool.outcome_of(task)
    assert isinstance(outcome, Probed)
    assert outcome.stamp == task.stamp
    assert outcome.probe.video is not None
    assert outcome.probe.video.width == 64


def test_the_daemon_does_not_load_decoders() -> None:
    program = (
        "import sys, mediawatchd.hashing.decoding, mediawatchd.hashing.quick;"
        "print(sorted({'av', 'PIL', 'numpy', 'imagehash'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert printed.stdout.strip() == "[]"
