"""Work for decode processes that goes wrong on purpose, as broken files make FFmpeg go wrong.

Functions of the kind that `DecodePool.submit` takes; they are loaded in the decode process, so this module
imports little. Each leaves an empty file beside the task's, by which attempts are counted.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import time
from dataclasses import replace
from typing import NoReturn

from mediawatchd.hashing.telling import tell
from mediawatchd.model import (
    PHASH,
    PROBE,
    AudioStream,
    Changed,
    Failed,
    Outcome,
    PerceptuallyHashed,
    Probe,
    Probed,
    Problem,
    Task,
)

LIMITS = (
    resource.RLIMIT_CORE,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NPROC,
    resource.RLIMIT_NOFILE,
    resource.RLIMIT_DATA,
)
NOTHING = Probe(None, None, None, None, None, None)
LONGEST = replace(NOTHING, audio=AudioStream("aac", 2, 48_000, *(["\U0001f600" * 500] * 4)))


def attempts(path: bytes) -> list[int]:
    """The processes that had the file, one for each attempt."""
    folder, name = os.path.split(os.fsdecode(path))
    marks = (found.removeprefix(name).split("@") for found in os.listdir(folder) if found.startswith(f"{name}@"))
    return [int(process) for _, _, process in sorted(marks, key=lambda mark: int(mark[1]))]


def _begin(task: Task) -> int:
    number = len(attempts(task.path)) + 1
    os.mknod(task.path + f"@{number}@{os.getpid()}".encode())
    return number


def behave(task: Task) -> Outcome:
    _begin(task)
    return Changed(task.file_id, task.stamp, task.path, None)


def die(task: Task, signal_number: int, times: int = 1000) -> Outcome:
    """Die of a signal in the first so many attempts."""
    if _begin(task) <= times:
        os.kill(os.getpid(), signal_number)
        time.sleep(60)
    return Changed(task.file_id, task.stamp, task.path, None)


def hang(task: Task) -> NoReturn:
    """Hang in native code that holds the interpreter lock: no Python runs there any more, no signal handler either."""
    _begin(task)
    while True:
        ctypes.PyDLL(None).pause()


def tell_and_die(task: Task, before: int = 0) -> NoReturn:
    """Die when the probe is told; in the first attempts, so many, before that."""
    if _begin(task) > before and task.lacks & PROBE:
        tell(Probed(task.file_id, task.stamp, NOTHING))
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)


def tell_and_hang(task: Task, seconds: float = 0) -> NoReturn:
    """Hang when the probe is told, which may be as long as probes get, and may take so long."""
    time.sleep(seconds)
    tell(Probed(task.file_id, task.stamp, LONGEST))
    hang(task)


def tell_and_hash(task: Task) -> Outcome:
    tell(Probed(task.file_id, task.stamp, NOTHING))
    return PerceptuallyHashed(task.file_id, task.stamp, PHASH, "hash", None)


def eat_memory(task: Task) -> Outcome:
    _begin(task)
    eaten = []
    while True:
        eaten.append(bytearray(16 * 1024 * 1024))


def spin(task: Task) -> NoReturn:
    _begin(task)
    while True:
        pass


def report_no_memory(task: Task) -> NoReturn:
    """As FFmpeg reports that it got no memory."""
    import av.error  # noqa: PLC0415 - this module is loaded outside decode processes too

    _begin(task)
    raise av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")


def go_wrong(task: Task) -> NoReturn:
    _begin(task)
    raise KeyError("a fault of ours")


def describe_process(task: Task) -> Outcome:
    """What the process may do, as the text of a problem."""
    with open("/proc/self/status", encoding="ascii") as status:
        privileges = next(line.split()[1] for line in status if line.startswith("NoNewPrivs"))
    with open("/proc/self/oom_score_adj", encoding="ascii") as score:
        first_to_be_killed = score.read().strip()
    facts = (
        [resource.getrlimit(limit)[1] for limit in LIMITS],
        privileges,
        first_to_be_killed,
        os.readlink("/proc/self/fd/0"),
        signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    )
    return Failed(task.file_id, task.stamp, PROBE, Problem("decode", repr(facts)), final=True)
