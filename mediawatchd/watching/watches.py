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
from mediawatchd.watching.turns import Add, Check, Drop, Gone, Probe, Rebuild, Retry, Turns
from mediawatchd.watching.unwatched import Unwatched

if TYPE_CHECKING:
    from mediawatchd.watching.canary import Canary
    from mediawatchd.watching.outbox import Outbox

_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
_EVENTS = {CREATE: "created", CLOSE_WRITE: "closed", MOVED_FROM: "moved_from", MOVED_TO: "moved_to", DELETE: "deleted"}
_ALL_EVENTS = CREATE | CLOSE_WRITE | MOVED_FROM | MOVED_TO | DELETE


class RootWatch:
    """Owned by its watching thread; what the reader changes too stands below the lock."""

    def __init__(self, *, key: int, path: bytes, canary: Canary, outbox: Outbox, retry_seconds: float) -> None:
        self._key = key
        self._root = path if path.endswith(b"/") else path + b"/"
        self._canary = canary
        self._outbox = outbox
        self._retry_seconds = retry_seconds
        self._thread = threading.Thread(target=self._run, name=f"watching-{key}", daemon=True)
        self._turns = Turns()
        self._unwatched = Unwatched(self._root)
        self._retry_at = 0.0
        self._rebuilt_at = 0.0
        self._rebuild_seconds = 0.0
        # Written before the first event that they are compared with.
        self._canary_wd = self._root_wd = -1
        # Guards what is below; the reader looks a path up without it.
        self._lock = threading.Lock()
        self._paths: dict[int, bytes] = {}

    def start(self) -> None:
        """Returns at once; `Outbox.state` follows when the watches are set."""
        self._canary.enter(self._key)
        self._thread.start()

    def stop(self) -> None:
        """Returns at once, also when the disk hangs; the instance is closed as soon as no call needs it."""
        self._turns.stop()
        self._canary.expel(self._key)
        self._outbox.forget(self._key)

    def check(self) -> None:
        """Returns at once; a watch that the kernel no longer has is reported as a loss and set again."""
        self._turns.put(Check())

    # What follows runs in the reader's thread.

    def _on_event(self, wd: int, mask: int, name: bytes) -> None:
        if mask & OVERFLOW:
            self._turns.put(Rebuild("overflow"))
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
        elif mask & CREATE:
            self._turns.put(Add(directory + name + b"/", f"directory_{event}", closed=False))
        elif mask & MOVED_TO:
            # Told before it is watched: that takes long where it is large, and its files have left their old path.
            self._outbox.name(self._key, directory, name, event=f"directory_{event}", closed=True)
            self._turns.put(Add(directory + name + b"/", None, closed=True))
        else:
            if mask & MOVED_FROM:
                self._turns.put(Drop(directory + name + b"/"))
            self._outbox.name(self._key, directory, name, event=f"directory_{event}", closed=False)

    def _on_watch_ended(self, wd: int, mask: int) -> None:
        if mask & UNMOUNT:
            self._outbox.lost(self._key, "unmounted")
        elif mask & IGNORED:
            with self._lock:
                self._paths.pop(wd, None)
        if wd == self._root_wd:
            self._turns.put(Gone())

    def _passed_canary(self, name: bytes | None) -> None:
        number = self._canary.passed(self._key, name)
        if number is not None:
            self._turns.put(Probe(number))

    # What follows runs in the watching thread.

    def _run(self) -> None:
        again = False
        while not self._turns.stopped():
            self._canary.enter(self._key)
            reader = None
            try:
                reader = Reader(on_event=self._on_event)
                self._set_up(reader, again=again)
                self._follow_turns(reader)
            except OSError as error:
                self._outbox.state(self._key, self._unwatched.failed(error))
            self._take_down(reader)
            again = True
            self._turns.wait_stopped(self._retry_seconds)
        self._outbox.forget(self._key)

    def _set_up(self, reader: Reader, *, again: bool) -> None:
        reader.start()
        self._canary_wd = reader.add(self._canary.directory, CANARY_MASK)
        missed = self._canary.join(self._key)
        self._root_wd = reader.add(self._root, ROOT_MASK)
        self._watch_below(reader, self._root)
        self._report()
        if again:
            self._outbox.lost(self._key, "watched_again")
        self._retry_at = time.monotonic() + self._retry_seconds
        self._canary.drained(self._key, missed)

    def _take_down(self, reader: Reader | None) -> None:
        """Leaves nothing that could be taken for an event of the next instance, whose descriptors begin anew."""
        self._canary.leave(self._key)
        if reader is not None:
            reader.end()
        self._turns.clear()
        self._unwatched.clear()
        with self._lock:
            self._paths = {}

    def _follow_turns(self, reader: Reader) -> None:
        """Returns when the root is not to be watched any longer; raises OSError when it is gone."""
        while (turn := self._turns.wait_next(self._retry_at if self._unwatched else None)) is not None:
            match turn:
                case Add(directory, event, closed):
                    self._add(reader, directory, event=event, closed=closed)
                case Drop(directory):
                    self._drop(reader, directory)
                case Probe(number):
                    self._canary.drained(self._key, number)
                case Rebuild(reason):
                    self._rebuild(reader, reason)
                case Check():
                    self._compare(reader)
                case Retry():
                    self._retry(reader)
                case Gone():
                    raise self._gone()
            self._outbox.watches(self._key, len(self._paths) + 1)

    def _add(self, reader: Reader, directory: bytes, *, event: str | None, closed: bool) -> None:
        try:
            # A pass over its parent may have come before: then its content was walked or has events of its own.
            if self._paths.get(reader.add(directory[:-1], DIRECTORY_MASK)) == directory:
                return
        except OSError as error:
            if error.errno in _GONE:
                return
        if self._watch_below(reader, directory):
            self._report()
        self._outbox.walk(self._key, directory, event=event, closed=closed)

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
        if self._turns.wait_stopped(self._rebuilt_at + 2 * self._rebuild_seconds - time.monotonic()):
            return
        began = time.monotonic()
        if reader.add(self._root, ROOT_MASK) != self._root_wd:
            raise self._gone()
        with self._lock:
            before = set(self._paths)
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
        while directories and not self._turns.stopped():
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
        self._retry_at = time.monotonic() + self._retry_seconds
        healed = False
        for directory in self._unwatched.directories():
            try:
                reader.add(directory[:-1], DIRECTORY_MASK)
            except OSError as error:
                if error.errno in _GONE:
                    self._unwatched.drop(directory)
                if error.errno == errno.ENOSPC or self._turns.stopped():
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
            if reader.kernel_watches() >= ours or self._turns.wait_stopped(0.5):
                return
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
