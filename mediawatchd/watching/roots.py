"""All configured roots: their keepers, and the ways of hints to them.

Hints come from the watcher's thread, looks from the writer's; both are handed to the keeper of the root and never
block. Which roots are online is a snapshot that the feeder and the writer may ask for at any time.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from mediawatchd.catalog import roots as rows
from mediawatchd.catalog.totals import FIELDS
from mediawatchd.errors import Refused
from mediawatchd.model import SECOND
from mediawatchd.telemetry.durations import DurationCounts, Durations
from mediawatchd.watching.keeper import Keeper
from mediawatchd.watching.status import RootStatus, told

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

    from mediawatchd.catalog.database import Database
    from mediawatchd.catalog.transaction import Look, Transaction
    from mediawatchd.catalog.writer import Writer
    from mediawatchd.model import Away
    from mediawatchd.telemetry.heartbeat import Heartbeats
    from mediawatchd.watching.mounts import Mounts, Table
    from mediawatchd.watching.observer import WatchState
    from mediawatchd.watching.observers import Observers
    from mediawatchd.watching.rules import Rules
    from mediawatchd.watching.timetable import Pace
    from mediawatchd.watching.walks import WalkRequest

log = logging.getLogger(__name__)

HANGS = "the disk does not answer"
HANGING_SECONDS = 15.0
"""A keeper that has been at one call for so long hangs on its disk: longer than a disk takes to spin up."""


class Roots:
    """The lock guards which keepers there are; each keeper guards itself."""

    def __init__(
        self,
        *,
        database: Database,
        writer: Writer,
        mounts: Mounts,
        heartbeats: Heartbeats,
        is_paused: Callable[[], bool],
        changed: Callable[[], None],
    ) -> None:
        self._database = database
        self._writer = writer
        self._mounts = mounts
        self._heartbeats = heartbeats
        self._is_paused = is_paused
        self._changed = changed
        self._durations = Durations()
        self._lock = threading.Lock()
        # Guarded by _lock:
        self._keepers: dict[int, Keeper] = {}
        self._online: frozenset[int] = frozenset()
        # The main thread's:
        self._told_hanging: set[bytes] = set()

    def configure(self, paths: Sequence[bytes], rules: Rules, pace: Pace, observers: Observers) -> None:
        """Start a keeper for each path, in place of those there are. Blocks until the catalog knows the roots.

        Who asks for a walk meanwhile asks a former keeper, and the next one makes it.
        """
        self._end_keepers(5.0)
        former = self._all()
        for keeper in former:
            observers.unwatch(keeper.root_id)
            self._heartbeats.retire(keeper.heart)

        def configured(tx: Transaction) -> dict[bytes, int]:
            ids = rows.configure(tx, paths)
            rows.apply_rules(tx, rules.fingerprint(), lambda root, path: _visible(rules, root, path))
            return ids

        ids = self._writer.call(configured).result()
        keepers = {
            root_id: Keeper(
                root_id=root_id,
                path=path,
                rules=rules,
                pace=pace,
                database=self._database,
                writer=self._writer,
                clock=self._database.clock,
                mounts=self._mounts,
                observers=observers,
                heart=self._heartbeats.register(f"root-{root_id}", tolerated=True),
                is_paused=self._is_paused,
                state_changed=self._state_changed,
                away_changed=self._changed,
                durations=self._durations,
            )
            for path, root_id in ids.items()
        }
        with self._lock:
            self._keepers = keepers
            self._online = frozenset()
            left = [request for keeper in former for request in keeper.walks.close()]
        for request in left:
            self._hand_on(request)
        for keeper in keepers.values():
            keeper.start()

    def stop(self, timeout_seconds: float) -> bool:
        """End the keepers; one that hangs on a dead disk is left behind, and makes this False."""
        ended = self._end_keepers(timeout_seconds)
        for keeper in self._all():
            for request in keeper.walks.close():
                request.end("the daemon is stopping")
        return ended

    def _end_keepers(self, timeout_seconds: float) -> bool:
        keepers = self._all()
        for keeper in keepers:
            keeper.ask_to_stop()
        deadline = time.monotonic() + timeout_seconds
        ended = [keeper.join(max(0.0, deadline - time.monotonic())) for keeper in keepers]
        return all(ended)

    def keepers(self) -> tuple[Keeper, ...]:
        return tuple(self._all())

    def online(self) -> frozenset[int]:
        return self._online

    def away(self) -> frozenset[Away]:
        """Which disks below the roots are not mounted now, as far as somebody has looked since the last change."""
        return frozenset(away for keeper in self._all() for away in keeper.away())

    def within_reach(self) -> frozenset[int]:
        """The roots that are online, or may be: after a start, and a reload, nobody has looked yet."""
        states = {status.id: status.state for status in self.statuses()}
        maybe = {keeper.root_id for keeper in self._all() if not keeper.is_checked()}
        return frozenset(
            root_id
            for root_id, state in states.items()
            if state == "online" or (state == "offline" and root_id in maybe)
        )

    def look(self, looks: Iterable[Look]) -> None:
        """The writer wants some paths looked at again."""
        for look in looks:
            keeper = self._keepers.get(look.root_id)
            if keeper is None:
                continue
            if look.delay_ns:
                keeper.hints.add_later(look.directory, look.name, look.delay_ns / SECOND)
            else:
                keeper.hints.add(look.directory, look.name)

    def walk(self, scope: Sequence[bytes], is_cancelled: Callable[[], bool]) -> list[WalkRequest]:
        """Ask for the walks of a job. The scope was checked by `resolve`."""
        with self._lock:
            return [
                keeper.ask_for_walk(path, "job", is_job=True, is_cancelled=is_cancelled)
                for path in scope
                if (keeper := _covering(self._keepers.values(), path)) is not None
            ]

    def covering(self, path: bytes) -> Keeper | None:
        """The keeper in whose root a path lies."""
        return _covering(self._all(), path)

    def named(self, path: bytes) -> Keeper:
        """The keeper of the root with this path. Raises Refused when there is none."""
        wanted = path.rstrip(b"/") + b"/"
        for keeper in self._all():
            if keeper.path == wanted:
                return keeper
        raise Refused(404, "unknown_root", "that is not a configured root", hint="`mediawatchctl status` lists them.")

    def pause_changed(self) -> None:
        """Walks may go on, or must pause."""
        for keeper in self._all():
            keeper.pause_changed()

    def mounts_changed(self, _old: Table, _new: Table) -> None:
        for keeper in self._all():
            keeper.check_root()

    def statuses(self) -> list[RootStatus]:
        """All roots as they are; one whose keeper hangs on its disk shows that."""
        now = time.monotonic()
        hanging = {pulse.name: pulse.silent_seconds for pulse in self._heartbeats.stuck(now, HANGING_SECONDS)}
        statuses = []
        for keeper in self._all():
            status = keeper.status()
            if (silent := hanging.get(f"root-{status.id}")) is not None:
                status = status._replace(
                    state="error",
                    since=time.time() - silent,
                    message=HANGS,
                    hint="Check the disk, its server or its connection; it goes on when it answers.",
                )
            statuses.append(status)
        return statuses

    def durations(self) -> DurationCounts:
        """How long the disks took to show each directory."""
        return self._durations.counts()

    def totals(self, connection: sqlite3.Connection) -> dict[int, dict[str, int]]:
        """What each configured root holds, as committed, by its id."""
        known = rows.totals(connection)
        empty = dict.fromkeys(FIELDS, 0)
        return {keeper.root_id: known.get(keeper.root_id, empty) for keeper in self._all()}

    # The watcher's side: see watching.observer.Sink.

    def dirty(self, root_id: int, directory: bytes, name: bytes | None, closed: bool) -> None:
        if (keeper := self._keepers.get(root_id)) is not None:
            keeper.hints.add(directory, name, closed=closed)

    def lost(self, root_id: int, reason: str) -> None:
        if (keeper := self._keepers.get(root_id)) is not None:
            keeper.lost(reason)

    def watched(self, root_id: int, state: WatchState) -> None:
        if (keeper := self._keepers.get(root_id)) is not None:
            keeper.watched(state)

    def tell_hanging(self) -> None:
        """Say once when a root's disk no longer answers, and when it does again; its keeper cannot. Main thread."""
        hanging = {status.path for status in self.statuses() if status.message == HANGS}
        for path in hanging - self._told_hanging:
            log.warning("Root is error root=%s reason=%s", path, HANGS)
            self._tell(path, told("error", HANGS))
        for path in self._told_hanging - hanging:
            log.info("The disk of a root answers again root=%s", path)
            self._tell(path, "the disk answers again")
        self._told_hanging = hanging

    def _state_changed(self, path: bytes, detail: str) -> None:
        with self._lock:
            self._online = frozenset(
                root_id for root_id, keeper in self._keepers.items() if keeper.status().state == "online"
            )
        self._tell(path, detail)
        self._changed()

    def _tell(self, path: bytes, detail: str) -> None:
        self._writer.call(lambda tx: tx.tell_root(path, detail))

    def _hand_on(self, request: WalkRequest) -> None:
        """A walk that was asked of a former keeper: a job goes on under another configuration."""
        keeper = self.covering(request.path)
        if keeper is None:
            request.end("the folder lies in no configured root any more")
        else:
            request.mark = 0
            keeper.walks.put_back(request)

    def _all(self) -> list[Keeper]:
        with self._lock:
            return list(self._keepers.values())


def _covering(keepers: Iterable[Keeper], path: bytes) -> Keeper | None:
    return next((one for one in keepers if path.startswith(one.path) or path + b"/" == one.path), None)


def _visible(rules: Rules, root: bytes, path: bytes) -> bool:
    relative = path[len(root) :]
    return rules.media_type(relative.rpartition(b"/")[2]) is not None and not rules.ignored_below(relative)
