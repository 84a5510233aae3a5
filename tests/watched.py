"""A sink that remembers, and an observer that surely ends: for the tests of watching."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mediawatchd.watching.observer import Observer, WatchState
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass
class RecordingSink:
    """What was reported, in memory. Set `wait` to let the observer's thread stand still in the sink until `go_on`."""

    names: dict[tuple[int, bytes], bool] = field(default_factory=dict)
    walks: list[tuple[int, bytes, bool]] = field(default_factory=list)
    losses: list[tuple[int, str]] = field(default_factory=list)
    states: list[tuple[int, WatchState]] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.go_on.set()

    def dirty(self, root_id: int, directory: bytes, name: bytes | None, closed: bool) -> None:
        self.go_on.wait(60)
        assert directory.endswith(b"/")
        if name is None:
            self.walks.append((root_id, directory, closed))
        else:
            self.names[root_id, directory + name] = closed

    def lost(self, root_id: int, reason: str) -> None:
        self.losses.append((root_id, reason))

    def watched(self, root_id: int, state: WatchState) -> None:
        self.states.append((root_id, state))

    def clear(self) -> None:
        """Forgets everything but the states."""
        self.names.clear()
        self.walks.clear()
        self.losses.clear()

    def knows(self, path: bytes, root_id: int = 1) -> bool:
        """Whether this path is named, or lies in a directory that is to be walked or in a root that is lost."""
        return not self.unknown([path], root_id)

    def unknown(self, paths: Iterable[bytes], root_id: int = 1) -> list[bytes]:
        """Those of the paths that are not known in this sense."""
        if any(root == root_id for root, _ in list(self.losses)):
            return []
        walked = {directory for root, directory, _ in list(self.walks) if root == root_id}
        return [
            path
            for path in paths
            if (root_id, path) not in self.names
            and not any(path[: at + 1] in walked for at, byte in enumerate(path) if byte == ord("/"))
        ]

    def state(self, root_id: int = 1) -> WatchState | None:
        """What was last said of a root."""
        return next((state for root, state in reversed(self.states) if root == root_id), None)


@contextmanager
def observing(base: bytes | os.PathLike[str], sink: RecordingSink, **arguments: Any) -> Iterator[Observer]:
    """A started observer with its canary below `base`; it ends with the block and leaves no child behind."""
    observer = Observer(
        **{"canary_directory": os.fsencode(base) + b"/canary", "backend": "auto", "sink": sink} | arguments
    )
    observer.start()
    try:
        yield observer
    finally:
        sink.go_on.set()
        observer.stop(20)
        assert not observer.statistics().child_pids
        assert not observer.statistics().alive


def child_of(observer: Observer) -> int:
    """The process id of the child, as soon as it has shown the canary once."""
    wait_until(lambda: observer.statistics().canary_last_seen, within=30)
    return wait_until(lambda: observer.statistics().child_pids, within=30)[0]


@contextmanager
def stopped(observer: Observer) -> Iterator[None]:
    """The child reads nothing meanwhile, so everything waits in the kernel's queue."""
    child = child_of(observer)
    os.kill(child, signal.SIGSTOP)
    wait_until(lambda: all(_stands_still(child, int(task)) for task in os.listdir(f"/proc/{child}/task")), within=10)
    try:
        yield
    finally:
        os.kill(child, signal.SIGCONT)


def create(path: bytes) -> None:
    """An empty file, closed after writing."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))


def _stands_still(pid: int, task: int) -> bool:
    with open(f"/proc/{pid}/task/{task}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "T"
