"""Decode processes: FFmpeg at work where it can hang, crash and eat memory without harming the daemon.

`DecodePool` puts a queue, time-outs, one retry and an idle stop around pebble's process pool. This side never
imports PyAV. What pebble leaves open is closed here: its time-outs follow the wall clock, so ours are kept on
the monotonic one; it polls while it lives, so it is ended when idle; a process that dies at a bad moment can
leave it broken or deaf, so a pool that does not start what it was given is replaced.
"""

from __future__ import annotations

import functools
import logging
import multiprocessing
import os
import threading
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.hashing.attempt import attempt
from mediawatchd.hashing.confinement import confine, run
from mediawatchd.hashing.endings import broken, ending_of, timed_out
from mediawatchd.hashing.processes import Processes
from mediawatchd.hashing.telling import Receiver
from mediawatchd.model import PHASH, PROBE, SECOND, Outcome, Task
from mediawatchd.telemetry.durations import DurationCounts, Durations

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.1  # how often running work is looked after; pebble does the same
_START_SECONDS = 60  # patience with work that was handed over; a busy machine starts a Python slowly
_END_SECONDS = 4  # patience with processes that do not end: one may hang in a dead disk
_TASKS_EACH = 1000  # then a process is replaced, which bounds what FFmpeg may leak; a start costs 0.3 s
_ATTEMPTS = 2
_BREAKDOWNS = 2  # of all processes, that a file may meet beside its attempts
_MEGABYTE = 1024 * 1024


class DecodeStatistics(NamedTuple):
    """A snapshot; the last five only grow. `durations`, by kind: from when a process had the file to its outcome."""

    waiting: int
    running: int
    has_processes: bool
    delivered: int
    retried: int
    pools_started: int
    pools_replaced: int
    durations: dict[int, DurationCounts]


@dataclass(slots=True, eq=False)
class _Job:
    """A submitted task, which lacks no longer what was told of it; guarded by the pool's lock."""

    task: Task
    function: Callable[..., Outcome]
    arguments: tuple[object, ...]
    attempts: int = 0
    breakdowns: int = 0
    future: Future[Outcome] | None = None
    scheduled_ns: int = 0
    running_ns: int | None = None

    def awaits(self, told: Outcome) -> bool:
        """Whether that is the probe which is told before the rest of this work."""
        is_all = self.task.lacks & PROBE and self.task.lacks & PHASH
        return bool(is_all) and (self.task.file_id, self.task.stamp) == (told.file_id, told.stamp)


class DecodePool:
    """Owned by its thread `decode-pool`, which alone starts, feeds and ends processes and calls `deliver`.

    Every submitted task comes back once, as the last outcome of its file that is delivered or in the list that
    `cancel` returns; after `stop` none does. `deliver(outcome, is_last)` must neither raise nor wait for long:
    time-outs wait for it.
    """

    def __init__(
        self,
        *,
        workers: int,
        timeout_seconds: float,
        memory_mb: int,
        idle_seconds: float = 30,
        deliver: Callable[[Outcome, bool], None],
    ) -> None:
        self._workers = workers
        self._timeout_seconds = timeout_seconds
        self._memory_bytes = memory_mb * _MEGABYTE
        self._idle_seconds = idle_seconds
        self._deliver = deliver
        self._thread = threading.Thread(target=self._run, name="decode-pool", daemon=True)
        self._pool: Processes | None = None
        self._receiver: Receiver
        self._pools_started = self._pools_replaced = 0
        self._durations = {kind: Durations() for kind in (PROBE, PHASH)}
        # Guards everything below. Never held while pebble, `deliver` or a future is called: futures call back.
        self._changed = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._running: list[_Job] = []
        self._ended: list[tuple[_Job, Future[Outcome]]] = []
        self._delivered = self._retried = 0
        self._stopping = False

    def start(self) -> None:
        """Start the thread; processes are started by the first work."""
        self._thread.start()

    def submit(self, task: Task, function: Callable[..., Outcome] = attempt, *arguments: object) -> None:
        """Have `function`, of a module's top level, called in a decode process with the task and the `arguments`: it
        returns the task's outcome. Returns at once: the caller bounds how much it has under way."""
        with self._changed:
            self._waiting.append(_Job(task, function, arguments))
            self._changed.notify()

    def cancel(self, wanted: Callable[[Task], bool]) -> list[Task]:
        """Take back the tasks that are `wanted`: they are returned and not delivered any more.

        Does not wait; the processes of those that run are killed within a second.
        """
        with self._changed:
            taken = [job for job in (*self._waiting, *self._running) if wanted(job.task)]
            self._waiting = deque(job for job in self._waiting if job not in taken)
            self._running = [job for job in self._running if job not in taken]
            futures = [job.future for job in taken if job.future is not None]
            self._changed.notify()
        for future in futures:
            future.cancel()  # pebble kills the process that has it
        return [job.task for job in taken]

    def stop(self, timeout: float) -> bool:
        """Drop what waits, kill what runs, end the processes; whether that was done in `timeout` seconds."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def statistics(self) -> DecodeStatistics:
        """A snapshot, for any thread."""
        with self._changed:
            return DecodeStatistics(
                waiting=len(self._waiting),
                running=len(self._running),
                has_processes=self._pool is not None,
                delivered=self._delivered,
                retried=self._retried,
                pools_started=self._pools_started,
                pools_replaced=self._pools_replaced,
                durations={kind: durations.counts() for kind, durations in self._durations.items()},
            )

    def _run(self) -> None:
        with closing(Receiver()) as self._receiver:
            self._serve()
            self._end_pool()

    def _serve(self) -> None:
        idle_since = time.monotonic()
        while True:
            with self._changed:
                if not (self._ended or self._stopping or self._may_feed_locked()):
                    self._changed.wait(self._pause_seconds_locked(idle_since))
                if self._stopping:
                    self._waiting.clear()
                    self._running.clear()
                    return
                ended, self._ended = self._ended, []
                idle = not (self._waiting or self._running)
            self._hear()
            for job, future in ended:
                self._take_in(job, future)
            self._look_after()
            self._feed()
            if not idle:
                idle_since = time.monotonic()
            elif time.monotonic() >= idle_since + self._idle_seconds:
                self._end_pool()

    def _may_feed_locked(self) -> bool:
        # No more than there are processes: what pebble has it gives back only by killing a process.
        return bool(self._waiting) and len(self._running) < self._workers

    def _pause_seconds_locked(self, idle_since: float) -> float | None:
        if self._running:
            return _TICK_SECONDS
        if self._pool is None:
            return None
        return max(0.0, idle_since + self._idle_seconds - time.monotonic())

    def _feed(self) -> None:
        while True:
            with self._changed:
                if self._stopping or not self._may_feed_locked():
                    return
                job = self._waiting.popleft()
                self._running.append(job)
                job.attempts += 1
                job.scheduled_ns, job.running_ns = time.monotonic_ns(), None
            try:
                future = self._schedule(job)
            except (RuntimeError, OSError):  # twice: no process can be started, as at a limit of processes
                log.exception("decode processes cannot be started")
                self._finish(job, broken(job.task).outcome)
                continue
            with self._changed:
                job.future = future
                taken_back = job not in self._running
            if taken_back:
                future.cancel()
            else:
                future.add_done_callback(functools.partial(self._note_end, job))

    def _schedule(self, job: _Job) -> Future[Outcome]:
        arguments = (job.function, job.task, job.arguments, self._timeout_seconds)
        try:
            return self._living_pool().schedule(run, args=arguments)
        except (RuntimeError, OSError):  # broken since the last work, as when the kernel killed an idle process
            self._replace_pool("broken")
            return self._living_pool().schedule(run, args=arguments)

    def _note_end(self, job: _Job, future: Future[Outcome]) -> None:
        """Called in a thread of pebble, or in one that cancels."""
        with self._changed:
            self._ended.append((job, future))
            self._changed.notify()

    def _hear(self) -> None:
        """Deliver what was told of work that goes on: the rest is work of its own, with as much time and attempts."""
        for outcome in self._receiver.received():
            now_ns = time.monotonic_ns()
            with self._changed:
                # Also from one that was killed: then nobody waits for it, or for another attempt's.
                job = next((each for each in self._running if each.awaits(outcome)), None)
                if job is None:
                    continue
                began_ns, job.scheduled_ns, job.running_ns = job.scheduled_ns, now_ns, now_ns
                job.task = job.task._replace(lacks=job.task.lacks & ~PROBE)
                job.attempts, job.breakdowns = 1, 0
            self._durations[PROBE].add([(now_ns - began_ns) / SECOND])
            self._deliver(outcome, False)

    def _take_in(self, job: _Job, future: Future[Outcome]) -> None:
        if job.future is future and not future.cancelled():  # else it was given another pool, or killed by us
            ending = ending_of(future, job.task)
            if not (ending.again and self._tried_again(job, is_breakdown=ending.is_breakdown)):
                self._finish(job, ending.outcome)

    def _tried_again(self, job: _Job, *, is_breakdown: bool) -> bool:
        """Put the job back, if it has an attempt left; whether nothing is to be delivered for now."""
        with self._changed:
            if job not in self._running:
                return True
            job.breakdowns += is_breakdown
            if job.attempts - job.breakdowns >= _ATTEMPTS or job.breakdowns > _BREAKDOWNS:
                return False
            self._running.remove(job)
            self._waiting.appendleft(job)
            job.future = None
            self._retried += not is_breakdown
            return True

    def _finish(self, job: _Job, outcome: Outcome) -> None:
        """Deliver, unless the job was taken back."""
        with self._changed:
            if job not in self._running:
                return
            self._running.remove(job)
            self._delivered += 1
        kind = PROBE if job.task.lacks & PROBE else PHASH
        self._durations[kind].add([(time.monotonic_ns() - job.scheduled_ns) / SECOND])
        self._deliver(outcome, True)

    def _look_after(self) -> None:
        """End work that takes too long; replace a pool that does not start what it was given."""
        now_ns = time.monotonic_ns()
        late: list[_Job] = []
        deaf = False
        with self._changed:
            for job in self._running:
                if job.running_ns is not None:
                    if now_ns - job.running_ns > self._timeout_seconds * SECOND:
                        late.append(job)
                elif job.future is not None and job.future.running():
                    job.running_ns = now_ns
                else:
                    deaf |= now_ns - job.scheduled_ns > _START_SECONDS * SECOND
        for job in late:
            self._finish(job, timed_out(job.task, self._timeout_seconds))
            if job.future is not None:
                job.future.cancel()
        if deaf:
            self._replace_pool("deaf")

    def _living_pool(self) -> Processes:
        if self._pool is None:
            self._pools_started += 1
            self._pool = Processes(
                max_workers=self._workers,
                max_tasks=_TASKS_EACH,
                initializer=confine,
                initargs=(os.getpid(), self._memory_bytes, self._receiver.sender),
                context=multiprocessing.get_context("spawn"),
            )
        return self._pool

    def _replace_pool(self, state: str) -> None:
        """Give up the pool; what it had is given to the next one."""
        log.error("decode processes replaced state=%s", state)
        self._pools_replaced += 1
        with self._changed:
            had = [job for job in self._running if job.future is not None]
        self._end_pool()
        self._hear()
        for job in had:
            if not self._tried_again(job, is_breakdown=True):
                self._finish(job, broken(job.task).outcome)

    def _end_pool(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        # In a thread of its own: pebble waits without limit for a process that even SIGKILL does not end.
        ending = threading.Thread(target=_end, args=(pool,), name="decode-pool-end", daemon=True)
        ending.start()
        ending.join(_END_SECONDS)
        if ending.is_alive():
            log.error("a decode process cannot be ended; does a disk hang?")


def _end(pool: Processes) -> None:
    pool.stop()  # type: ignore[no-untyped-call]  # pebble leaves it untyped
    pool.join()
