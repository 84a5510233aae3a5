"""The perceptual hash and the fingerprint of one video, in one opening of the file.

Runs in decode processes only, where a broken file may crash or hang it. Importing this module is cheap and loads
neither PyAV nor numpy, so that the daemon can name the work that it sends out; only the work itself loads them.
"""

from __future__ import annotations

import os

from mediawatchd.hashing.descriptor import Altered, Unreadable, check_unchanged, failure, open_unchanged
from mediawatchd.hashing.fingerprint import pack
from mediawatchd.model import FINGERPRINT, PERCEPTUAL_HASH, Changed, Failed, PerceptuallyHashed, Task


def attempt(task: Task, video_phash: bool, fingerprint: bool) -> PerceptuallyHashed | Failed | Changed:
    """Hash the task's file if it is, and stays, the file of the task's stamp. May hang, crash or run out of memory."""
    lacks = PERCEPTUAL_HASH * video_phash | FINGERPRINT * fingerprint
    try:
        descriptor = open_unchanged(task)
        try:
            try:
                hashed = _hashed(descriptor, task, video_phash, fingerprint)
            finally:
                check_unchanged(descriptor, task)  # also after an error: half a file, still being written, has many
        finally:
            os.close(descriptor)
    except Altered as altered:
        return altered.outcome(task)
    except Unreadable as unreadable:
        return Failed(task.file_id, task.stamp, lacks, unreadable.problem, final=True)
    except OSError as error:
        return failure(task, lacks, error)
    return hashed


def _hashed(descriptor: int, task: Task, video_phash: bool, fingerprint: bool) -> PerceptuallyHashed:
    from mediawatchd.hashing.looks import looks_of  # noqa: PLC0415 - PyAV is for decode processes only

    string, found = looks_of(descriptor, task.path, video_phash, fingerprint)
    lacks = PERCEPTUAL_HASH * video_phash | FINGERPRINT * fingerprint
    return PerceptuallyHashed(task.file_id, task.stamp, lacks, string, None if found is None else pack(found))
