"""Files compared byte for byte: all at once, a piece of each at a time, for as long as any two are still alike.

Blocks on the disk, so it runs in a thread of its own for whoever asks. Files are opened and read as everywhere: only
ever read, and what changed meanwhile counts as not compared. What was read is not left in the page cache.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from mediawatchd.hashing.descriptor import Altered, check_unchanged, failure, open_unchanged
from mediawatchd.model import QUICK_HASH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mediawatchd.model import Task

MEMORY_BYTES = 64 * 1024 * 1024
"""For the pieces of all files together."""
LARGEST_PIECE_BYTES = 4 * 1024 * 1024
_SMALLEST_PIECE_BYTES = 4096


class Cancelled(Exception):
    """Nobody waits for the comparison any more."""


class Comparison:
    """Owned by the thread that calls `run`."""

    def __init__(self, tasks: Sequence[Task], *, is_cancelled: Callable[[], bool]) -> None:
        self.failures: dict[int, str] = {}
        """Why files could not be compared, as sentences, by file id."""
        self._tasks = {task.file_id: task for task in tasks}
        self._is_cancelled = is_cancelled
        self._open: dict[int, int] = {}
        self._piece_bytes = max(
            _SMALLEST_PIECE_BYTES, min(LARGEST_PIECE_BYTES, MEMORY_BYTES // max(1, len(self._tasks)))
        )

    def run(self) -> list[list[int]]:
        """The ids of files with the same bytes together, each file that could be compared once.

        All tasks are of one size. Raises Cancelled.
        """
        try:
            for file_id, task in self._tasks.items():
                with self._noting(file_id):
                    self._open[file_id] = open_unchanged(task)
            return [kept for part in self._alike() if (kept := list(filter(self._is_unchanged, part)))]
        finally:
            for descriptor in self._open.values():
                os.close(descriptor)

    def _alike(self) -> list[list[int]]:
        size = next((task.stamp.size for task in self._tasks.values()), 0)
        alike, alone = [list(self._open)], []
        for offset in range(0, size, self._piece_bytes):
            length = min(self._piece_bytes, size - offset)
            parts = [part for files in alike for part in self._split(files, offset, length)]
            alike = [part for part in parts if len(part) > 1]
            alone += [part for part in parts if len(part) == 1]
            if not alike:
                break
        return alike + alone

    def _split(self, files: Iterable[int], offset: int, length: int) -> list[list[int]]:
        """The files by their next piece: a dictionary compares keys of the same hash byte for byte."""
        parts: dict[bytes, list[int]] = {}
        for file_id in files:
            if self._is_cancelled():
                raise Cancelled
            with self._noting(file_id):
                parts.setdefault(self._piece(file_id, offset, length), []).append(file_id)
        return list(parts.values())

    def _piece(self, file_id: int, offset: int, length: int) -> bytes:
        descriptor, pieces = self._open[file_id], []
        at, end = offset, offset + length
        while at < end and (piece := os.pread(descriptor, end - at, at)):
            pieces.append(piece)
            at += len(piece)
        if at < end:
            check_unchanged(descriptor, self._tasks[file_id])
            raise OSError(errno.EIO, "the disk gave fewer bytes than the size of the file promises")
        with contextlib.suppress(OSError):  # advice may be refused
            os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_DONTNEED)
        return b"".join(pieces)

    def _is_unchanged(self, file_id: int) -> bool:
        with self._noting(file_id):
            check_unchanged(self._open[file_id], self._tasks[file_id])
        return file_id not in self.failures

    @contextlib.contextmanager
    def _noting(self, file_id: int) -> Iterator[None]:
        """What goes wrong with a file is noted, and the others go on."""
        try:
            yield
        except Altered as altered:
            self.failures[file_id] = "It is gone." if altered.found is None else "It changed."
        except OSError as error:
            self.failures[file_id] = failure(self._tasks[file_id], QUICK_HASH, error).problem.text
