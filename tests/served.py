"""A folder served at another place, read-only, by a process that can be stopped: as a network server that hangs.

`with served(source, place) as server:` mounts it; between `server.hang()` and `server.answer()` every call there
hangs; `server.refuse` makes some calls fail at one path, or never be answered. The process speaks the protocol of
<linux/fuse.h>, version 7.31, itself. Nothing is cached, so that each look asks it. Needs root and /dev/fuse.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

_IN = struct.Struct("=IIQQIII4x")  # length, opcode, unique, node, uid, gid, pid
_OUT = struct.Struct("=IiQ")  # length, error, unique
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _STATFS, _RELEASE = 1, 2, 3, 14, 15, 17, 18
_FLUSH, _INIT, _OPENDIR, _READDIR, _RELEASEDIR, _INTERRUPT, _BATCH_FORGET = 25, 26, 27, 28, 29, 36, 42
_CALLS = {"lookup": _LOOKUP, "stat": _GETATTR, "open": _OPEN, "read": _READ, "enter": _OPENDIR, "list": _READDIR}
_UNMOUNT_FORCE, _UNMOUNT_DETACH = 1, 2
NEVER = 0
"""In place of an error number: there is no answer at all."""


class Server:
    """Owned by the test."""

    def __init__(self, source: Path, place: Path) -> None:
        self._place = place
        self._refusals = place.with_name(place.name + ".refusals")
        self._refuse("")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.served", source, place, self._refusals], cwd=Path(__file__).parents[1]
        )
        wait_until(self._is_mounted, within=20)

    def refuse(self, path: str, number: int, *calls: str) -> None:
        """From here on these calls fail with this error number at a path below the source and all below it; without
        any call named, all do. It takes the place of what was refused before."""
        wanted = " ".join(str(_CALLS[call]) for call in calls or _CALLS)
        self._refuse(f"{number}\n{wanted}\n{path}")

    def allow(self) -> None:
        """Nothing fails any more; what was never answered never will be."""
        self._refuse("")

    def hang(self) -> None:
        """From here on nothing answers."""
        os.kill(self._process.pid, signal.SIGSTOP)
        wait_until(self._is_stopped, within=10)

    def answer(self) -> None:
        """What hangs goes on."""
        os.kill(self._process.pid, signal.SIGCONT)

    def end(self) -> None:
        """Every call that hangs fails, and the mount goes."""
        self._process.kill()
        self._process.wait()
        with suppress(OSError):
            unmount(self._place)

    def _refuse(self, what: str) -> None:
        written = self._refusals.with_suffix(".new")
        written.write_text(what)
        written.rename(self._refusals)

    def _is_mounted(self) -> bool:
        assert self._process.poll() is None
        return os.path.ismount(self._place)

    def _is_stopped(self) -> bool:
        return Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


@contextmanager
def served(source: Path, place: Path) -> Iterator[Server]:
    """A server that answers; it ends with the block."""
    place.mkdir(exist_ok=True)
    server = Server(source, place)
    try:
        yield server
    finally:
        server.end()


def unmount(place: Path) -> None:
    """Takes the mount away although it is in use. Raises OSError when nothing is mounted there."""
    _call("umount2", os.fsencode(place), _UNMOUNT_FORCE | _UNMOUNT_DETACH)


def _call(name: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class _Folder:
    """Owned by the serving process: the path that each node stands for."""

    def __init__(self, source: bytes, refusals: bytes) -> None:
        self._source = source
        self._refusals = refusals
        self._paths = {1: source}
        self._nodes = {source: 1}

    def answer(self, opcode: int, node: int, body: bytes) -> bytes | None:
        """The answer to a request; None where none is to be given. Raises OSError as the folder does."""
        path = self._paths.get(node, b"")
        number = self._refusal(opcode, path + b"/" + body.rstrip(b"\0") if opcode == _LOOKUP else path)
        if number == NEVER:
            return None
        if number is not None:
            raise OSError(number, "refused")
        if opcode in {_FORGET, _BATCH_FORGET}:
            return None
        if opcode in {_RELEASE, _RELEASEDIR, _FLUSH}:
            return b""
        if opcode in {_OPEN, _OPENDIR}:
            return struct.pack("=QII", 0, 0, 0)
        if opcode == _INIT:
            return struct.pack("=IIIIHHIIHHI28x", 7, 31, 65_536, 0, 16, 12, 65_536, 1, 0, 0, 0)
        if opcode == _LOOKUP:
            return self._entry(path + b"/" + body.rstrip(b"\0"))
        if opcode == _GETATTR:
            return struct.pack("=QII", 0, 0, 0) + _attributes(path)
        if opcode == _STATFS:
            return struct.pack("=QQQQQIII28x", 1, 1, 1, 1, 1, 512, 255, 512)
        if opcode in {_READ, _READDIR}:
            _, offset, size = struct.unpack_from("=QQI", body)
            return self._content(path, offset, size) if opcode == _READ else self._entries(path, offset, size)
        raise OSError(errno.ENOSYS, "not served")

    def _refusal(self, opcode: int, path: bytes) -> int | None:
        """The error number of a call that is to fail."""
        with open(self._refusals, "rb") as file:
            number, _, rest = file.read().partition(b"\n")
        calls, _, place = rest.partition(b"\n")
        refused = (path + b"/").startswith(os.path.join(self._source, place, b""))
        return int(number) if refused and b"%d" % opcode in calls.split() else None

    def _entry(self, path: bytes) -> bytes:
        attributes = _attributes(path)
        node = self._nodes.setdefault(path, len(self._nodes) + 1)
        self._paths[node] = path
        return struct.pack("=QQQQII", node, 0, 0, 0, 0, 0) + attributes

    @staticmethod
    def _content(path: bytes, offset: int, size: int) -> bytes:
        with open(path, "rb") as file:
            return os.pread(file.fileno(), size, offset)

    @staticmethod
    def _entries(path: bytes, offset: int, size: int) -> bytes:
        answer = b""
        for number, name in list(enumerate(sorted(os.listdir(path)), 1))[offset:]:
            kind = os.lstat(path + b"/" + name).st_mode >> 12
            entry = struct.pack("=QQII", number, number, len(name), kind) + name
            entry += bytes(-len(entry) % 8)
            if len(answer) + len(entry) > size:
                break
            answer += entry
        return answer


def _attributes(path: bytes) -> bytes:
    status = os.lstat(path)
    times = [divmod(each, 1_000_000_000) for each in (status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns)]
    seconds, nanoseconds = zip(*times, strict=True)
    return struct.pack(
        "=QQQ3Q3IIIIIIII", status.st_ino, status.st_size, status.st_blocks, *seconds, *nanoseconds,
        status.st_mode, status.st_nlink, status.st_uid, status.st_gid, 0, 4096, 0,
    )  # fmt: skip


def _serve(source: bytes, place: bytes, refusals: bytes) -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    options = b"fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % device
    _call("mount", b"served", place, b"fuse", 1, options)
    folder = _Folder(source, refusals)
    while True:
        try:
            request = os.read(device, 1 << 17)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return  # unmounted
            if error.errno in {errno.ENOENT, errno.EINTR}:
                continue  # who asked has given up
            raise
        _, opcode, unique, node, *_ = _IN.unpack_from(request)
        number, answer = 0, None
        try:
            if opcode == _INTERRUPT:  # who asked is being ended: as on an NFS mount, that must not wait
                [unique] = struct.unpack_from("=Q", request, _IN.size)
                raise InterruptedError(errno.EINTR, "interrupted")
            answer = folder.answer(opcode, node, request[_IN.size :])
            if answer is None:
                continue
        except OSError as error:
            number, answer = error.errno or errno.EIO, b""
        with suppress(FileNotFoundError):
            os.write(device, _OUT.pack(_OUT.size + len(answer), -number, unique) + answer)


if __name__ == "__main__":
    _serve(*map(os.fsencode, sys.argv[1:]))
