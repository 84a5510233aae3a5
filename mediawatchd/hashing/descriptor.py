"""One media file, opened for reading, and whether it is still the file that the task means.

Runs in hash threads and in decode processes. It must never open anything but a regular file, follow a
symbolic link, wait for a writer, or ask for more than reading: so a path is looked at before it is opened,
and what was opened is looked at again after it was read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from mediawatchd import model
from mediawatchd.model import Changed, Failed, Problem, Stamp, Task

if TYPE_CHECKING:
    from collections.abc import Iterator

FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
"""How media is opened; non-blocking, so that a FIFO that took the place of a file cannot hold a thread."""

_GONE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP))
_DENIED = frozenset((errno.EACCES, errno.EPERM))
_OUT_OF_FILES = frozenset((errno.EMFILE, errno.ENFILE))


class Altered(Exception):
    """The file is not, or did not stay, as the task's stamp says; `found` is None when it is gone."""

    def __init__(self, found: Stamp | None) -> None:
        super().__init__(found)
        self.found = found

    def outcome(self, task: Task) -> Changed:
        """What to tell of it."""
        return Changed(task.file_id, task.stamp, task.path, self.found)


class Unreadable(Exception):
    """The file could be read, but is no media, or broken; `problem` says how."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


def stamp_of(status: os.stat_result) -> Stamp | None:
    """The stamp of a regular file; None for anything else, which as a media file is not there."""
    return model.stamp_of(status) if stat.S_ISREG(status.st_mode) else None


def agrees(stamp: Stamp, status: os.stat_result) -> bool:
    """Whether `status` is of the file of `stamp`; fields that `stamp` does not know (None) are not compared."""
    found = stamp_of(status)
    return found is not None and (
        found == stamp or all(was is None or was == now for was, now in zip(stamp, found, strict=True))
    )


@contextlib.contextmanager
def opened(path: bytes) -> Iterator[int]:
    """The descriptor of a file that nobody has a stamp of, open inside the block.

    Raises `Unreadable` for what is no regular file, and OSError.
    """
    if stamp_of(os.lstat(path)) is None:
        raise Unreadable(Problem("not_media", "Not a regular file."))
    descriptor = os.open(path, FLAGS)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_unchanged(task: Task) -> int:
    """Open the task's file and return the descriptor; the caller closes it.

    Raises `Altered` when the stamp is another one or the file is gone, and OSError. A FIFO, socket or
    device is not opened: opening alone can wake a writer or move a tape.
    """
    try:
        status = os.lstat(task.path)
        if not agrees(task.stamp, status):
            raise Altered(stamp_of(status))
        return os.open(task.path, FLAGS)
    except OSError as error:
        if error.errno in _GONE:
            raise Altered(None) from None
        raise


def check_unchanged(descriptor: int, task: Task) -> None:
    """Raise `Altered` when what was read is not what the task means.

    Asked after reading. A change time cannot be set back, so where it is known this alone also tells of
    a file that was exchanged between the look and the opening.
    """
    status = os.fstat(descriptor)
    if not agrees(task.stamp, status):
        raise Altered(stamp_of(status))


def failure(task: Task, lacks: int, error: OSError) -> Failed:
    """What to tell of a file that the system would not open or read; it is tried again later."""
    name = errno.errorcode.get(error.errno or 0, "unknown error")
    if error.errno in _DENIED:
        text = "Permission denied: let the daemon's user read the file and enter every folder above it."
        return Failed(task.file_id, task.stamp, lacks, Problem("permission", text), final=False)
    if error.errno in _OUT_OF_FILES:
        text = f"Too many files are open ({name}): raise the limit of open files, LimitNOFILE= in the unit."
    else:
        said = error.strerror or "the system gave no reason"
        text = f"Reading failed: {said} ({name}); look for errors of its disk or server in the kernel log."
    return Failed(task.file_id, task.stamp, lacks, Problem("io", text), final=False)
