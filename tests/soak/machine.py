"""The machine that is soaked: disks on loop devices, a small disk for the catalog, and limits of its own.

Everything is mounted in the mount namespace that this process is the first of, and goes away with it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from tests.disks import Disk, fill_up
from tests.media import make_audio, make_video
from tests.running import Running
from tests.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

DISK_BYTES = 512_000_000
CATALOG_MB = 64
WATCH_LIMIT = 1_000_000
SETTINGS = {"watch": {"settle_seconds": 0.1}, "missing": {"hold_share": 0.5, "hold_files": 40}}


class _Process(NamedTuple):
    """`began` tells it from a later one of the same number."""

    pid: int
    began: bytes
    command: bytes


class Machine:
    """The roots are `media` and `media2` on one disk, with `drive` mounted below `media`, and `usb` on its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.media, self.media2, self.usb = (folder / name for name in ("media", "media2", "usb"))
        self.outside = folder / "elsewhere"
        for directory in (self.media, self.media2, self.outside):
            directory.mkdir()
        self.roots = [self.media, self.media2, self.usb]
        self.usb_disk = Disk(folder / "usb.image", self.usb, size_bytes=DISK_BYTES)
        self.drive_disk = Disk(folder / "drive.image", self.media / "drive", size_bytes=DISK_BYTES)
        self.other_disk = Disk(folder / "other.image", folder / "other", size_bytes=DISK_BYTES)
        (folder / "other" / "another film.mkv").write_bytes(b"on another disk")
        self.other_disk.unmount(lazily=False)
        self._state = folder / "daemon" / "state"
        self._state.mkdir(parents=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={CATALOG_MB}m,mode=755", "soak", self._state)
        self._holder = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.write(b"here\n")
        self._holder.stdin.flush()
        self._holder.stdout.readline()  # it stands in its namespace now
        self._inside = ["nsenter", "--user", "--preserve-credentials", "--target", str(self._holder.pid)]
        self.daemon = Running(folder / "daemon", self.roots, SETTINGS, self._inside)
        self.killed: Counter[str] = Counter()
        """How many processes of each kind were sent a SIGKILL that was to be survived."""
        self._bereaved: list[_Process] = []

    def end(self) -> None:
        """What runs is ended; mounts and loop devices go with the namespace."""
        if self.daemon.process is not None:
            with suppress(ProcessLookupError):
                os.kill(self.daemon.process.pid, signal.SIGCONT)
            self.daemon.kill()
        self._holder.kill()
        self._holder.wait()

    def kill_daemon(self) -> None:
        self._bereaved += filter(None, (_process(pid) for pid, _ in self._children()))
        self.daemon.kill()
        self.killed["daemon"] += 1

    def kill(self, kind: str, pids: list[int]) -> None:
        self.killed[kind] += signal_all(pids, signal.SIGKILL)

    def left_behind(self) -> list[_Process]:
        """The processes of killed daemons that still run."""
        self._bereaved = [process for process in self._bereaved if _process(process.pid) == process]
        return self._bereaved

    def limit_watches(self, count: int) -> None:
        """Of this machine's daemon only."""
        command = f"echo {count} > /proc/sys/user/max_inotify_watches"
        _run(*self._inside, "sh", "-c", command)

    def fill_catalog_disk(self) -> None:
        self._filler = fill_up(self._state)

    def free_catalog_disk(self) -> None:
        self._filler.unlink()

    def watchers(self) -> list[int]:
        return [pid for pid, command in self._children() if b"mediawatchd.watching.child" in command]

    def decoders(self) -> list[int]:
        """The processes that decode, and not Python's own beside them."""
        others = (b"mediawatchd.watching.child", b"resource_tracker")
        return [pid for pid, command in self._children() if not any(other in command for other in others)]

    def memory_mb(self) -> tuple[float, float]:
        """What the daemon takes by itself, and with all its processes; shared memory is divided among the sharers."""
        assert self.daemon.process is not None
        own = _pss_bytes(self.daemon.process.pid)
        return own / 1e6, (own + sum(_pss_bytes(pid) for pid, _ in self._children())) / 1e6

    def _children(self) -> list[tuple[int, bytes]]:
        if self.daemon.process is None:
            return []
        found, parents = [], [self.daemon.process.pid]
        while parents:
            parent = parents.pop()
            with suppress(OSError):
                for task in os.listdir(f"/proc/{parent}/task"):
                    for child in map(int, _read(f"/proc/{parent}/task/{task}/children").split()):
                        found.append((child, _read(f"/proc/{child}/cmdline")))
                        parents.append(child)
        return sorted(found)


def footage(folder: Path) -> dict[bytes, bytes]:
    """Real media, for the decoders to have something to do."""
    makers = {"1.mkv": make_video, "2.mp4": make_video, "3.flac": make_audio, "4.mp3": make_audio}
    clips = {}
    for name, make in makers.items():
        path = make(folder / name)
        with open(path, "rb") as file:
            clips[os.fsencode(name)] = file.read()
    return clips


def signal_all(pids: list[int], number: signal.Signals) -> int:
    """Returns how many were still there."""
    reached = 0
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            reached += 1
    return reached


def wait_until_stopped(pid: int) -> None:
    wait_until(lambda: _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[0] in b"TZ", within=10)


def _process(pid: int) -> _Process | None:
    """None also for one that has ended, and nobody has asked how."""
    with suppress(OSError):
        state, *fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        if state not in b"ZX":
            return _Process(pid, fields[18], _read(f"/proc/{pid}/cmdline"))
    return None


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{command}: {os.fsdecode(done.stdout)}"


def _lines(path: str) -> list[bytes]:
    return _read(path).splitlines()


def _read(path: str) -> bytes:
    file: BinaryIO
    with open(path, "rb") as file:
        return file.read()


def _pss_bytes(pid: int) -> int:
    with suppress(OSError):
        return sum(int(line.split()[1]) * 1000 for line in _lines(f"/proc/{pid}/smaps_rollup") if line[:4] == b"Pss:")
    return 0
