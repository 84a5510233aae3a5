"""Keeps the catalog true to one root: its state, its hints, its walks.

One thread a root, and the only one that looks at that root's files (hashing apart), so a disk that hangs stalls
nothing but its own root. During a walk it looks at what is fresh every tenth of a second. It keeps nothing open on
the root while it waits: an idle root can be unmounted.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog import roots
from mediawatchd.model import SECOND, RootState
from mediawatchd.watching.filesystems import is_network
from mediawatchd.watching.guard import Verdict, judge
from mediawatchd.watching.hints import Hints
from mediawatchd.watching.lookout import Lookout
from mediawatchd.watching.places import Places
from mediawatchd.watching.reporting import Reporting
from mediawatchd.watching.timetable import Pace, Timetable
from mediawatchd.watching.unreadable import Unreadable, UnreadableDirectory
from mediawatchd.watching.visitor import Visitor
from mediawatchd.watching.walk import Walked, open_below
from mediawatchd.watching.walker import CANCELLED, Ended, Walker
from mediawatchd.watching.walks import HINT, WalkRequest, Walks

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


class RootStatus(NamedTuple):
    """A snapshot for status and metrics. Points in time are Unix seconds; `walking` is where a walk is.

    `next_attempt` is when a root that is not online is looked at again, `next_walk` when one that is will be walked
    unasked. `events_reliable`: its file system tells of every change.
    """

    id: int
    path: bytes
    state: RootState
    since: float
    message: str | None
    hint: str | None
    next_attempt: float | None
    watch: str
    unwatched_directories: int
    walking: bytes | None
    last_walk: Walked | None
    last_walk_seconds: float | None
    watch_since: float | None = None
    next_walk: float | None = None
    events_reliable: bool = True
    unreadable: tuple[UnreadableDirectory, ...] = ()


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
        self._observers = observers
        self.heart = heart
        self._is_paused = is_paused
        self._state_changed = state_changed
        self._away_changed = away_changed
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
            root=path,
            visitor=self._visitor,
            walks=self.walks,
            open_directory=self._open,
            is_disturbed=self._is_disturbed,
        )
        self._timetable = Timetable(pace=pace, root=path, clock=time.monotonic)
        self._lookout = Lookout(
            root=path,
            rules=rules,
            visitor=self._visitor,
            hints=self.hints,
            walks=self.walks,
            open_directory=self._open,
            check_root=self.check_root,
        )
        self._generation = -1
        self._mounted_below: frozenset[Mount] = frozenset()
        self._told_watch: WatchState | None = None

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
        self._watch: WatchState | None = None
        self._watch_since: float | None = None
        self._awaiting_watch = False
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
        with self._changed:
            if not _alike(self._watch, state):
                self._watch_since = time.time()
            self._watch = state
            first, self._awaiting_watch = self._awaiting_watch, False
        if first:
            self.ask_for_walk(self.path, "start")
        self.wake()

    def ask_for_walk(
        self, path: bytes, cause: str, *, is_job: bool = False, is_cancelled: Callable[[], bool] = bool
    ) -> WalkRequest:
        """Queue a walk of the root or of a directory in it; the request tells when it has ended."""
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
        """Which disks are not mounted below the root, as far as it was looked at since the last change."""
        return self._visitor.away

    def is_walking(self) -> bool:
        """Whether a walk other than a hinted one is under way, or about to begin."""
        request = self._walker.request
        if request is not None:
            return request.cause != HINT
        with self._changed:
            if self._last_walk is None and (not self._is_checked_locked() or self._verdict.state == "online"):
                return True
            return self._awaiting_watch

    def status(self) -> RootStatus:
        with self._changed:
            verdict, watch, request = self._verdict, self._watch, self._walker.request
            message, hint = verdict.message, verdict.hint
            kind = "degraded"
            if watch is not None:
                kind = watch.kind
                message, hint = message or watch.message, hint or watch.hint
            walked, seconds = self._last_walk or (None, None)
            return RootStatus(
                id=self.root_id,
                path=self.path,
                state=verdict.state,
                since=self._since,
                message=message,
                hint=hint,
                next_attempt=self._next_attempt_locked(),
                watch=kind,
                unwatched_directories=watch.unwatched_count if watch and verdict.state == "online" else 0,
                walking=request.walked.current if request else None,
                last_walk=walked,
                last_walk_seconds=seconds,
                watch_since=self._watch_since,
                next_walk=_unix_time(self._timetable.next_due()) if verdict.state == "online" else None,
                events_reliable=verdict.events_reliable,
                unreadable=self._unreadable.snapshot(),
            )

    def _next_attempt_locked(self) -> float | None:
        if self._next_look is None or self._verdict.state == "online":
            return None
        return time.time() + max(0.0, self._next_look - time.monotonic())

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
            self._refuse_walks()
            return False
        self._tell_watch()
        try:
            mark = self._lookout.look(self._connection)
            for path, cause in self._timetable.due(self._watch):
                self.ask_for_walk(path, cause)
            for path in self._unreadable.due():
                self.ask_for_walk(path, "unreadable")
            busy = self._go_on_walking()
        except OSError as error:
            # It answered a moment ago and does not now: say so, and find out when it does again.
            log.warning("A root could not be read root=%s error=%s", self.path, error)
            self._walker.interrupt()
            self._set_verdict(Verdict("error", error.strerror or str(error), "Check the disk; it is tried again."))
            self._refuse_walks()
            return False
        with self._changed:
            marks = [self.walks.first_mark(paused=self._is_paused())]
            if self._walker.request is not None:
                marks.append(self._walker.request.mark)
            self._looked = min([mark, *(each - 1 for each in marks if each is not None)])
            self._changed.notify_all()
        return busy

    def _wait_seconds(self) -> float | None:
        now = time.monotonic()
        due = [None if self._next_look is None else max(0.0, self._next_look - now)]
        if self._verdict.state == "online":
            again = self._unreadable.next_due()
            due += [self._timetable.due_seconds(), self.hints.due_seconds()]
            due += [None if again is None else max(0.0, again - now)]
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
            self._visitor.forget_away()
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
                self._observers.unwatch(self.root_id)
                self.hints.clear()
        elif was.state != "online" or was.mount_id != verdict.mount_id or mounted:
            # What is mounted or unmounted below is told by no event, and hides what the walk has open. What is mounted
            # elsewhere disturbs no walk: where containers come and go, a long one would never end.
            self._walker.interrupt()
            with self._changed:
                self._awaiting_watch = True
            networks = [mount.id for mount in below if is_network(mount)]
            self._observers.watch(
                self.root_id, self.path, verdict.mount_id if verdict.network else min(networks, default=None)
            )
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

    def _tell_watch(self) -> None:
        """Say once when watching fails or works again; how many directories it fails for is no news."""
        was, watch = self._told_watch, self._watch
        self._told_watch = watch
        if watch is None or _alike(was, watch):
            return
        if watch.message is not None:
            log.warning(
                "Root is watched in part or not at all root=%s watch=%s reason=%s hint=%s",
                *(self.path, watch.kind, watch.message, watch.hint),
            )
            self._state_changed(self.path, told(f"watch {watch.kind}", watch.message))
        elif was is not None and was.message is not None:
            log.info("Root is watched again root=%s watch=%s", self.path, watch.kind)
            self._state_changed(self.path, told(f"watch {watch.kind}", None))

    def _plan_look_locked(self) -> None:
        """When to look at the root again unasked. While its watches are being set, its disk may hang in that."""
        seconds = None
        if self._verdict.state != "online" or self._awaiting_watch:
            seconds = RETRY_SECONDS
        elif self._verdict.network:
            seconds = NETWORK_LOOK_SECONDS
        self._next_look = None if seconds is None else time.monotonic() + seconds

    def _open(self, path: bytes) -> int:
        root_fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if path == self.path:
            return root_fd
        try:
            return open_below(root_fd, path[len(self.path) :])
        finally:
            os.close(root_fd)

    def _go_on_walking(self) -> bool:
        """Advance the walk by a slice; True while there is more to walk."""
        paused = self._is_paused()
        if self._walker.request is None:
            return self._begin_walk(paused=paused)
        ended = self._walker.advance(paused=paused)
        if ended is not None:
            self._finish(ended)
        return ended is not None or self._walker.request is not None

    def _begin_walk(self, *, paused: bool) -> bool:
        begun = self._walker.begin(self._connection, paused=paused)
        request = self._walker.request
        if request is not None and request.cause != HINT:
            # What was reported before is in the catalog when the walk compares the disk with it.
            self._reporting.call(lambda _tx: None)
        return begun

    def _is_disturbed(self) -> bool:
        return self._stopping or self._mounts.changed_since(self._generation, self.path)

    def _finish(self, ended: Ended) -> None:
        request, seconds, error = ended
        walked = request.walked
        if request.cause != HINT:
            result = error or "complete"
            record = roots.WalkRecord(request.path, request.cause, result, seconds, walked.directories, walked.files)
            self._reporting.call(lambda tx: roots.record_walk(tx, self.root_id, record))
            with self._changed:
                self._last_walk = (walked, seconds)
        if request.path == self.path:
            self._timetable.whole_walk_ended(self._watch, events_reliable=self._verdict.events_reliable)
        elif error not in {None, CANCELLED}:
            # A bad directory, or a bad disk: the look at the root itself tells which.
            self.check_root()
        request.end(error)

    def _refuse_walks(self) -> None:
        self.walks.refuse(f"{self._verdict.state}: {self._verdict.message}")


def told(state: str, reason: str | None) -> str:
    """A state in the history."""
    return state if reason is None else f"{state}: {reason}"


def _alike(one: WatchState | None, other: WatchState) -> bool:
    return one is not None and (one.kind, one.message is None) == (other.kind, other.message is None)


def _unix_time(monotonic: float | None) -> float | None:
    return None if monotonic is None else time.time() + monotonic - time.monotonic()
