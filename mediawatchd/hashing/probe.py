"""What a media file says of itself: container, duration, picture, sound, tags, VR.

Runs in decode processes only, where a broken file may crash or hang it. Importing this module is cheap and
loads no PyAV, so that the daemon can name the work that it sends out; only the work itself loads it.
"""

from __future__ import annotations

import os

from mediawatchd.hashing.descriptor import (
    FLAGS,
    Altered,
    Unreadable,
    check_unchanged,
    failure,
    open_unchanged,
    stamp_of,
)
from mediawatchd.model import PROBE, Failed, Outcome, Probe, Probed, Problem, Task


def probe(path: bytes) -> Probe:
    """What the file at `path`, which may be no symbolic link, says of itself.

    Raises `Unreadable` for what is no media or is broken, OSError, and MemoryError. FFmpeg may hang or crash
    on it: call this in a process that can be killed.
    """
    if stamp_of(os.lstat(path)) is None:
        raise Unreadable(Problem("not_media", "Not a regular file."))
    descriptor = os.open(path, FLAGS)
    try:
        return _probe(descriptor, path)
    finally:
        os.close(descriptor)


def attempt(task: Task) -> Outcome:
    """Probe the task's file if it is, and stays, the file of the task's stamp. May hang, crash or run out of memory."""
    try:
        descriptor = open_unchanged(task)
        try:
            try:
                found = _probe(descriptor, task.path)
            finally:
                check_unchanged(descriptor, task)  # also after an error: half a file, still being written, has many
        finally:
            os.close(descriptor)
    except Altered as altered:
        return altered.outcome(task)
    except Unreadable as unreadable:
        return Failed(task.file_id, task.stamp, PROBE, unreadable.problem, final=True)
    except OSError as error:
        return failure(task, PROBE, error)
    return Probed(task.file_id, task.stamp, found)


def _probe(descriptor: int, path: bytes) -> Probe:
    if os.fstat(descriptor).st_size == 0:
        raise Unreadable(Problem("not_media", "The file is empty."))
    from mediawatchd.hashing.streams import probe_of  # noqa: PLC0415 - PyAV is for decode processes only

    return probe_of(descriptor, path)
