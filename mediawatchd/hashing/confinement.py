"""What a decode process may not do, settled before it sees its first file, and how it runs one.

Runs in decode processes only. FFmpeg reads files that anyone may have made: the process must not outlive the
daemon, take more memory or processor time than it was given, gain privileges, write files, start threads or
processes, or hold on to the terminal. The pool ends what takes too long; the limit of processor time is for when
the daemon itself is stopped.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import math
import os
import resource
import signal
from typing import TYPE_CHECKING

from mediawatchd.hashing.telling import tell_through

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from mediawatchd.model import Outcome, Task

OUT_OF_MEMORY = 77
"""Exit status of a process that reached its memory limit: its heap is full, so it takes no further file."""

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_FIRST_TO_BE_KILLED = "800"
_OPEN_FILES = 64  # a dozen are open while a file is read


def confine(parent: int, memory_bytes: int, sender: socket.socket) -> None:
    """Prepare this process, a child of `parent` that it tells through `sender`; pebble calls it before the first work,
    and gives up if it raises."""
    # pebble's own handlers run in Python, so they would wait for native code to return. It never may.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the daemon may block signals in its threads
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the daemon, which ends us
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_PDEATHSIG, int(signal.SIGKILL)), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:  # it died before the first prctl
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy's wheel starts a thread for every core when it is loaded
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no regular file can be written to
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))  # the kernel lets root pass
    # Memory that can be written to: unlike the address space, it does not count the libraries' own pages.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
        score.write(_FIRST_TO_BE_KILLED)  # when the machine runs out of memory: not the daemon
    tell_through(sender)
    importlib.import_module("mediawatchd.hashing.streams")  # PyAV, before the first file's time begins


def run(function: Callable[..., Outcome], task: Task, arguments: tuple[object, ...], cpu_seconds: float) -> Outcome:
    """Do one piece of work; does not return when a limit is reached, of memory or of processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(used.ru_utime + used.ru_stime + cpu_seconds) + 1  # SIGXCPU ends the process
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))
    try:
        return function(task, *arguments)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    finally:
        # A container and its streams refer to each other, and keep a decoder's pictures: a dozen films of 4K were 2 GB.
        gc.collect()
        gc.freeze()  # what is left was imported: looking through that each time would cost 9 ms
