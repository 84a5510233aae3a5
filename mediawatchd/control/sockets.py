"""The sockets that requests come in by: bound here, or handed over by systemd.

Used by the thread that starts and stops the daemon. A Unix socket is never taken from a daemon that still answers on
it, has its mode and group before anybody can connect, and is removed at the end only if it is still the one made here.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import socket
import stat
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.errors import SocketUnavailable
from mediawatchd.paths import printable

if TYPE_CHECKING:
    from collections.abc import Callable

BACKLOG = 128
_LONGEST_PATH_BYTES = 107
_ANSWER_SECONDS = 2.0


class Bound(NamedTuple):
    """A listening socket that does not block. `release` undoes in the file system what binding did there."""

    socket: socket.socket
    hosts: frozenset[str]
    """The names and addresses that clients may know it by; empty for a Unix socket."""
    release: Callable[[], None]

    @property
    def kind(self) -> str:
        return "unix" if self.socket.family == socket.AF_UNIX else "tcp"


def bind_unix(path: bytes, *, mode: int, group: str | None) -> Bound:
    """Listens at `path`; `group` is a name or a number. Raises SocketUnavailable."""
    shown = printable(path)
    if len(path) > _LONGEST_PATH_BYTES:
        raise SocketUnavailable(
            f"the control socket's path has {len(path)} bytes, at most {_LONGEST_PATH_BYTES} are possible: {shown}",
            hint="Choose a shorter path as `control: socket`.",
        )
    gid = None if group is None else _group_id(group)
    _remove_stale(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(path)
        if gid is not None:
            os.chown(path, -1, gid)
        os.chmod(path, mode)
        identity = _identity(path)
        # Until here nobody could connect, whatever the mode was.
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        if bound.getsockname():
            with contextlib.suppress(OSError):
                os.unlink(path)
        bound.close()
        raise SocketUnavailable(
            f"the control socket {shown} cannot be made: {error.strerror}",
            hint="Its folder must exist and be writable for this user, who must be in the group it is given.",
        ) from error
    return Bound(bound, frozenset(), lambda: _remove(path, identity))


def bind_tcp(host: str, port: int) -> Bound:
    """Listens on one address of `host`, IPv4 before IPv6; `::` takes both. Raises SocketUnavailable."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise SocketUnavailable(
            f"`server: host` {host!r} is no address of this machine: {error.strerror}",
            hint="Give an address, such as 127.0.0.1 or ::1.",
        ) from error
    refusal = OSError(errno.EADDRNOTAVAIL, "no address")
    for family, kind, protocol, _, address in sorted(found, key=lambda info: info[0] != socket.AF_INET):
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
            bound.bind(address)
            bound.listen(BACKLOG)
            bound.setblocking(False)
        except OSError as error:
            bound.close()
            refusal = error
        else:
            return Bound(bound, frozenset({host.lower(), bound.getsockname()[0]}), lambda: None)
    raise SocketUnavailable(
        f"cannot listen on {host} port {port}: {refusal.strerror}",
        hint="Choose another port as `server: port` or with --port (make run PORT=8081); `none` does without one.",
    ) from refusal


def adopt(descriptor: int) -> Bound:
    """A socket that somebody else bound and keeps; it becomes ours to close. Raises SocketUnavailable."""
    hint = "The .socket unit needs ListenStream= lines only, and Accept=no."
    try:
        adopted = socket.socket(fileno=descriptor)
    except OSError as error:
        raise SocketUnavailable(f"descriptor {descriptor} is no socket: {error.strerror}", hint=hint) from error
    is_stream = adopted.type == socket.SOCK_STREAM
    if not is_stream or not adopted.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        adopted.close()
        raise SocketUnavailable(f"descriptor {descriptor} is no listening stream socket", hint=hint)
    if adopted.family not in {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6}:
        adopted.close()
        raise SocketUnavailable(f"descriptor {descriptor} is neither a Unix nor a TCP socket", hint=hint)
    adopted.set_inheritable(False)
    adopted.setblocking(False)
    is_unix = adopted.family == socket.AF_UNIX
    return Bound(adopted, frozenset() if is_unix else frozenset({adopted.getsockname()[0]}), lambda: None)


def _remove_stale(path: bytes) -> None:
    """Removes a socket that nobody listens on any more; raises SocketUnavailable for anything else that is there."""
    shown = printable(path)
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise SocketUnavailable(
                f"{shown} is there already, and is no socket", hint="Move it away, or choose another `control: socket`."
            )
    except OSError:
        return  # nothing is there, or binding will say what is wrong
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_ANSWER_SECONDS)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):
                os.unlink(path)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            # Not allowed, or too busy to answer: either way somebody else's.
            reason = f"the socket {shown} belongs to another program: {error.strerror or error}"
        else:
            reason = f"another program answers on the socket {shown}"
    raise SocketUnavailable(reason, hint="Stop the other daemon, or choose another `control: socket`.")


def _remove(path: bytes, identity: tuple[int, int] | None) -> None:
    if identity is not None and _identity(path) == identity:
        with contextlib.suppress(OSError):
            os.unlink(path)


def _identity(path: bytes) -> tuple[int, int] | None:
    # The inode cannot be somebody else's by now: the kernel keeps it for as long as our socket is open.
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _group_id(group: str) -> int:
    try:
        return int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise SocketUnavailable(
            f"there is no group {group!r}", hint="Correct `control: group`, or create the group."
        ) from None
