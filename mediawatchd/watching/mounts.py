"""The mount table: which file system covers a path, and whether that has changed.

The thread `mounts` waits for the kernel's signal that the table changed, and reads it again every few
seconds in case a signal was missed. It only ever reads /proc, never a root, so no dead disk can hold it up.

Whoever is about to believe that a file is gone asks `changed_since` first. That looks at the kernel's
signal itself and does not depend on how far the thread has come.
"""

from __future__ import annotations

import logging
import os
import re
import select
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mediawatchd.telemetry.heartbeat import Heartbeat

log = logging.getLogger(__name__)

MOUNTINFO = b"/proc/self/mountinfo"
REREAD_SECONDS = 10.0
_REMEMBERED_CHANGES = 256
_ESCAPE = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """One mount. `point` ends in a slash, even where a single file is mounted; `device` is what `st_dev` shows.

    `root` is the folder of the file system that is mounted here (not b"/" for a bind mount or a subvolume).
    """

    id: int
    parent: int
    device: int
    root: bytes
    point: bytes
    options: bytes
    type: str
    source: bytes
    super_options: bytes


def parse(mountinfo: bytes) -> tuple[Mount, ...]:
    """Read the text of /proc/PID/mountinfo, proc(5). Raises ValueError that shows a line it cannot read."""
    return tuple(_parse_line(line) for line in mountinfo.split(b"\n") if line)


def _parse_line(line: bytes) -> Mount:
    # A space inside a field is written \040, so single spaces separate; an empty source leaves two of them.
    fields, _, tail = line.partition(b" - ")
    try:
        number, parent, device, root, point, options, *_ = fields.split(b" ")
        kind, source, super_options = tail.split(b" ")
        major, _, minor = device.partition(b":")
        return Mount(
            id=int(number),
            parent=int(parent),
            device=os.makedev(int(major), int(minor)),
            root=_unescape(root),
            point=_as_directory(_unescape(point)),
            options=options,
            type=_unescape(kind).decode("ascii", "backslashreplace"),
            source=_unescape(source),
            super_options=_unescape(super_options),
        )
    except ValueError as error:
        raise ValueError(f"not a line of mountinfo: {line!r}") from error


def _unescape(text: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), text) if b"\\" in text else text


def _as_directory(path: bytes) -> bytes:
    return path if path.endswith(b"/") else path + b"/"


def _prefixes(directory: bytes) -> Iterator[bytes]:
    """Yield b"/", b"/a/", b"/a/b/" for b"/a/b/"."""
    end = 0
    while end := directory.find(b"/", end) + 1:
        yield directory[:end]


@dataclass(frozen=True, slots=True)
class Table:
    """The mount table at one moment, in the kernel's order. Another generation means: it may have changed."""

    generation: int
    mounts: tuple[Mount, ...]
    _visible: dict[bytes, Mount] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_visible", _visible(self.mounts))

    def covering(self, path: bytes) -> Mount:
        """Return the mount that a look at `path` ends in, as far as no symbolic link is on the way.

        Raises LookupError where none covers it, which only happens in a chroot that is no mount point.
        """
        prefix = _as_directory(path)
        while prefix:
            if (mount := self._visible.get(prefix)) is not None:
                return mount
            prefix = prefix[: prefix.rfind(b"/", 0, -1) + 1]
        raise LookupError(f"no mount covers {os.fsdecode(path)}")

    def below(self, path: bytes) -> tuple[Mount, ...]:
        """Return the mounts strictly below `path` that can be reached, not those under another mount."""
        directory = _as_directory(path)
        return tuple(
            mount for point, mount in self._visible.items() if point.startswith(directory) and point != directory
        )

    def holding(self, fd: int) -> Mount | None:
        """Return the mount that an open file or directory lies on, whatever led there.

        None when it is no longer in the table: unmounted lazily while the descriptor was open.
        """
        number = mount_id(fd)
        return next((mount for mount in self.mounts if mount.id == number), None)


def mount_id(fd: int) -> int:
    """Return the number of the mount that `fd` was opened through, the first field of mountinfo."""
    with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
        for line in file:
            if line.startswith(b"mnt_id:"):
                return int(line[7:])
    raise OSError(f"/proc/self/fdinfo/{fd} shows no mnt_id")


def _visible(mounts: tuple[Mount, ...]) -> dict[bytes, Mount]:
    """Map each mount point that a path can lead to, to the mount on top there.

    This goes the kernel's way down from the root: at each component it enters what is mounted on the mount
    it is in, and again what is mounted on top of that. So a mount hides all that hung below the one it covers.
    """
    known = {mount.id for mount in mounts}
    # The topmost mount has a parent outside this table, or itself.
    children = {
        (mount.parent if mount.parent in known and mount.parent != mount.id else None, mount.point): mount
        for mount in mounts
    }
    visible = {}
    for point in dict.fromkeys(mount.point for mount in mounts):
        reached: Mount | None = None
        for prefix in _prefixes(point):
            while child := children.get((reached.id if reached else None, prefix)):
                reached = child
        if reached is not None and reached.point == point:
            visible[point] = reached
    return visible


class Mounts:
    """Keeps the mount table current. The thread `mounts` calls `on_change`; everything else may be called from any.

    `on_change(old, new)` must not block for long: while it runs, later changes are seen by
    `current` and `changed_since`, but reported only afterwards, as one.
    """

    def __init__(
        self,
        *,
        on_change: Callable[[Table, Table], None],
        heartbeat: Heartbeat,
        path: bytes = MOUNTINFO,
        reread_seconds: float = REREAD_SECONDS,
    ) -> None:
        self._on_change = on_change
        self._heartbeat = heartbeat
        self._path = path
        self._reread_ms = round(reread_seconds * 1000)
        self._thread: threading.Thread | None = None
        self._sleep_fd = self._wake_fd = -1
        self._stopping = False

        # Guards what stands below it. The kernel tells each open file once that the table changed, so one file
        # for the thread to sleep on and another for looking under the lock: no look steals the other's signal.
        self._lock = threading.Lock()
        self._look_fd = -1
        self._signal: select.poll | None = None
        self._signalled = True
        self._text = b""
        self._table = Table(0, ())
        self._changes: deque[tuple[int, frozenset[bytes]]] = deque(maxlen=_REMEMBERED_CHANGES)

    def start(self) -> None:
        """Read the table and begin to watch it. Raises OSError when /proc cannot be read."""
        with self._lock:
            self._look_fd = os.open(self._path, os.O_RDONLY)
            self._signal = _changes_of(self._look_fd)
            self._catch_up_locked(self._signal, read_anyway=True)
            first = self._table
        self._sleep_fd = os.open(self._path, os.O_RDONLY)
        self._wake_fd = os.eventfd(0)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, args=(first,), name="mounts", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, waiting at most 5 s for an `on_change` that is under way. May be called twice."""
        if self._thread is None:
            return
        self._stopping = True
        os.eventfd_write(self._wake_fd, 1)
        self._thread.join(5)
        if self._thread.is_alive():
            # It still polls its descriptors: closed, their numbers could become another file's.
            log.warning("the mounts thread did not end within 5 s")
            return
        self._thread = None
        os.close(self._wake_fd)
        os.close(self._sleep_fd)
        with self._lock:
            self._signal = None
            os.close(self._look_fd)

    @property
    def generation(self) -> int:
        """Grows with every change of the text and with every signal of the kernel, also where the text is the same."""
        return self.current().generation

    def current(self) -> Table:
        """Return the table as last read, without looking again."""
        with self._lock:
            return self._table

    def changed_since(self, generation: int, path: bytes = b"/") -> bool:
        """Say whether a mount on the way to `path`, at it or below it may have changed since `generation`.

        True also where that is not known any more. Costs one system call while nothing happens.
        """
        with self._lock:
            if self._signal is None:
                return True
            self._catch_up_locked(self._signal)
            if generation == self._table.generation:
                return False
            if generation < self._changes[0][0] - 1:
                return True
            directory = _as_directory(path)
            return any(
                directory.startswith(point) or point.startswith(directory)
                for number, points in self._changes
                if number > generation
                for point in points
            )

    def _catch_up_locked(self, signal: select.poll, *, read_anyway: bool = False) -> None:
        # The signal is remembered until the table has been read: a look that fails must not swallow it.
        self._signalled = bool(signal.poll(0)) or self._signalled
        if not (self._signalled or read_anyway):
            return
        text = self._read_text_locked()
        for _ in range(5):
            if not signal.poll(0):
                break
            # It changed while it was being read, page by page: what was read may be neither old nor new.
            self._signalled = True
            text = self._read_text_locked()
        if self._signalled or text != self._text:
            self._replace_locked(text)
            self._signalled = False

    def _replace_locked(self, text: bytes) -> None:
        mounts = parse(text)
        # Signalled but the same text: something was unmounted and mounted again (the kernel reuses the numbers),
        # and nothing says what. Then everything counts as changed.
        changed = set(self._table.mounts).symmetric_difference(mounts)
        points = frozenset(mount.point for mount in changed) or frozenset([b"/"])
        self._text = text
        self._table = Table(self._table.generation + 1, mounts)
        self._changes.append((self._table.generation, points))

    def _read_text_locked(self) -> bytes:
        os.lseek(self._look_fd, 0, os.SEEK_SET)
        return b"".join(iter(lambda: os.read(self._look_fd, 65_536), b""))

    def _run(self, told: Table) -> None:
        poll = _changes_of(self._sleep_fd)
        poll.register(self._wake_fd, select.POLLIN)
        while not self._stopping:
            with self._lock:
                if self._signal is not None:
                    self._catch_up_locked(self._signal, read_anyway=True)
                table = self._table
            if table.generation != told.generation:
                log.info("mount table changed generation=%d mounts=%d", table.generation, len(table.mounts))
                self._on_change(told, table)
                told = table
            with self._heartbeat.idle():
                poll.poll(self._reread_ms)


def _changes_of(fd: int) -> select.poll:
    # mountinfo is always readable; an exceptional condition is how the kernel says that it changed, proc(5).
    poll = select.poll()
    poll.register(fd, select.POLLPRI | select.POLLERR)
    return poll
