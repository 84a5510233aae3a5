"""The lock file beside the catalog: one daemon at a time, and how the last one ended.

Held by the thread that opens the database, from before anything of it is touched until it is closed. The kernel's
lock counts, never the file's existence or content, so what a killed daemon left behind locks nobody out.
The content tells a person who holds it, and the next daemon what the last one noted; the file is never removed,
because removing it would let two daemons lock two files of one name.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from datetime import UTC, datetime

from mediawatchd.errors import CatalogLocked, CatalogUnreadable
from mediawatchd.paths import printable

_MODE = 0o640
_LIMIT_BYTES = 8192


class LockFile:
    """An flock(2), and notes in the file. The descriptor is closed on exec: no program started here keeps the lock."""

    def __init__(self, path: bytes) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._started = ""
        self.notes: dict[str, str] = {}

    def take(self) -> None:
        """Lock, and sign with process id and time.

        `notes` are then those of the last holder, with its own signature where it was cut off.
        Raises CatalogLocked, naming the holder, or CatalogUnreadable.
        """
        name = printable(self._path)
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, _MODE)
        except OSError as exc:
            raise CatalogUnreadable(f"The lock file {name} cannot be opened: {exc.strerror}.") from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(PermissionError):
                os.fchmod(descriptor, _MODE)  # whatever the umask
            former = _read(descriptor)
            self._descriptor = descriptor
            self._started = datetime.now(UTC).isoformat(timespec="seconds")
            self.note(**former)
        except OSError as exc:
            holder = _read(descriptor)
            os.close(descriptor)
            self._descriptor = None
            if exc.errno != errno.EWOULDBLOCK:
                raise CatalogUnreadable(f"The lock file {name} cannot be locked: {exc.strerror}.") from exc
            who = f"process {holder['pid']} since {holder['started']}" if "started" in holder else "another process"
            raise CatalogLocked(f"The catalog is in use by {who}; the lock is {name}.") from exc

    def note(self, **notes: str) -> None:
        """Replace what the next holder will be told; the signature is added."""
        self.notes = notes
        self._write({**notes, "pid": str(os.getpid()), "started": self._started})

    def release(self, **notes: str) -> None:
        """Leave these notes and unlock. Where there is no space for them none are left, which is always safe."""
        if self._descriptor is None:
            return
        with suppress(OSError):
            self._write(notes)
        os.close(self._descriptor)
        self._descriptor = None

    def _write(self, notes: dict[str, str]) -> None:
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, "".join(f"{key} {value}\n" for key, value in notes.items()).encode(), 0)


def _read(descriptor: int) -> dict[str, str]:
    """The notes; what else the file may hold is ignored."""
    text = os.pread(descriptor, _LIMIT_BYTES, 0).decode("ascii", "replace")
    pairs = (line.partition(" ") for line in text.splitlines())
    return {key: value for key, _, value in pairs if key.isidentifier() and value.isprintable()}
