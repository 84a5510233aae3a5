"""Who asks, and whether they may.

On the Unix socket its file mode and group have decided that already; the peer's uid is known and goes into the log.
On TCP a request must be meant for this daemon (no foreign Host, which a rebound DNS name would carry, and no foreign
Origin, which any page in a browser would) and carry the secret token when there is one.
"""

from __future__ import annotations

import hmac
import ipaddress
import select
import socket
import struct
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

from mediawatchd.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediawatchd.control.streams import LongCalls

CALLER = "mediawatchd.caller"
"""The WSGI environment's key for the `Caller`."""


class Peer(NamedTuple):
    """The other end of a connection. `uid` and `pid` are those at the time it connected, None on TCP."""

    kind: Literal["unix", "tcp"]
    address: str
    uid: int | None = None
    pid: int | None = None


class Caller(NamedTuple):
    """What the application learns of a request's connection besides the request."""

    peer: Peer
    hosts: frozenset[str]
    """The names and addresses that the listener was bound to."""
    long_calls: LongCalls
    is_gone: Callable[[], bool]
    """Whether the client has closed the connection; asks the kernel, never blocks."""


class Claims(NamedTuple):
    """What a request says of itself, as its headers have it."""

    host: str | None
    origin: str | None
    authorization: str | None


def peer_of(connection: socket.socket) -> Peer:
    """The peer of an accepted connection."""
    if connection.family == socket.AF_UNIX:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, uid, _ = struct.unpack("3i", credentials)
        return Peer("unix", "", uid, pid)
    return Peer("tcp", connection.getpeername()[0])


def has_left(connection: socket.socket) -> bool:
    """Whether the peer has closed the connection, or its sending half: no HTTP client does that and reads on."""
    if connection.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return bool(poll.poll(0))


class Access:
    """May be asked from any thread. The token is looked up for each request, since a reload may change it."""

    def __init__(self, *, secret_token: Callable[[], str | None]) -> None:
        self._secret_token = secret_token

    def check(self, caller: Caller, claims: Claims) -> None:
        """Raises Refused unless this peer may ask this."""
        if caller.peer.kind == "unix":
            return
        token = self._secret_token()
        if token is not None:
            # Nothing adds this header but a program that was given the token, so the Host may be any.
            if not _holds(claims.authorization, token):
                raise Refused(
                    401, "unauthorized", "the bearer token is missing or wrong",
                    hint="Send the header `Authorization: Bearer` with the secret_token of the configuration.",
                )  # fmt: skip
        else:
            if not _is_loopback(caller.peer.address):
                raise Refused(
                    403, "remote_without_token", "other machines may ask only when a secret_token is configured",
                    hint="Set secret_token, or ask through the Unix socket.",
                )  # fmt: skip
            if not _is_ours(claims.host, caller.hosts):
                raise Refused(
                    403, "foreign_host", f"the Host header {claims.host or '(none)'!r} is not this daemon's",
                    hint="Ask by the address that `server: host` names, or configure a secret_token.",
                )  # fmt: skip
        if claims.origin is not None and not _same_origin(claims.origin, claims.host):
            raise Refused(
                403, "foreign_origin", f"a page of {claims.origin!r} may not ask this daemon",
                hint="A proxy in front of the daemon must pass the Host header on unchanged.",
            )  # fmt: skip


def _holds(authorization: str | None, token: str) -> bool:
    scheme, _, given = (authorization or "").partition(" ")
    # Compared whatever the scheme is, and in constant time: the answer's time says nothing of the token.
    same = hmac.compare_digest(given.strip().encode("latin-1", "replace"), token.encode())
    return same and scheme.lower() == "bearer"


def _is_ours(host: str | None, hosts: frozenset[str]) -> bool:
    name = _host_name(host)
    return name is not None and (name == "localhost" or name in hosts or _is_loopback(name))


def _same_origin(origin: str, host: str | None) -> bool:
    scheme, _, rest = origin.partition("://")
    return scheme in {"http", "https"} and host is not None and rest.lower() == host.lower()


def _host_name(host: str | None) -> str | None:
    """The name or address in a Host header, without port, brackets and final dot."""
    try:
        parts = urlsplit(f"//{host or ''}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        return None
    if name is None or parts.netloc != host or "@" in host:
        return None
    return name.rstrip(".")


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback
