"""What `doctor` finds, and the checks that need no running daemon: limits, mounts, rights on a folder.

Imported by mediawatchctl, so it stays light. What is checked here is as the calling process sees it: its user, its
mount table, its user namespace.
"""

from __future__ import annotations

import grp
import os
import stat
from typing import NamedTuple

from mediawatchd.paths import printable, shell_word
from mediawatchd.watching import limits

TYPE_CHECKING = False  # as typing has it; importing that costs 5 ms of the 80
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    Level = Literal["error", "warning", "ok"]

LEVELS = ("error", "warning", "ok")
QUEUED_EVENTS = "/proc/sys/fs/inotify/max_queued_events"
FSTAB = "/etc/fstab"
MOUNTINFO = "/proc/self/mountinfo"


class Finding(NamedTuple):
    """One line of the doctor. `fix` is a command to run or a setting to change; empty when nothing is to be done."""

    level: Level
    check: str
    text: str
    fix: str = ""


def inotify_limits(directories: int) -> Iterator[Finding]:
    """Whether the kernel lets this user watch so many directories."""
    watches, instances, queued = limits.watches_limit(), limits.instances_limit(), _number(QUEUED_EVENTS)
    if watches is None or instances is None:
        yield Finding("warning", "inotify", "the kernel does not say how many directories may be watched")
        return
    if watches < directories:
        text = f"{directories:,} directories are to be watched, and the limit is {watches:,} for all programs of a user"
        yield Finding("error", "inotify", text, f"sudo {limits.watches_hint(directories)}; {_persist()}")
    elif watches < 2 * directories:
        text = f"{directories:,} directories of {watches:,} that may be watched: it will soon be too little"
        yield Finding("warning", "inotify", text, f"sudo {limits.watches_hint(2 * directories)}; {_persist()}")
    else:
        yield Finding("ok", "inotify", f"{watches:,} directories may be watched, the roots have {directories:,}")
    if instances < 16:
        text = f"a user may have only {instances} inotify instances, and each root needs one"
        yield Finding("warning", "inotify", text, f"sudo {limits.instances_hint()}; {_persist()}")
    if queued is not None and queued < min(directories, 131_072):
        text = (
            f"the kernel queues {queued:,} events: a change to all directories at once would lose some, and cost a walk"
        )
        yield Finding("warning", "inotify", text, f"sudo sysctl fs.inotify.max_queued_events=131072; {_persist()}")


def access(path: bytes) -> Finding | None:
    """What keeps this process from listing and entering a folder; None when nothing does. Blocks as its disk does."""
    name, word = printable(path), shell_word(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.stat(b".", dir_fd=descriptor)
            with os.scandir(descriptor) as entries:
                next(entries, None)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return Finding("error", "root", f"{name} is not there", mount_fix(path) or "Correct scan_dirs.")
    except NotADirectoryError:
        return Finding("error", "root", f"{name} is not a folder", "Correct scan_dirs.")
    except PermissionError:
        return Finding("error", "root", f"{name} may not be listed and entered", access_fix(word))
    except OSError as error:
        return Finding(
            "error", "root", f"{name} cannot be read: {error.strerror}", f"Check the disk: findmnt -T {word}"
        )
    return None


def access_fix(word: str) -> str:
    """The commands that let this process's user read what a shell word names."""
    return f"sudo setfacl -R -m u:{os.geteuid()}:rX,d:u:{os.geteuid()}:rX {word}"


def mount_fix(path: bytes) -> str:
    """The command that mounts what /etc/fstab has at a path or nearest above it and is not mounted; empty for none."""
    mounted = {_unescaped(fields[4]) for fields in _lines(MOUNTINFO) if len(fields) > 4}
    wanted = [_unescaped(fields[1]) for fields in _lines(FSTAB) if len(fields) > 2 and fields[1].startswith(b"/")]
    above = [point for point in wanted if point != b"/" and (path + b"/").startswith(point.rstrip(b"/") + b"/")]
    nearest = max(above, key=len, default=b"")
    return f"sudo mount {shell_word(nearest)}" if nearest and nearest not in mounted else ""


def control_socket(path: bytes) -> Finding:
    """Whether the socket is where it should be, and who may use it."""
    name = printable(path)
    try:
        status = os.stat(path)
    except OSError as error:
        text = f"{name} cannot be seen: {error.strerror}"
        return Finding("error", "socket", text, "sudo systemctl restart mediawatchd")
    if not stat.S_ISSOCK(status.st_mode):
        return Finding("error", "socket", f"{name} is no socket any more", "sudo systemctl restart mediawatchd")
    actual = stat.S_IMODE(status.st_mode)
    if actual & 0o002:
        text = f"every user of this machine may steer the daemon: {name} has mode {actual:04o}"
        return Finding("warning", "socket", text, "Set `control: {mode: 0660}` in the configuration, and restart.")
    who = f"the members of group {_group_name(status.st_gid)}" if actual & 0o020 else "its owner"
    return Finding("ok", "socket", f"{name} may be used by root and {who} (mode {actual:04o})")


def _persist() -> str:
    return "to keep it, put that into /etc/sysctl.d/"


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _number(path: str) -> int | None:
    try:
        with open(path, "rb") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def _lines(path: str) -> list[list[bytes]]:
    try:
        with open(path, "rb") as file:
            return [line.split() for line in file if not line.lstrip().startswith(b"#")]
    except OSError:
        return []


def _unescaped(field: bytes) -> bytes:
    """A field of fstab or mountinfo, in which blanks are written in octal."""
    parts = field.split(b"\\")
    return parts[0] + b"".join(
        bytes([int(part[:3], 8) & 0xFF]) + part[3:] if part[:3].isdigit() else b"\\" + part for part in parts[1:]
    )
