"""An attempt at what a media file lacks: its probe, its perceptual hash and its fingerprint, in one opening.

Runs in decode processes only, where a broken file may crash or hang it. Importing this module is cheap and loads
neither PyAV nor numpy, so that the daemon can name the work that it sends out; only the work itself loads them.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mediawatchd.hashing.descriptor import Altered, Unreadable, check_unchanged, failure, open_unchanged
from mediawatchd.hashing.fingerprint import pack
from mediawatchd.hashing.telling import tell
from mediawatchd.model import PHASH, PROBE, Failed, Outcome, PerceptuallyHashed, Probed, Task, first_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer


def attempt(task: Task, exact: bool = True) -> Outcome:
    """Find out what the task's file lacks, if that is, and stays, the file of the task's stamp. May hang, crash or run
    out of memory.

    Of PROBE and PHASH; of that one or both. A probe that is not all is told as soon as it is made, and the outcome is
    that of the rest. `exact`: see `looks_of`.
    """
    lacks = first_of(task.lacks)  # what has failed if it ends now
    try:
        with _opened(task) as (descriptor, container):
            if lacks == PROBE:
                probed = _probed(container, task)
                if task.lacks == PROBE:
                    return probed
                check_unchanged(descriptor, task)
                tell(probed)
                lacks = task.lacks & PHASH
            return _hashed(container, task, lacks, exact=exact)
    except Altered as altered:
        return altered.outcome(task)
    except Unreadable as unreadable:
        return Failed(task.file_id, task.stamp, lacks, unreadable.problem, final=True)
    except OSError as error:
        return failure(task, lacks, error)


@contextmanager
def _opened(task: Task) -> Iterator[tuple[int, InputContainer]]:
    # PyAV is for decode processes only.
    from mediawatchd.hashing.container import open_container  # noqa: PLC0415

    descriptor = open_unchanged(task)
    try:
        try:
            with open_container(descriptor, task.path) as container:
                yield descriptor, container
        finally:
            check_unchanged(descriptor, task)  # also after an error: half a file, still being written, has many
    finally:
        os.close(descriptor)


def _probed(container: InputContainer, task: Task) -> Probed:
    from mediawatchd.hashing.streams import probe_of  # noqa: PLC0415

    return Probed(task.file_id, task.stamp, probe_of(container, task.path, task.stamp.size))


def _hashed(container: InputContainer, task: Task, lacks: int, *, exact: bool) -> PerceptuallyHashed:
    # With numpy and the like: a process that only probes needs neither their memory nor their start.
    from mediawatchd.hashing.looks import looks_of  # noqa: PLC0415

    string, found = looks_of(container, lacks, exact=exact)
    return PerceptuallyHashed(task.file_id, task.stamp, lacks, string, None if found is None else pack(found))
