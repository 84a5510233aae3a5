"""`sync`: wait until what was on disk at the call is in the catalog, hashed and probed.

Runs on the thread of whoever asks, and follows the way of a file: the watcher is drained, then each root's keeper
has looked, then the writer has committed, then settling, hashing and probing are done. What cannot finish (a
problem, a held absence, a root that is offline, a disk below one that is away) is named and not waited for.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from mediawatchd.catalog.open_work import open_work, unsettled
from mediawatchd.errors import Refused
from mediawatchd.watching.observer import ANSWERS_SECONDS
from mediawatchd.work.progress import path_lists

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mediawatchd.catalog.database import Database
    from mediawatchd.catalog.writer import Writer
    from mediawatchd.watching.keeper import Keeper
    from mediawatchd.watching.observers import Observers
    from mediawatchd.watching.roots import Roots
    from mediawatchd.watching.status import RootStatus

LOOK_SECONDS = 5.0
"""How often the rows are asked without a commit: a time-out of one of the steps is all that could need it."""


class Sync:
    """The condition is notified at every commit."""

    def __init__(self, *, database: Database, writer: Writer, observers: Callable[[], Observers], roots: Roots) -> None:
        self._database = database
        self._writer = writer
        self._observers = observers
        self._roots = roots
        self._stopping = False
        self._progress = threading.Condition()

    def stop(self) -> None:
        """End all waits: the daemon stops."""
        self._stopping = True
        self.committed()

    def committed(self) -> None:
        """The catalog got on."""
        with self._progress:
            self._progress.notify_all()

    def wait(self, timeout_seconds: float, *, walk: bool, is_paused: Callable[[], bool]) -> dict[str, Any]:
        """Raises Refused: 409 while paused, 504 after the time-out with what is still open."""
        if is_paused():
            raise Refused(409, "paused", "hashing and walks are paused", hint="Run `mediawatchctl resume` first.")
        deadline = time.monotonic() + timeout_seconds

        def left() -> float:
            return max(0.0, deadline - time.monotonic())

        while True:
            keepers = self._roots.keepers()
            looked = self._wait_for_roots(keepers, left, walk=walk)
            if self._roots.keepers() == keepers:
                break  # else configured anew meanwhile, and what was waited for ended with the former keepers
        until_ns = self._wait_for_writer(left)
        # What it could not place is looked at once more: two roots may tell of one file in the wrong order.
        if again := [(keeper, mark) for keeper, was in looked if (mark := keeper.hints.mark()) != was]:
            for keeper, mark in again:
                self._wait_for(keeper, partial(keeper.wait_until_looked, mark), left, "walk")
            until_ns = self._wait_for_writer(left)
        self._wait_for_rows(until_ns, left, is_paused)
        return self._answer(until_ns)

    def _wait_for_writer(self, left: Callable[[], float]) -> int:
        """Until all that was handed over so far is in the catalog; returns the catalog time."""
        try:
            return self._writer.ask(lambda tx: tx.now_ns, left())
        except Refused:
            _time_out("writer", None)

    def _wait_for_roots(
        self, keepers: Iterable[Keeper], left: Callable[[], float], *, walk: bool
    ) -> list[tuple[Keeper, int]]:
        """Until all that the watcher had seen was looked at, and all walks that are due were made.

        Each keeper looks at its root first: one whose disk hangs shows that, and is not waited for any longer.
        Returns the keepers that answer, each with the mark up to which its hints were followed.
        """
        for keeper in keepers:
            keeper.check_root()
        for keeper in keepers:
            self._wait_for(keeper, keeper.wait_until_checked, left, "root")
        if not self._observers().sync(left(), self._answers):
            _time_out("watcher", None)
        waited = []
        for keeper in keepers:
            if not self._answers(keeper.root_id):
                continue
            mark = keeper.hints.mark()
            polled = keeper.status().watch != "inotify"
            request = keeper.ask_for_walk(keeper.path, "sync") if walk or polled else None
            waited.append((keeper, mark, request))
        for keeper, mark, request in waited:
            self._wait_for(keeper, partial(keeper.wait_until_looked, mark), left, "walk")
            if request:
                self._wait_for(keeper, request.done.wait, left, "walk")
        return [(keeper, mark) for keeper, mark, _ in waited]

    def _wait_for(self, keeper: Keeper, wait: Callable[[float], bool], left: Callable[[], float], stage: str) -> None:
        """Wait until it is done, or the root's disk does not answer. Raises Refused at the time-out."""
        while not wait(min(ANSWERS_SECONDS, left())):
            if not self._answers(keeper.root_id):
                return
            if left() == 0:
                _time_out(stage, keeper.path)

    def _online(self) -> frozenset[int]:
        return frozenset(status.id for status in self._roots.statuses() if status.state == "online")

    def _answers(self, root_id: int) -> bool:
        return all(status.id != root_id or status.state != "error" for status in self._roots.statuses())

    def _wait_for_rows(self, until_ns: int, left: Callable[[], float], is_paused: Callable[[], bool]) -> None:
        while True:
            with self._database.reader() as connection:
                work = open_work(connection, self._online(), until_ns, self._roots.away())
            if not work:
                return
            if self._stopping:
                raise Refused(503, "stopping", "the daemon is stopping", hint="Ask again when it is back.")
            if is_paused():
                raise Refused(409, "paused", "hashing was paused meanwhile", hint="Run `mediawatchctl resume`.")
            if left() == 0:
                _time_out("hashing" if work.pending else "absences", None)
            with self._progress:
                self._progress.wait(min(LOOK_SECONDS, left()))

    def _answer(self, until_ns: int) -> dict[str, Any]:
        statuses = self._roots.statuses()
        with self._database.reader() as connection:
            again = unsettled(connection, self._online(), until_ns, self._roots.away())
            totals = self._roots.totals(connection)
        return {
            "synced": True,
            **path_lists("unsettled", again),
            "problems": sum(each["problems"] for each in totals.values()),
            "held": sum(each["held"] for each in totals.values()),
            **path_lists("offline", _not_looked_at(statuses)),
            **path_lists("unreadable", [each.path for status in statuses for each in status.unreadable]),
        }


def _not_looked_at(statuses: Sequence[RootStatus]) -> list[bytes]:
    """Each root that is not online, and each place below the others at which a disk is not mounted."""
    return [path for status in statuses for path in ((status.path,) if status.state != "online" else status.away)]


def _time_out(stage: str, path: bytes | None) -> NoReturn:
    detail: dict[str, object] = {"synced": False, "open": stage}
    if path is not None:
        detail |= path_lists("open_roots", [path])
    raise Refused(
        504,
        "timeout",
        f"not everything was done in time; still open: {stage}",
        hint="Give a longer timeout; what is open goes on meanwhile.",
        detail=detail,
    )
