"""The quick hash: one number for a file from its size, its head and its tail, cheap enough for every file.

Runs in the hash threads, which share nothing here: each has a buffer of its own. The floor is two reads and
one SHA-256 over 128 KiB, so everything else is counted in system calls. It must never raise across a
thread: what goes wrong with a file is an outcome.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import threading

from mediawatchd.hashing.descriptor import FLAGS, Altered, check_unchanged, failure, open_unchanged, stamp_of
from mediawatchd.model import QUICK_HASH, Failed, Hashed, Outcome, Problem, Task

CHUNK_BYTES = 65_536
"""How much of the head, and at most of the tail, counts."""

_SIZE = struct.Struct("<Q")


class _Buffer(threading.local):
    """What one thread reads into: the size, the head and the tail lie behind each other, so that one call
    hashes all three without a copy."""

    def __init__(self) -> None:
        self.whole = memoryview(bytearray(_SIZE.size + 2 * CHUNK_BYTES))
        self.body = self.whole[_SIZE.size :]
        self.head = self.body[:CHUNK_BYTES]
        self.tail = self.body[CHUNK_BYTES:]


_buffer = _Buffer()


def quick_hash(path: bytes | str) -> str:
    """SHA-256 in lower-case hex over the size (8 bytes, little-endian), the first 65,536 bytes and, of a
    larger file, the last min(65,536, size - 65,536) bytes.

    Follows symbolic links. Raises OSError, also when `path` is no regular file or shrinks while it is read.
    """
    if stamp_of(os.stat(path)) is None:
        raise OSError(f"not a regular file: {path!r}")
    descriptor = os.open(path, FLAGS & ~os.O_NOFOLLOW)
    try:
        size = os.fstat(descriptor).st_size
        digest, size_read = _digest(descriptor, size)
    finally:
        os.close(descriptor)
    if size_read < min(size, 2 * CHUNK_BYTES):
        raise OSError(f"the file became shorter while it was read: {path!r}")
    return digest.hex()


def attempt(task: Task) -> Outcome:
    """Hash the task's file if it is, and stays, the file of the task's stamp. Blocks on the disk."""
    try:
        descriptor = open_unchanged(task)
        try:
            size = task.stamp.size
            digest, size_read = _digest(descriptor, size)
            check_unchanged(descriptor, task)
        finally:
            os.close(descriptor)
    except Altered as altered:
        return altered.outcome(task)
    except OSError as error:
        return failure(task, QUICK_HASH, error)
    if size_read < min(size, 2 * CHUNK_BYTES):
        # Its size says otherwise before and after: a file system that lies, or a disk that gives up quietly.
        text = f"The disk gave fewer bytes than the file's size of {size} promises; check the file system."
        return Failed(task.file_id, task.stamp, QUICK_HASH, Problem("io", text), final=False)
    return Hashed(task.file_id, task.stamp, digest, size_read)


def _digest(descriptor: int, size: int) -> tuple[bytes, int]:
    """The hash and how many bytes of the file went into it, fewer than wanted when the file ended early."""
    buffer = _buffer
    whole = buffer.whole
    _SIZE.pack_into(whole, 0, size)
    if size <= 2 * CHUNK_BYTES:  # head and tail touch: one read
        size_read = _fill(descriptor, buffer.body[:size], 0)
    else:
        size_read = _read_ends(descriptor, buffer.head, buffer.tail, size - CHUNK_BYTES)
    if size_read < 2 * CHUNK_BYTES:
        whole = whole[: _SIZE.size + size_read]
    return hashlib.sha256(whole).digest(), size_read


def _read_ends(descriptor: int, head: memoryview, tail: memoryview, tail_offset: int) -> int:
    """Read both ends of a file; what must come from the disk is asked for at once. The number of bytes read.

    RANDOM keeps the kernel from reading ahead of what is wanted: a third fewer bytes from a cold disk. The
    first read only takes what is cached, so that warm files do not pay for the advice (5 of 150 microseconds).
    """
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        size_read = os.preadv(descriptor, (head,), 0, os.RWF_NOWAIT)
    except OSError:  # not cached, or a file system that knows neither call
        size_read = 0
    if size_read < CHUNK_BYTES:
        with contextlib.suppress(OSError):  # advice may be refused; reading says what is wrong
            os.posix_fadvise(descriptor, 0, CHUNK_BYTES, os.POSIX_FADV_WILLNEED)
            os.posix_fadvise(descriptor, tail_offset, CHUNK_BYTES, os.POSIX_FADV_WILLNEED)
        size_read = _fill(descriptor, head, 0)
    return size_read + _fill(descriptor, tail, tail_offset)


def _fill(descriptor: int, wanted: memoryview, offset: int) -> int:
    """Read until `wanted` is full or the file ends; the number of bytes read."""
    filled = os.preadv(descriptor, (wanted,), offset)
    while 0 < filled < len(wanted):  # some file systems answer in pieces
        more = os.preadv(descriptor, (wanted[filled:],), offset + filled)
        if not more:
            break
        filled += more
    return filled
