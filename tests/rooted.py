"""Real roots with their keepers over a real catalog and real folders; only the watcher is made up.

Events come from the test: `rooted.roots.dirty(...)` is what the watcher would say. Nothing is hashed.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mediawatchd.config import FileExtensions
from mediawatchd.watching.mounts import Mounts
from mediawatchd.watching.observer import WatchState
from mediawatchd.watching.roots import Roots
from mediawatchd.watching.rules import Rules
from mediawatchd.watching.timetable import Pace
from tests.parts import WITHIN, Parts
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from mediawatchd.watching.keeper import Keeper
    from mediawatchd.watching.mounts import Table
    from mediawatchd.watching.status import RootStatus

PACE = Pace(interval_seconds=3600.0, network_interval_seconds=900.0, settle_seconds=0.0)
WATCHED = WatchState("inotify", (), 0, None, None)


class MadeUpObserver:
    """Sets watches as soon as it is asked to, unless `is_slow`; notes what it is asked."""

    def __init__(self, sink: Roots) -> None:
        self._sink = sink
        self.is_slow = False
        self.state = WATCHED
        self.calls: list[tuple[str, int]] = []
        self.mounts: dict[int, int | None] = {}
        self.drained = True

    def watch(self, root_id: int, path: bytes, network_mount: int | None) -> None:
        self.calls.append(("watch", root_id))
        self.mounts[root_id] = network_mount
        if not self.is_slow:
            self._sink.watched(root_id, self.state)

    def unwatch(self, root_id: int) -> None:
        self.calls.append(("unwatch", root_id))

    def sync(self, timeout_seconds: float, answers: Callable[[int], bool]) -> bool:
        return self.drained


class Rooted(Parts):
    """`is_paused` is the pause that a person asked for."""

    def __init__(self, folder: Path, *, settle_seconds: float = 0.0, hold_share: float | None = None) -> None:
        super().__init__(folder, settle_seconds=settle_seconds, hold_share=hold_share)
        self.is_paused = False
        self.mounts = Mounts(on_change=self._mounts_changed, heartbeat=self.heartbeats.register("mounts"))
        self.roots = Roots(
            database=self.database,
            writer=self.writer,
            mounts=self.mounts,
            heartbeats=self.heartbeats,
            is_paused=lambda: self.is_paused,
            changed=self._roots_changed,
        )
        self.observer = MadeUpObserver(self.roots)
        self.listeners.append(lambda committed: self.roots.look(committed.looks))
        self.mounts.start()

    def close(self) -> None:
        assert self.roots.stop(WITHIN)
        self.mounts.stop()
        super().close()

    def keep(self, *paths: bytes, pace: Pace = PACE, ignore: Sequence[str] = ()) -> None:
        """Configure these roots; returns before anything of them was looked at."""
        rules = Rules(extensions=FileExtensions(), ignore=ignore)
        self.roots.configure(paths, rules, pace, self.observer)  # type: ignore[arg-type] - made up
        self.root_ids = {keeper.path: keeper.root_id for keeper in self.roots.keepers()}

    def keeper(self, path: bytes) -> Keeper:
        return self.roots.named(path)

    def status(self, path: bytes) -> RootStatus:
        return self.keeper(path).status()

    def wait_for(self, path: bytes, state: str) -> RootStatus:
        """Wait until the root is in this state."""
        wait_until(lambda: self.status(path).state == state, within=WITHIN, shows=lambda: self.status(path))
        return self.status(path)

    def settle(self, path: bytes) -> None:
        """Wait until all that was asked of the root is in the catalog."""
        keeper = self.keeper(path)
        assert keeper.wait_until_checked(WITHIN)
        assert keeper.wait_until_looked(keeper.hints.mark(), WITHIN)
        self.flush()

    def walk(self, path: bytes) -> str | None:
        """Walk, and return the error if there was one."""
        keeper = self.roots.covering(path)
        assert keeper is not None
        request = keeper.ask_for_walk(path, "job", is_job=True)
        assert request.done.wait(WITHIN)
        self.flush()
        return request.error

    def present(self) -> set[bytes]:
        return {row["path"] for row in self.rows() if row["missing_since"] is None}

    def missing(self) -> set[bytes]:
        return {row["path"] for row in self.rows() if row["missing_since"] is not None}

    def _mounts_changed(self, old: Table, new: Table) -> None:
        self.roots.mounts_changed(old, new)

    def _roots_changed(self) -> None:
        self.online = self.roots.online()


@contextmanager
def rooted(
    folder: Path, *paths: bytes, settle_seconds: float = 0.0, hold_share: float | None = None
) -> Iterator[Rooted]:
    """Roots that were walked once, where they are online."""
    parts = Rooted(folder, settle_seconds=settle_seconds, hold_share=hold_share)
    try:
        if paths:
            parts.keep(*paths)
            for path in paths:
                parts.settle(path)
        yield parts
    finally:
        parts.close()


def open_below(path: bytes) -> list[str]:
    """What this process has open at or below a path."""
    links = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:
            continue
    return [link for link in links if os.fsencode(link + "/").startswith(path)]
