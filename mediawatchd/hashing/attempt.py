"""An attempt at what a media file lacks: its probe, or its perceptual hash and its fingerprint in one opening.

Runs in decode processes only, where a broken file may crash or hang it. Importing this module is cheap and loads
neither PyAV nor numpy, so that the daemon can name the work that it sends out; only the work itself loads them.
"""

from __future__ import annotations

import os

from mediawatchd.hashing.descriptor import Altered, Unreadable, check_unchanged, failure, open_unchanged
from mediawatchd.hashing.fingerprint import pack
from mediawatchd.model import PROBE, Failed, Outcome, PerceptuallyHashed, Probed, Task


def attempt(task: Task, lacks: int, exact: bool = True) -> Outcome:
    """Find out what is asked for of the task's file, if that is, and stays, the file of the task's stamp. May hang,
    crash or run out of memory.

    `lacks` is PROBE, or of PHASH one or both. `exact`: see `looks_of`.
    """
    try:
        descriptor = open_unchanged(task)
        try:
            try:
                return _found(descriptor, task, lacks, exact=exact)
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


def _found(descriptor: int, task: Task, lacks: int, *, exact: bool) -> Probed | PerceptuallyHashed:
    # PyAV is for decode processes only.
    from mediawatchd.hashing.container import open_container  # noqa: PLC0415

    with open_container(descriptor, task.path) as container:
        if lacks & PROBE:
            from mediawatchd.hashing.streams import probe_of  # noqa: PLC0415

            return Probed(task.file_id, task.stamp, probe_of(container, task.path, task.stamp.size))
        # With numpy and the like: a process that only probes needs neither their memory nor their start.
        from mediawatchd.hashing.looks import looks_of  # noqa: PLC0415

        string, found = looks_of(container, lacks, exact=exact)
    return PerceptuallyHashed(task.file_id, task.stamp, lacks, string, None if found is None else pack(found))
