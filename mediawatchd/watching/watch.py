"""Whether a root is watched: asked of the observers when the root comes, and told to people when it fails.

The keeper's thread asks and tells, the observer's thread answers; the lock guards what others see.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from mediawatchd.watching.filesystems import is_network
from mediawatchd.watching.status import told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mediawatchd.watching.guard import Verdict
    from mediawatchd.watching.mounts import Mount
    from mediawatchd.watching.observer import WatchState
    from mediawatchd.watching.observers import Observers

log = logging.getLogger(__name__)


class Watch:
    """`state_changed` takes the root and what the history is to tell."""

    def __init__(
        self, *, root_id: int, root: bytes, observers: Observers, state_changed: Callable[[bytes, str], None]
    ) -> None:
        self._root_id = root_id
        self._root = root
        self._observers = observers
        self._state_changed = state_changed
        self._told: WatchState | None = None
        self._lock = threading.Lock()
        # Guarded by _lock:
        self._state: WatchState | None = None
        self._since: float | None = None
        self._is_awaited = False

    @property
    def state(self) -> WatchState | None:
        """What is watched; None while nothing is known of it."""
        return self._state

    @property
    def since(self) -> float | None:
        """Since when, in Unix seconds, it is watched as it is."""
        return self._since

    @property
    def is_awaited(self) -> bool:
        """Whether the watches were asked for and do not stand yet."""
        return self._is_awaited

    def begin(self, verdict: Verdict, below: Iterable[Mount]) -> None:
        """Have the root watched, or watched anew; `below` are the mounts in it. Returns at once."""
        with self._lock:
            self._is_awaited = True
        networks = [mount.id for mount in below if is_network(mount)]
        self._observers.watch(
            self._root_id, self._root, verdict.mount_id if verdict.network else min(networks, default=None)
        )

    def end(self) -> None:
        """The root is away. Returns at once."""
        self._observers.unwatch(self._root_id)

    def stands(self, state: WatchState) -> bool:
        """The watches stand, or are known not to; True when they were awaited, and a walk is due."""
        with self._lock:
            if not _alike(self._state, state):
                self._since = time.time()
            self._state = state
            was, self._is_awaited = self._is_awaited, False
            return was

    def tell(self) -> None:
        """Say once when watching fails or works again; how many directories it fails for is no news."""
        was, state = self._told, self._state
        self._told = state
        if state is None or _alike(was, state):
            return
        if state.message is not None:
            log.warning(
                "Root is watched in part or not at all root=%s watch=%s reason=%s hint=%s",
                *(self._root, state.kind, state.message, state.hint),
            )
            self._state_changed(self._root, told(f"watch {state.kind}", state.message))
        elif was is not None and was.message is not None:
            log.info("Root is watched again root=%s watch=%s", self._root, state.kind)
            self._state_changed(self._root, told(f"watch {state.kind}", None))


def _alike(one: WatchState | None, other: WatchState) -> bool:
    return one is not None and (one.kind, one.message is None) == (other.kind, other.message is None)
