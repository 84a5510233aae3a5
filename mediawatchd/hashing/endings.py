"""How a piece of decode work ended: the outcome of a future of the process pool.

Called by the thread of the decode pool. Each way in which a process can die has a reason of its own here, and
says whether another attempt may end better.
"""

from __future__ import annotations

import logging
import signal
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, NamedTuple

import pebble

from mediawatchd.hashing.confinement import OUT_OF_MEMORY
from mediawatchd.model import Failed, Outcome, Problem, Reason, Task, first_of

if TYPE_CHECKING:
    from concurrent.futures import Future

log = logging.getLogger(__name__)


class Ending(NamedTuple):
    """What to tell, unless another attempt is allowed and `again` says that it is worth it.

    `is_breakdown`: the processes failed as a whole, so this was no attempt at the file.
    """

    outcome: Outcome
    again: bool = False
    is_breakdown: bool = False


def ending_of(future: Future[Outcome], task: Task) -> Ending:
    """How `future`, which is done, ended."""
    try:
        return Ending(future.result(timeout=0))
    except pebble.ProcessExpired as expired:
        return _of_dead_process(task, expired.exitcode)
    except (BrokenProcessPool, CancelledError):
        return broken(task)
    except MemoryError:
        return _of_dead_process(task, OUT_OF_MEMORY)
    except Exception as error:  # a fault of ours: told as the file's problem, so that the rest goes on
        log.exception("decode work raised path=%r", task.path)
        return Ending(_failed(task, "decode", f"It could not be read: {type(error).__name__}: {error}"))


def broken(task: Task) -> Ending:
    """The processes ended or stopped answering, and nobody can say that it was because of this file."""
    text = "The decode processes broke down while they had it; it is tried again later."
    return Ending(_failed(task, "crash", text, final=False), again=True, is_breakdown=True)


def timed_out(task: Task, limit_seconds: float) -> Failed:
    """It was killed for taking too long."""
    text = f"Decoding took longer than {limit_seconds:g} s (hashing.decode_timeout_seconds) and was ended."
    return _failed(task, "timeout", text)


def _of_dead_process(task: Task, status: int) -> Ending:
    if status == OUT_OF_MEMORY:
        text = "Decoding needs more memory than it may have (hashing.decode_memory_mb)."
        return Ending(_failed(task, "memory", text))
    if status == -signal.SIGXCPU:
        text = "Decoding took more processor time than it may have (hashing.decode_timeout_seconds) and was ended."
        return Ending(_failed(task, "timeout", text))
    name = signal.Signals(-status).name if -status in set(signal.Signals) else f"status {status}"
    log.warning("decode process died status=%s path=%r", name, task.path)
    if status == -signal.SIGKILL:
        # Not by us, so most likely by the kernel, for memory; perhaps for that of another process: once more.
        text = "The decode process was killed twice while it had it, most likely because memory ran out."
        return Ending(_failed(task, "memory", text), again=True)
    return Ending(_failed(task, "crash", f"The decoder crashed on it twice ({name})."), again=True)


def _failed(task: Task, reason: Reason, text: str, *, final: bool = True) -> Failed:
    return Failed(task.file_id, task.stamp, first_of(task.lacks), Problem(reason, text), final)
