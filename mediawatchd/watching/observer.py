"""Watches roots: hands hints from the watcher child to the daemon, and keeps that child alive.

One thread, `watcher`, starts the child, reads it, sends the canary and calls the sink. A child that ends, or does not
show the canary in time, is killed and started again with back-off; every root is then watched again and reported
as lost. Watching never stops the daemon: while it is down, roots are degraded and the statistics say why.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mediawatchd.watching import limits
from mediawatchd.watching.canary import CanarySchedule
from mediawatchd.watching.link import COMMAND, Link, Message
from mediawatchd.watching.sink import ObserverStatistics, Sink
from mediawatchd.watching.unwatched import WatchState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Observer", "ObserverStatistics", "Sink", "WatchState"]

log = logging.getLogger(__name__)

Backend = Literal["auto", "inotify", "polling"]

ANSWERS_SECONDS = 1.0
"""How often it is asked whether the disks that are waited for still answer."""

_numbers = itertools.count()
"""Each observer of the process has canary files of its own, so several may share a directory."""


@dataclass(slots=True)
class _Root:
    path: bytes
    key: int
    restarted: bool = False


@dataclass(slots=True)
class _Sync:
    ended: bool = False
    passed: bool = False
    abandoned: bool = False

    def has_ended(self) -> bool:
        return self.ended


class Observer:
    """Any thread may call the methods; `watcher` owns the child, and what they share is under `_changed`."""

    def __init__(
        self,
        *,
        canary_directory: bytes,
        backend: Backend,
        sink: Sink,
        canary_interval_seconds: float = 60.0,
        canary_timeout_seconds: float = 10.0,
        restart_backoff_seconds: tuple[float, float] = (1.0, 60.0),
        retry_seconds: float = 300.0,
        command: Sequence[str] = COMMAND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`restart_backoff_seconds`: the first pause and the longest. `retry_seconds`: how often what could not be
        watched is tried again. `command` starts the child."""
        self._canary_directory = canary_directory
        self._canary_name = f".canary-{next(_numbers)}"
        self._backend = backend
        self._sink = sink
        self._canary_interval_seconds = canary_interval_seconds
        self._canary_timeout_seconds = canary_timeout_seconds
        self._restart_backoff_seconds = restart_backoff_seconds
        self._retry_seconds = retry_seconds
        self._command = command
        self._clock = clock
        run = self._run_polling if backend == "polling" else self._run
        self._thread = threading.Thread(target=run, name="watcher", daemon=True)
        self._tickets = itertools.count(1)
        # Guards everything below, and sending, so that commands arrive in the order of the calls.
        self._changed = threading.Condition()
        self._stopping = False
        self._link: Link | None = None
        self._roots: dict[int, _Root] = {}
        self._ids: dict[int, int] = {}
        self._polled: list[int] = []
        self._syncs: dict[int, _Sync] = {}
        self._restarts = 0
        self._canary_last_seen: float | None = None
        self._events: Counter[str] = Counter()
        self._events_of_child: dict[str, int] = {}
        self._watches = 0
        self._lost: Counter[tuple[int, str]] = Counter()
        self._degraded: str | None = None

    def start(self) -> None:
        """Starts the thread, which starts the child; raises OSError when the canary's directory cannot be made."""
        if self._backend != "polling":
            os.makedirs(self._canary_directory, exist_ok=True)
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Returns at once; `stop` waits."""
        with self._changed:
            self._stopping = True
            if self._link is not None:
                self._link.hang_up()
            self._changed.notify_all()

    def stop(self, timeout_seconds: float) -> None:
        """Ends the child and the thread; blocks for at most the time given. May be called again."""
        self.ask_to_stop()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def watch(self, root_id: int, path: bytes) -> None:
        """Returns at once; `Sink.watched` follows when the watches are set, and only a walk begun after it misses
        nothing. A root that is watched already is watched anew: so too what was mounted below it meanwhile."""
        with self._changed:
            self._unwatch_locked(root_id)
            root = _Root(path if path.endswith(b"/") else path + b"/", next(self._tickets))
            self._roots[root_id] = root
            self._ids[root.key] = root_id
            if self._backend == "polling":
                self._polled.append(root_id)
            self._send_locked("watch", root.key, root.path.decode("latin-1"))
            self._changed.notify_all()

    def unwatch(self, root_id: int) -> None:
        """Returns at once, also when the disk hangs; the sink hears no more of this root but what is on its way."""
        with self._changed:
            self._unwatch_locked(root_id)

    def check_watch_count(self) -> None:
        """Returns at once; if the kernel has dropped watches, `Sink.lost` follows with `watches_gone`."""
        with self._changed:
            self._send_locked("check")

    def sync(self, timeout_seconds: float, answers: Callable[[int], bool] = lambda _root_id: True) -> bool:
        """Whether everything that happened on disk before the call was handed to the sink, as a hint or as a loss.

        Waits also until the watches of new roots and directories are set. A root is waited for only as long as its
        disk `answers`, which is asked every second. Several threads may wait. False when the time is over; a child
        that is restarted meanwhile is asked again.
        """
        if self._backend == "polling":
            return True
        deadline = self._clock() + timeout_seconds
        passed = None
        while passed is None and self._clock() < deadline:
            with self._changed:
                roots = {root_id: root.key for root_id, root in self._roots.items()}
            # Asked without the lock: who answers may hold one of its own.
            keys = {key for root_id, key in roots.items() if answers(root_id)}
            passed = self._sync_of(roots, keys, deadline, answers)
        return passed is True

    def _sync_of(
        self, roots: dict[int, int], keys: set[int], deadline: float, answers: Callable[[int], bool]
    ) -> bool | None:
        """Whether the roots with these keys have drained; None when it is to be asked again, or the time is over."""
        sync = _Sync()
        ticket = next(self._tickets)
        with self._changed:
            if not self._changed.wait_for(lambda: self._link or self._stopping, deadline - self._clock()):
                return None
            if self._stopping:
                return False
            self._syncs[ticket] = sync
            self._send_locked("sync", ticket, sorted(keys))
        try:
            while (left := deadline - self._clock()) > 0:
                with self._changed:
                    if self._changed.wait_for(sync.has_ended, min(ANSWERS_SECONDS, left)):
                        return None if sync.abandoned else sync.passed
                if any(key in keys and not answers(root_id) for root_id, key in roots.items()):
                    return None
            return None
        finally:
            with self._changed:
                del self._syncs[ticket]

    def statistics(self) -> ObserverStatistics:
        """A snapshot; costs a few reads below /proc and waits for no disk."""
        limit = limits.watches_limit()
        with self._changed:
            link = self._link
            return ObserverStatistics(
                alive=self._thread.is_alive() and (self._backend == "polling" or link is not None),
                restarts=self._restarts,
                watches=self._watches,
                watches_limit=limit,
                canary_last_seen=self._canary_last_seen,
                events=dict(self._events + Counter(self._events_of_child)),
                lost=dict(self._lost),
                child_pids=() if link is None or link.pid is None else (link.pid,),
                degraded=self._degraded,
            )

    def _send_locked(self, *command: object) -> None:
        if self._link is None:
            return
        try:
            self._link.send(*command)
        except OSError:
            # Gone, or it does not obey: either way the watcher thread replaces it.
            self._link.hang_up()

    def _unwatch_locked(self, root_id: int) -> None:
        root = self._roots.pop(root_id, None)
        if root is not None:
            del self._ids[root.key]
            self._send_locked("unwatch", root.key)

    # What follows runs in the thread `watcher`.

    def _run_polling(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._polled or self._stopping)
                if self._stopping:
                    return
                root_id = self._polled.pop(0)
                root = self._roots.get(root_id)
            if root is not None:
                self._sink.watched(root_id, WatchState("polling", (root.path,), 1, None, None))

    def _run(self) -> None:
        first, longest = self._restart_backoff_seconds
        pause = first
        while not self._stopping:
            began = self._clock()
            link = Link(command=self._command)
            reason = "it ended"
            try:
                link.open()
                reason = self._follow(link)
            except OSError as error:
                reason = str(error)
            finally:
                self._end(link, reason)
            if self._clock() - began > longest:
                pause = first
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, pause)
            pause = min(2 * pause, longest)

    def _follow(self, link: Link) -> str:
        """Reads the child until it ends or the canary is overdue; returns the reason."""
        schedule = CanarySchedule(
            interval_seconds=self._canary_interval_seconds,
            timeout_seconds=self._canary_timeout_seconds,
            clock=self._clock,
        )
        with self._changed:
            self._link = link
            self._send_locked("begin", self._canary_directory.decode("latin-1"), self._canary_name, self._retry_seconds)
            for root in self._roots.values():
                self._send_locked("watch", root.key, root.path.decode("latin-1"))
            self._changed.notify_all()
            if self._stopping:
                return "it is stopped"
        while (messages := link.receive(schedule.wait_seconds())) is not None:
            for message in messages:
                self._receive(message, schedule)
            # Only when nothing is left to read: the answer may stand behind hints that the sink was slow to take.
            if not messages and schedule.overdue():
                return "the canary was not seen in time"
            if schedule.due():
                with self._changed:
                    ticket = next(self._tickets)
                    self._send_locked("canary", ticket)
                schedule.asked(ticket)
        return "it ended"

    def _receive(self, message: Message, schedule: CanarySchedule) -> None:
        match message:
            case ["answer", int(ticket), None | str() as problem]:
                if schedule.answered(ticket):
                    self._canary_seen(problem)
                else:
                    self._sync_ended(ticket, problem)
            case ["counts", dict(events), int(watches)]:
                with self._changed:
                    self._events_of_child, self._watches = events, watches
            case [str(kind), int(key), *content]:
                with self._changed:
                    root_id = self._ids.get(key)
                if root_id is not None:
                    self._receive_of_root(root_id, kind, content)
            case _:
                raise ValueError(f"unknown message: {message!r}")

    def _receive_of_root(self, root_id: int, kind: str, content: list[Any]) -> None:
        match kind, content:
            case "names", [directory, names]:
                path = directory.encode("latin-1")
                for name, closed in names:
                    self._sink.dirty(root_id, path, name.encode("latin-1"), closed)
            case "walk", [directory, closed]:
                self._sink.dirty(root_id, directory.encode("latin-1"), None, closed)
            case "lost", [reason]:
                self._report_lost(root_id, reason)
            case "state", [backend, directories, count, text, hint]:
                if backend == "polling" and self._backend == "inotify":
                    backend = "degraded"
                unwatched = tuple(each.encode("latin-1") for each in directories)
                self._sink.watched(root_id, WatchState(backend, unwatched, count, text, hint))
                root = self._roots.get(root_id)
                if root is not None and root.restarted:
                    root.restarted = False
                    self._report_lost(root_id, "restarted")

    def _report_lost(self, root_id: int, reason: str) -> None:
        with self._changed:
            self._lost[root_id, reason] += 1
        self._sink.lost(root_id, reason)

    def _canary_seen(self, problem: str | None) -> None:
        with self._changed:
            changed = problem != self._degraded
            self._degraded = problem
            if problem is None:
                self._canary_last_seen = time.time()
        if changed and problem is not None:
            log.warning("The watcher cannot be checked: problem=%s", problem)
        elif changed:
            log.info("The watcher works again.")

    def _sync_ended(self, ticket: int, problem: str | None) -> None:
        with self._changed:
            sync = self._syncs.get(ticket)
            if sync is not None:
                sync.passed = problem is None
                sync.ended = True
                self._changed.notify_all()

    def _end(self, link: Link, reason: str) -> None:
        ended = link.close()
        with self._changed:
            self._link = None
            for sync in self._syncs.values():
                sync.ended = sync.abandoned = True
            self._events.update(self._events_of_child)
            self._events_of_child = {}
            self._watches = 0
            self._changed.notify_all()
            if self._stopping:
                return
            self._restarts += 1
            self._degraded = f"the watcher is started again: {reason} ({ended})"
            roots = dict(self._roots)
        log.warning("The watcher failed and is started again: reason=%s status=%s", reason, ended)
        for root_id, root in roots.items():
            root.restarted = True
            self._sink.watched(root_id, WatchState("degraded", (root.path,), 1, self._degraded, None))
