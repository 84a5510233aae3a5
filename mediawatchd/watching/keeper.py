"""Keeps the catalog true to one root: its state, its hints, its walks.

One thread a root, and the only one that looks at that root's files (hashing apart), so a disk that hangs stalls
nothing but its own root. During a walk it looks at what is fresh every tenth of a second. It keeps nothing open on
the root while it waits: an idle root can be unmounted.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from mediawatchd.catalog import roots
from mediawatchd.catalog.directories import parent_and_name
from mediawatchd.model import SECOND
from mediawatchd.watching.guard import Verdict, judge
from mediawatchd.watching.hints import Hints
from mediawatchd.watching.lookout import Lookout
from mediawatchd.watching.places import Places
from mediawatchd.watching.reporting import Reporting
from mediawatchd.watching.status import RootStatus, told, unix_time
from mediawatchd.watching.timetable import Pace, Timetable
from mediawatchd.watching.unreadable import Unreadable
from mediawatchd.watching.visitor import Visitor
from mediawatchd.watching.walk import Walked, open_in_root
from mediawatchd.watching.walker import CANCELLED, Ended, Walker
from mediawatchd.watching.walks import HINT, WalkRequest, Walks
from mediawatchd.watching.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediawatchd.catalog.clock import CatalogClock
    from mediawatchd.catalog.database import Database
    from mediawatchd.catalog.writer import Writer
    from mediawatchd.model import Away
    from mediawatchd.telemetry.durations import Durations
    from mediawatchd.telemetry.heartbeat import Heartbeat
    from mediawatchd.watching.mounts import Mount, Mounts
    from mediawatchd.watching.observer import WatchState
    from mediawatchd.watching.observers import Observers
    from mediawatchd.watching.rules import Rules

log = logging.getLogger(__name__)

RETRY_SECONDS = 10.0
NETWORK_LOOK_SECONDS = 60.0
"""How often a network mount that nothing is asked of is looked at, so that it is told when its server hangs."""


class Keeper:
    """Thread `root-ID` owns the walk under way and the root's state; `_changed` guards what others see."""

    def __init__(
        self,
        *,
        root_id: int,
        path: bytes,
        rules: Rules,
        pace: Pace,
        database: Database,
        writer: Writer,
        clock: CatalogClock,
        mounts: Mounts,
        observers: Observers,
        heart: Heartbeat,
        is_paused: Callable[[], bool],
        state_changed: Callable[[bytes, str], None],
        away_changed: Callable[[], None],
        durations: Durations,
    ) -> None:
        self.root_id = root_id
        self.path = path
        self.hints = Hints(wake=self.wake, clock=time.monotonic)
        self.walks = Walks(root=path, wake=self.wake)
        self._rules = rules
        self._pace = pace
        self._database = database
        self._reporting = Reporting(writer=writer, heart=heart)
        self._mounts = mounts
        self.heart = heart
        self._is_paused = is_paused
        self._state_changed = state_changed
        self._places = Places(reporting=self._reporting)
        self._unreadable = Unreadable(root=path)
        self._visitor = Visitor(
            root_id=root_id,
            root=path,
            rules=rules,
            reporting=self._reporting,
            clock=clock,
            places=self._places,
            settle_ns=round(pace.settle_seconds * SECOND),
            durations=durations,
            unreadable=self._unreadable,
            away_changed=away_changed,
        )
        self._thread = threading.Thread(target=self._run, name=f"root-{root_id}", daemon=True)
        self._walker = Walker(
            root_id=root_id,
            root=path,
            visitor=self._visitor,
            reporting=self._reporting,
            walks=self.walks,
            open_directory=partial(open_in_root, path),
            is_disturbed=self._is_disturbed,
        )
        self._timetable = Timetable(pace=pace, root=path, clock=time.monotonic)
        self._lookout = Lookout(
            root=path,
            rules=rules,
            visitor=self._visitor,
            hints=self.hints,
            walks=self.walks,
            open_directory=partial(open_in_root, path),
            check_root=self.check_root,
        )
        self._generation = -1
        self._mounted_below: frozenset[Mount] = frozenset()
        self._watch = Watch(root_id=root_id, root=path, observers=observers, state_changed=state_changed)

        self._changed = threading.Condition()
        # Guarded by _changed:
        self._woken = False
        self._stopping = False
        self._check = True
        self._checking = False
        self._accepting = False
        self._looked = 0
        self._verdict = Verdict("offline", "it was not looked at yet")
        self._since = time.time()
        self._next_look: float | None = None
        self._last_walk: tuple[Walked, float] | None = None

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Returns at once; `join` waits."""
        with self._changed:
            self._stopping = True
        self.wake()

    def join(self, timeout_seconds: float) -> bool:
        """False when the thread still hangs on its disk."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def pause_changed(self) -> None:
        """Walks may go on, or must pause: which of them are waited for is another question now."""
        with self._changed:
            self._looked = -1
        self.wake()

    def check_root(self) -> None:
        """The mount table changed, or a person accepted what is mounted: look at the root itself again."""
        with self._changed:
            self._check = True
        self.wake()

    def accept(self) -> None:
        """A person accepts what is mounted at the root now."""
        with self._changed:
            self._accepting = True
        self.check_root()

    def lost(self, reason: str) -> None:
        """Events may have been lost: the whole root is walked."""
        if reason in {"root_gone", "unmounted"}:
            self.check_root()
        self.ask_for_walk(self.path, reason)

    def watched(self, state: WatchState) -> None:
        """The watches stand, or are known not to: from now on a walk misses nothing."""
        if self._watch.stands(state):
            self.ask_for_walk(self.path, "start")
        self.wake()

    def ask_for_walk(
        self, path: bytes, cause: str, *, is_job: bool = False, is_cancelled: Callable[[], bool] = bool
    ) -> WalkRequest:
        """Queue a walk of the root or of a directory in it; the request tells when it has ended."""
        if path != self.path:
            # Looked at before it is walked: it may be another directory than the one that is known there.
            self.hints.add(*parent_and_name(path))
        request = self.walks.ask(WalkRequest(path, cause, self.hints.mark() + 1, is_cancelled, is_job=is_job))
        # Only now, so that whoever waits for the new mark waits for the walk too.
        self.hints.count()
        self.wake()
        return request

    def wait_until_looked(self, mark: int, timeout_seconds: float) -> bool:
        """Wait until the hints up to `mark`, and the walks asked for until then, have been looked at.

        True at once when the root is not online: there is nothing to look at.
        """
        with self._changed:
            return self._changed.wait_for(
                lambda: (
                    self._stopping
                    or (self._is_checked_locked() and (self._looked >= mark or self._verdict.state != "online"))
                ),
                timeout_seconds,
            )

    def wait_until_checked(self, timeout_seconds: float) -> bool:
        """Wait until the root's state is known after all that was asked for."""
        with self._changed:
            return self._changed.wait_for(lambda: self._stopping or self._is_checked_locked(), timeout_seconds)

    def is_checked(self) -> bool:
        """Whether the root's state is known after all that was asked for."""
        with self._changed:
            return self._is_checked_locked()

    def away(self) -> frozenset[Away]:
        """Which disks are not mounted below the root, as far as it was looked at."""
        return self._visitor.away

    def is_walking(self) -> bool:
        """Whether a walk other than a hinted one is under way, or about to begin."""
        request = self._walker.request
        if request is not None:
            return request.cause != HINT
        with self._changed:
            if self._last_walk is None and (not self._is_checked_locked() or self._verdict.state == "online"):
                return True
            return self._watch.is_awaited

    def status(self) -> RootStatus:
        with self._changed:
            verdict, watch, request = self._verdict, self._watch.state, self._walker.request
            kind, message, hint = (watch.kind, watch.message, watch.hint) if watch else ("degraded", None, None)
            walked, seconds = self._last_walk or (None, None)
            return RootStatus(
                id=self.root_id,
                path=self.path,
                state=verdict.state,
                since=self._since,
                message=verdict.message or message,
                hint=verdict.hint or hint,
                next_attempt=None if verdict.state == "online" else unix_time(self._next_look),
                watch=kind,
                unwatched_directories=watch.unwatched_count if watch and verdict.state == "online" else 0,
                walking=request.walked.current if request else None,
                last_walk=walked,
                last_walk_seconds=seconds,
                watch_since=self._watch.since,
                next_walk=unix_time(self._timetable.next_due()) if verdict.state == "online" else None,
                events_reliable=verdict.events_reliable,
                unreadable=self._unreadable.snapshot(),
                away=tuple(sorted({each.path for each in self.away()})) if verdict.state == "online" else (),
            )

    def _is_checked_locked(self) -> bool:
        return not (self._check or self._checking)

    # What follows runs on the keeper's own thread.

    def _run(self) -> None:
        with self._database.reader() as self._connection:
            while not self._stopping:
                self.heart.beat()
                if self._round():
                    continue
                with self.heart.idle(), self._changed:
                    if not self._woken:
                        self._changed.wait(self._wait_seconds())
                    self._woken = False
            self._walker.interrupt()

    def _round(self) -> bool:
        """One turn; True when there is more to do at once."""
        due = self._next_look is not None and time.monotonic() >= self._next_look
        if self._check or due or self._mounts.changed_since(self._generation, self.path):
            self._check_root()
        if self._verdict.state != "online":
            self.walks.refuse(told(self._verdict.state, self._verdict.message))
            return False
        self._watch.tell()
        try:
            mark = self._lookout.look(self._connection)
            for path, cause in self._timetable.due(self._watch.state):
                self.ask_for_walk(path, cause)
            for path in self._unreadable.due():
                self.ask_for_walk(path, "unreadable")
            busy = self._go_on_walking()
        except OSError as error:
            # It answered a moment ago and does not now: say so, and find out when it does again.
            log.warning("A root could not be read root=%s error=%s", self.path, error)
            self._walker.interrupt()
            self._set_verdict(Verdict("error", error.strerror or str(error), "Check the disk; it is tried again."))
            self.walks.refuse(told(self._verdict.state, self._verdict.message))
            return False
        with self._changed:
            self._looked = self._walker.looked(mark, paused=self._is_paused())
            self._changed.notify_all()
        return busy

    def _wait_seconds(self) -> float | None:
        due = [None if self._next_look is None else max(0.0, self._next_look - time.monotonic())]
        if self._verdict.state == "online":
            due += [self._timetable.due_seconds(), self.hints.due_seconds(), self._unreadable.due_seconds()]
        return min((each for each in due if each is not None), default=None)

    def _check_root(self) -> None:
        with self._changed:
            self._check, self._checking = False, True
            accepting, self._accepting = self._accepting, False
        disturbed = self._mounts.changed_since(self._generation, self.path)
        table = self._mounts.current()
        self._generation = self._visitor.mounts = table.generation
        self._places.use(table)
        if disturbed:
            self._visitor.doubt_away()
        was = self._verdict
        row = roots.root(self._connection, self.root_id)
        verdict = judge(self._connection, self._reporting, self._places, row, accepting=accepting)
        self._set_verdict(verdict)
        self._follow(was, verdict, frozenset(table.below(self.path)), disturbed=disturbed)
        with self._changed:
            self._checking = False
            self._plan_look_locked()
            self._changed.notify_all()

    def _follow(self, was: Verdict, verdict: Verdict, below: frozenset[Mount], *, disturbed: bool) -> None:
        """Watch a root that has come, stop watching one that has gone."""
        if self._stopping:
            return  # the root may have another keeper already
        before, self._mounted_below = self._mounted_below, below
        # Also where the same mounts are in the table: one may have gone and come back meanwhile.
        mounted = below != before or (disturbed and bool(below))
        if verdict.state != "online":
            self._walker.interrupt()
            self._timetable.clear()
            self._unreadable.clear()
            if was.state == "online":
                self._watch.end()
                self.hints.clear()
        elif was.state != "online" or was.mount_id != verdict.mount_id or mounted:
            # What is mounted or unmounted below is told by no event, and hides what the walk has open. What is mounted
            # elsewhere disturbs no walk: where containers come and go, a long one would never end.
            self._walker.interrupt()
            self._watch.begin(verdict, below)
        elif disturbed:
            self._walker.interrupt()

    def _set_verdict(self, verdict: Verdict) -> None:
        with self._changed:
            was, self._verdict = self._verdict, verdict
            if verdict.state != was.state:
                self._since = time.time()
            self._plan_look_locked()
            self._changed.notify_all()
        if (verdict.state, verdict.message) != (was.state, was.message):
            if verdict.state == "online":
                log.info("Root is online root=%s", self.path)
            else:
                log.warning("Root is %s root=%s reason=%s", verdict.state, self.path, verdict.message)
            self._state_changed(self.path, told(verdict.state, verdict.message))

    def _plan_look_locked(self) -> None:
        """When to look at the root again unasked. While its watches are being set, its disk may hang in that."""
        is_uncertain = self._verdict.state != "online" or self._watch.is_awaited
        seconds = RETRY_SECONDS if is_uncertain else NETWORK_LOOK_SECONDS if self._verdict.network else None
        self._next_look = None if seconds is None else time.monotonic() + seconds

    def _go_on_walking(self) -> bool:
        """Advance the walk by a slice; True while there is more to walk."""
        paused = self._is_paused()
        if self._walker.request is None:
            return self._walker.begin(self._connection, paused=paused)
        ended = self._walker.advance(paused=paused)
        if ended is not None:
            self._finish(ended)
        return ended is not None or self._walker.request is not None

    def _is_disturbed(self) -> bool:
        return self._stopping or self._mounts.changed_since(self._generation, self.path)

    def _finish(self, ended: Ended) -> None:
        request, seconds, error = ended
        if request.path == self.path and request.walked.complete:
            self._visitor.walked_all()
        if request.cause != HINT:
            with self._changed:
                self._last_walk = (request.walked, seconds)
        if request.path == self.path:
            self._timetable.whole_walk_ended(self._watch.state, events_reliable=self._verdict.events_reliable)
        elif error not in {None, CANCELLED}:
            # A bad directory, or a bad disk: the look at the root itself tells which.
            self.check_root()
        request.end(error)
