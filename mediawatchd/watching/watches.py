"""The watches of one root: which directories are watched, and what their events mean.

Two threads in the watcher child for each root. The reader turns events into hints and never touches the root; it
hands directories that came or went to the watching thread, which alone adds and drops watches, in the order
of the events. So a disk that hangs holds up the watching thread of its own root and nothing else.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mediawatchd.watching.inotify import (
    CANARY_MASK,
    CLOSE_WRITE,
    CREATE,
    DELETE,
    DIRECTORY_MASK,
    IGNORED,
    ISDIR,
    MOVE_SELF,
    MOVED_FROM,
    MOVED_TO,
    OVERFLOW,
    ROOT_MASK,
    UNMOUNT,
    Reader,
)
from mediawatchd.watching.unwatched import Unwatched

if TYPE_CHECKING:
    from mediawatchd.watching.canary import Canary
    from mediawatchd.watching.outbox import Outbox

TURNS_LIMIT = 10_000
"""So many directories may wait to be added or dropped; beyond that one pass over the root does it."""

_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
_EVENTS = {CREATE: "created", CLOSE_WRITE: "closed", MOVED_FROM: "moved_from", MOVED_TO: "moved_to", DELETE: "deleted"}
_ALL_EVENTS = CREATE | CLOSE_WRITE | MOVED_FROM | MOVED_TO | DELETE


@dataclass(frozen=True, slots=True)
class _Add:
    directory: bytes
    event: str
    closed: bool


@dataclass(frozen=True, slots=True)
class _Drop:
    directory: bytes


@dataclass(frozen=True, slots=True)
class _Probe:
    number: int


@dataclass(frozen=True, slots=True)
class _Rebuild:
    reason: str


@dataclass(frozen=True, slots=True)
class _Check:
    """Compare the kernel's watches with ours."""


@dataclass(frozen=True, slots=True)
class _Gone:
    """The root's own watch has ended."""


@dataclass(frozen=True, slots=True)
class _Retry:
    """Try again what could not be watched."""


_Turn = _Add | _Drop | _Probe | _Rebuild | _Check | _Gone | _Retry


class RootWatch:
    """Owned by its watching thread; what the reader shares stands below the lock."""

    def __init__(self, *, key: int, path: bytes, canary: Canary, outbox: Outbox, retry_seconds: float) -> None:
        self._key = key
        self._root = path if path.endswith(b"/") else path + b"/"
        self._canary = canary
        self._outbox = outbox
        self._retry_seconds = retry_seconds
        self._thread = threading.Thread(target=self._run, name=f"watching-{key}", daemon=True)
        self._reader: Reader | None = None
        self._canary_wd = self._root_wd = -1
        self._stopping = threading.Event()
        self._unwatched = Unwatched(self._root)
        self._retry_at = 0.0
        self._rebuild_seconds = 0.0
        self._rebuilt_at = 0.0
        # Guards everything below; the reader looks paths up without it.
        self._lock = threading.Condition()
        self._turns: deque[_Turn] = deque()
        self._paths: dict[int, bytes] = {}

    def start(self) -> None:
        """Returns at once; `Outbox.state` follows when the watches are set."""
        self._canary.enter(self._key)
        self._thread.start()

    def stop(self) -> None:
        """Returns at once, also when the disk hangs; the instance is closed as soon as no call needs it."""
        with self._lock:
            self._stopping.set()
            self._canary.leave(self._key)
            self._lock.notify_all()
        self._outbox.forget(self._key)

    def check(self) -> None:
        """Returns at once; a watch that the kernel no longer has is reported as a loss and set again."""
        self._hand_over(_Check())

    # What follows runs in the reader's thread.

    def _on_event(self, wd: int, mask: int, name: bytes) -> None:
        if mask & OVERFLOW:
            self._hand_over(_Rebuild("overflow"))
            self._passed_canary(None)
            return
        if wd == self._canary_wd and name in self._canary.names:
            self._passed_canary(name)
            return
        directory = self._paths.get(wd)
        if directory is None:
            return
        if mask & (IGNORED | UNMOUNT | MOVE_SELF):
            self._on_watch_ended(wd, mask)
            return
        event = _EVENTS[mask & _ALL_EVENTS]
        if not mask & ISDIR:
            self._outbox.name(self._key, directory, name, event=event, closed=bool(mask & (CLOSE_WRITE | MOVED_TO)))
        elif mask & (CREATE | MOVED_TO):
            self._hand_over(_Add(directory + name + b"/", f"directory_{event}", closed=bool(mask & MOVED_TO)))
        else:
            if mask & MOVED_FROM:
                self._hand_over(_Drop(directory + name + b"/"))
            self._outbox.name(self._key, directory, name, event=f"directory_{event}", closed=False)

    def _on_watch_ended(self, wd: int, mask: int) -> None:
        if mask & UNMOUNT:
            self._outbox.lost(self._key, "unmounted")
        elif mask & IGNORED:
            with self._lock:
                self._paths.pop(wd, None)
        if wd == self._root_wd:
            self._hand_over(_Gone())

    def _passed_canary(self, name: bytes | None) -> None:
        number = self._canary.passed(self._key, name)
        if number is not None:
            self._hand_over(_Probe(number))

    def _hand_over(self, turn: _Turn) -> None:
        with self._lock:
            if len(self._turns) >= TURNS_LIMIT and isinstance(turn, _Add | _Drop):
                self._turns = deque(each for each in self._turns if not isinstance(each, _Add | _Drop))
                turn = _Rebuild("too_many_hints")
            if isinstance(turn, _Rebuild) and any(isinstance(each, _Rebuild) for each in self._turns):
                # The pass that waits will come after this loss too.
                return
            self._turns.append(turn)
            self._lock.notify_all()

    # What follows runs in the watching thread.

    def _run(self) -> None:
        again = False
        while not self._stopping.is_set():
            try:
                self._set_up(again=again)
                self._follow_turns()
            except OSError as error:
                self._outbox.state(self._key, self._unwatched.failed(error))
            self._take_down()
            again = True
            with self._lock:
                self._lock.wait_for(self._stopping.is_set, self._retry_seconds)
        self._outbox.forget(self._key)

    def _set_up(self, *, again: bool) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            self._canary.enter(self._key)
        self._reader = Reader(on_event=self._on_event)
        self._reader.start()
        self._canary_wd = self._reader.add(self._canary.directory, CANARY_MASK)
        with self._lock:
            if self._stopping.is_set():
                return
            missed = self._canary.join(self._key)
        self._root_wd = self._reader.add(self._root, ROOT_MASK)
        self._watch_below(self._reader, self._root)
        self._report()
        if again:
            self._outbox.lost(self._key, "watched_again")
        self._retry_at = time.monotonic() + self._retry_seconds
        self._canary.drained(self._key, missed)

    def _take_down(self) -> None:
        """Leaves nothing that could be taken for an event of the next instance, whose descriptors begin anew."""
        self._canary.leave(self._key)
        if self._reader is not None:
            self._reader.stop()
            self._reader.join()
            self._reader = None
        self._unwatched.clear()
        with self._lock:
            self._turns.clear()
            self._paths.clear()

    def _follow_turns(self) -> None:
        """Returns when the root is not to be watched any longer; raises OSError when it is gone."""
        while (turn := self._wait_turn()) is not None and self._reader is not None:
            match turn:
                case _Add(directory, event, closed):
                    self._add(self._reader, directory, event=event, closed=closed)
                case _Drop(directory):
                    self._drop(self._reader, directory)
                case _Probe(number):
                    self._canary.drained(self._key, number)
                case _Rebuild(reason):
                    self._rebuild(self._reader, reason)
                case _Check():
                    self._compare(self._reader)
                case _Retry():
                    self._retry(self._reader)
                case _Gone():
                    raise self._gone()
            self._outbox.watches(self._key, len(self._paths) + 1)

    def _wait_turn(self) -> _Turn | None:
        """The next turn, or None when it is time to stop. Waits for ever when nothing is to be tried again."""
        with self._lock:
            while not self._stopping.is_set():
                left = self._retry_at - time.monotonic() if self._unwatched else None
                if left is not None and left <= 0:
                    self._retry_at = time.monotonic() + self._retry_seconds
                    return _Retry()
                if self._turns:
                    return self._turns.popleft()
                self._lock.wait(left)
            return None

    def _add(self, reader: Reader, directory: bytes, *, event: str, closed: bool) -> None:
        # A pass over its parent may have come before: then its content was walked or has events of its own.
        if self._path_of(reader, directory) != directory:
            if self._watch_below(reader, directory):
                self._report()
            self._outbox.walk(self._key, directory, event=event, closed=closed)

    def _path_of(self, reader: Reader, directory: bytes) -> bytes | None:
        try:
            return self._paths.get(reader.add(directory[:-1], DIRECTORY_MASK))
        except OSError:
            return None

    def _drop(self, reader: Reader, directory: bytes) -> None:
        """Ends all watches below a directory that was moved away: outside the root they would tell of strangers' files.

        Looks at every watch of the root: 3 ms at 50,000, which a second table of the paths would save for 5 MB.
        """
        with self._lock:
            below = [wd for wd, path in self._paths.items() if path.startswith(directory)]
            for wd in below:
                del self._paths[wd]
        for wd in below:
            reader.remove(wd)
        if self._unwatched.drop(directory):
            self._report()

    def _rebuild(self, reader: Reader, reason: str) -> None:
        """Finds directories whose coming or going was not seen, without ending any watch that is right.

        While events keep overflowing it takes at most a third of the time.
        """
        pause = self._rebuilt_at + 2 * self._rebuild_seconds - time.monotonic()
        with self._lock:
            self._lock.wait_for(self._stopping.is_set, max(0.0, pause))
            before = set(self._paths)
        began = time.monotonic()
        if reader.add(self._root, ROOT_MASK) != self._root_wd:
            raise self._gone()
        self._unwatched.clear()
        reached: set[int] = set()
        self._watch_below(reader, self._root, reached)
        for wd in before - reached:
            with self._lock:
                self._paths.pop(wd, None)
            reader.remove(wd)
        self._report()
        self._outbox.lost(self._key, reason)
        self._rebuilt_at = time.monotonic()
        self._rebuild_seconds = self._rebuilt_at - began

    def _gone(self) -> OSError:
        self._outbox.lost(self._key, "root_gone")
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._root)

    def _watch_below(self, reader: Reader, top: bytes, reached: set[int] | None = None) -> bool:
        """Watches a directory and all below it. Returns whether something could not be watched.

        Each directory is listed after it is watched, so that none is missed that appears meanwhile.
        """
        complete = True
        directories = [top]
        while directories and not self._stopping.is_set():
            directory = directories.pop()
            watched = False
            try:
                if directory == self._root:
                    wd = reader.add(directory, ROOT_MASK)
                else:
                    # Without the slash, or IN_DONT_FOLLOW would follow a symbolic link that took its place.
                    wd = reader.add(directory[:-1], DIRECTORY_MASK)
                watched = True
                with self._lock:
                    self._paths[wd] = directory
                if reached is not None:
                    reached.add(wd)
                directories += _subdirectories(directory)
            except OSError as error:
                if error.errno not in _GONE:
                    complete = False
                    self._unwatched.add(directory, error.errno or 0, 0 if watched else _count_below(directory))
        return not complete

    def _retry(self, reader: Reader) -> None:
        healed = False
        for directory in self._unwatched.directories():
            try:
                reader.add(directory[:-1], DIRECTORY_MASK)
            except OSError as error:
                if error.errno in _GONE:
                    self._unwatched.drop(directory)
                if error.errno == errno.ENOSPC or self._stopping.is_set():
                    break
                continue
            healed = True
            self._unwatched.drop(directory)
            self._watch_below(reader, directory)
            self._outbox.walk(self._key, directory, event="watched_again", closed=False)
        if healed and self._unwatched.unnamed:
            self._rebuild(reader, "watched_again")
        else:
            self._report()

    def _compare(self, reader: Reader) -> None:
        # A directory just deleted has left the kernel's count before its event is read: look again.
        for _ in range(3):
            with self._lock:
                ours = len(self._paths) + (self._canary_wd not in self._paths)
            if reader.kernel_watches() >= ours:
                return
            with self._lock:
                self._lock.wait_for(self._stopping.is_set, 0.5)
        self._rebuild(reader, "watches_gone")

    def _report(self) -> None:
        self._outbox.watches(self._key, len(self._paths) + 1)
        if self._unwatched.newly_limited():
            self._outbox.lost(self._key, "limit")
        state = self._unwatched.state(watched=len(self._paths))
        if state is not None:
            self._outbox.state(self._key, state)


def _subdirectories(directory: bytes) -> list[bytes]:
    with os.scandir(directory) as entries:
        return [entry.path + b"/" for entry in entries if entry.is_dir(follow_symlinks=False)]


def _count_below(top: bytes) -> int:
    """How many directories there are, this one included; what cannot be listed counts as empty."""
    count = 0
    directories = [top]
    while directories:
        count += 1
        try:
            directories += _subdirectories(directories.pop())
        except OSError:
            continue
    return count
