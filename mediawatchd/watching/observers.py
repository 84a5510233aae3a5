"""All observers: one for the local disks, and one for each network mount that has a root.

So each network mount has a watcher child of its own: a server that hangs can hold up neither a local disk's watches
nor the restart of their child, and the child that hangs with it is left behind when the mount goes.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from mediawatchd.watching.sink import ObserverStatistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediawatchd.watching.observer import Observer


class Observers:
    """Any thread may call the methods. None waits for a disk, but `sync` for as long as it is told to."""

    def __init__(self, *, build: Callable[[], Observer]) -> None:
        """`build` makes an observer that was not started yet."""
        self._build = build
        self._local = build()
        # Guards everything below; never held in a call that waits.
        self._lock = threading.Lock()
        self._apart: dict[int, Observer] = {}
        self._places: dict[int, int | None] = {}
        self._events: Counter[str] = Counter()
        self._lost: Counter[tuple[int, str]] = Counter()
        self._restarts = 0
        self._stopping = False

    def start(self) -> None:
        """Starts the observer of the local disks; raises OSError when the canary's directory cannot be made."""
        self._local.start()

    def stop(self, timeout_seconds: float) -> None:
        """Ends all children; blocks for at most the time given."""
        with self._lock:
            self._stopping = True
            observers = self._all_locked()
        for observer in observers:
            observer.ask_to_stop()
        deadline = time.monotonic() + timeout_seconds
        for observer in observers:
            observer.stop(max(0.0, deadline - time.monotonic()))

    def watch(self, root_id: int, path: bytes, network_mount: int | None) -> None:
        """As `Observer.watch`; `network_mount` is the id of the network mount that the root waits for, if any."""
        with self._lock:
            if self._stopping:
                return
            if self._places.get(root_id, network_mount) != network_mount:
                self._unwatch_locked(root_id)
            self._places[root_id] = network_mount
            if network_mount is not None and network_mount not in self._apart:
                self._apart[network_mount] = self._build()
                self._apart[network_mount].start()
            self._observer_locked(network_mount).watch(root_id, path)

    def unwatch(self, root_id: int) -> None:
        """As `Observer.unwatch`. The child of a network mount ends with the last root there."""
        with self._lock:
            self._unwatch_locked(root_id)

    def check_watch_count(self) -> None:
        """As `Observer.check_watch_count`, of all."""
        with self._lock:
            observers = self._all_locked()
        for observer in observers:
            observer.check_watch_count()

    def sync(self, timeout_seconds: float, answers: Callable[[int], bool]) -> bool:
        """As `Observer.sync`, of all; a root that does not answer is not waited for."""
        deadline = time.monotonic() + timeout_seconds
        with self._lock:
            observers = self._all_locked()
        return all(observer.sync(max(0.0, deadline - time.monotonic()), answers) for observer in observers)

    def statistics(self) -> ObserverStatistics:
        """All as one; `alive` only when all are, `degraded` when one is, the oldest sight of a canary."""
        with self._lock:
            each = [observer.statistics() for observer in self._all_locked()]
            events, lost, restarts = self._events.copy(), self._lost.copy(), self._restarts
        for one in each:
            events.update(one.events)
            lost.update(one.lost)
            restarts += one.restarts
        seen = [one.canary_last_seen for one in each]
        return ObserverStatistics(
            alive=all(one.alive for one in each),
            restarts=restarts,
            watches=sum(one.watches for one in each),
            watches_limit=each[0].watches_limit,
            canary_last_seen=None if None in seen else min(filter(None, seen)),
            events=dict(events),
            lost=dict(lost),
            child_pids=tuple(pid for one in each for pid in one.child_pids),
            degraded=next((one.degraded for one in each if one.degraded is not None), None),
        )

    def _unwatch_locked(self, root_id: int) -> None:
        if root_id not in self._places:
            return
        mount = self._places.pop(root_id)
        observer = self._observer_locked(mount)
        observer.unwatch(root_id)
        if mount is not None and mount not in self._places.values():
            del self._apart[mount]
            # Its thread waits for the child; nobody waits for the thread, as the child may hang in the mount.
            observer.ask_to_stop()
            ended = observer.statistics()
            self._events.update(ended.events)
            self._lost.update(ended.lost)
            self._restarts += ended.restarts

    def _observer_locked(self, mount: int | None) -> Observer:
        return self._local if mount is None else self._apart[mount]

    def _all_locked(self) -> list[Observer]:
        return [self._local, *self._apart.values()]
