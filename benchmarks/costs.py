"""What processes cost: CPU seconds and memory, from the kernel's own accounts.

A claim of speed here is a ratio of CPU times taken in turns: wall clocks on a shared machine say little.
"""

from __future__ import annotations

import os
import statistics
import subprocess
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


class Pair(NamedTuple):
    """CPU seconds of what is measured and of what it is measured against: the medians of several turns."""

    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


def in_turns(ours: Callable[[], float], theirs: Callable[[], float], turns: int) -> Pair:
    """Measure both so many times, one after the other, so that what disturbs one disturbs the other too.

    Each has one turn before, which counts for nothing and fills the caches.
    """
    taken = [(theirs(), ours()) for _ in range(1 + turns)][1:]
    return Pair(statistics.median(mine for _, mine in taken), statistics.median(other for other, _ in taken))


def cpu_of_command(command: Sequence[str | bytes]) -> float:
    """CPU seconds of a command and all its children; its output is thrown away. Raises when it fails."""
    # The process is waited for here and not by subprocess, because only wait4 tells what it cost.
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_utime + usage.ru_stime


def family(pid: int) -> list[int]:
    """A process and those below it that live."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := _stat(int(name))):
            parents[int(name)] = int(stat[1])
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


def cpu_of_family(pid: int) -> float:
    """CPU seconds so far of a process, of those below it, and of those that ended and were waited for."""
    stats = [stat for member in family(pid) if (stat := _stat(member))]
    return sum(int(ticks) for stat in stats for ticks in stat[11:15]) * _TICK_SECONDS


def written_bytes(pid: int) -> int:
    """Bytes that one process has written so far, to files and to whatever else."""
    with open(f"/proc/{pid}/io") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("wchar:"))


def memory_of_family(pid: int) -> int:
    """Bytes of memory of a process and those below it; what several share is divided among them (PSS)."""
    total = 0
    for member in family(pid):
        with open(f"/proc/{member}/smaps_rollup") as lines:
            total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def resident_memory(pid: int) -> int:
    """The memory, in bytes, that one process has now."""
    return _memory(pid, "VmRSS:")


def peak_memory(pid: int) -> int:
    """The most resident memory, in bytes, that one process has had since `forget_peak_memory`."""
    return _memory(pid, "VmHWM:")


def forget_peak_memory(pid: int) -> None:
    with open(f"/proc/{pid}/clear_refs", "w") as file:
        file.write("5")


def _memory(pid: int, field: str) -> int:
    with open(f"/proc/{pid}/status") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat behind the name, from the state on; None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
