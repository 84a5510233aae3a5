"""One pass over a root or a folder of it, a directory at a time.

Runs on the keeper's thread as a generator, so that the keeper can look at fresh hints, stop or be cancelled between
two directories. Directories are opened relative to their parent and never through a link, so whatever is renamed
or linked meanwhile, a walk cannot leave its root. A directory that cannot be read leaves its rows as they are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mediawatchd.catalog import known
from mediawatchd.watching.visitor import Covered, Visitor

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator

    from mediawatchd.watching.visitor import Subdirectory

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Walked:
    """What a walk has done so far."""

    directories: int = 0
    files: int = 0
    current: bytes = b""
    covered: list[bytes] = field(default_factory=list)
    complete: bool = False


def open_in_root(root: bytes, path: bytes) -> int:
    """Open a root, or a directory in it. Raises OSError."""
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if path == root:
        return root_fd
    try:
        return open_below(root_fd, path[len(root) :])
    finally:
        os.close(root_fd)


def open_below(root_fd: int, relative: bytes) -> int:
    """Open a directory below an open one, component by component; a link on the way is ENOTDIR or ELOOP."""
    fd = os.open(b".", OPEN_DIRECTORY, dir_fd=root_fd)
    for component in relative.split(b"/"):
        if not component:
            continue
        parent = fd
        try:
            fd = os.open(component, OPEN_DIRECTORY, dir_fd=parent)
        finally:
            os.close(parent)
    return fd


def walk(visitor: Visitor, connection: sqlite3.Connection, fd: int, path: bytes, walked: Walked) -> Generator[None]:
    """Visit the open directory `fd` at `path` and everything below it; yields after each.

    What cannot be read is told to the visitor's `unreadable`. Raises OSError when the first directory itself cannot be
    listed. `fd` stays the caller's to close: a generator that is closed before its first step runs nothing of this.
    """

    def visit(fd: int, path: bytes, row: known.KnownDirectory | None) -> list[Subdirectory]:
        walked.current = path
        subdirectories, files = visitor.directory(connection, fd, path, row)
        walked.files += files
        return subdirectories

    fds = [fd]
    try:
        levels = [visit(fd, path, known.directory(connection, path))]
        walked.directories += 1
        yield
        while levels:
            if not levels[-1]:
                levels.pop()
                if levels:
                    os.close(fds.pop())
                continue
            child = levels[-1].pop()
            try:
                fds.append(os.open(child.name, OPEN_DIRECTORY, dir_fd=fds[-1]))
            except OSError as error:
                visitor.unreadable.failed(child.path, error)
                continue
            below: list[Subdirectory] = []
            try:
                below = visit(fds[-1], child.path, child.row)
            except OSError as error:
                visitor.unreadable.failed(child.path, error)
            except Covered:
                walked.covered.append(child.path)
            levels.append(below)
            walked.directories += 1
            yield
        walked.complete = True
    finally:
        for open_fd in fds[1:]:
            os.close(open_fd)
