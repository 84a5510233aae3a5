"""The client's side of the control socket: HTTP/1.1 over a Unix socket, in nothing but socket and json.

It runs in whatever asks the daemon, `mediawatchctl` first of all, so it must stay quick to import: no
http.client, no urllib, nothing of the daemon's own parts but its errors. A refusal arrives as the same
`Refused` that the daemon raised; that nobody answers is `NotRunning`, `SocketDenied` or `NoAnswer`.
"""

from __future__ import annotations

import binascii
import grp
import json
import os
import socket
import time

from mediawatchd.errors import MediawatchdError, Refused

TYPE_CHECKING = False  # as typing has it; importing that costs 5 ms of the 80
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from typing import Any, BinaryIO, Self

    Json = dict[str, Any]

REPLY_SECONDS = 30.0
"""How long an ordinary call may stay silent."""
_CONNECT_SECONDS = 10.0
_LONGEST_LINE = 65_536
_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/")


class NotRunning(MediawatchdError):
    """No socket of those tried is served; the message names them all."""

    exit_status = 3
    hint = (
        "Start it with `systemctl start mediawatchd`, or say where it listens with --socket PATH "
        "or MEDIAWATCHD_SOCKET (its `control: socket` setting)."
    )


class SocketDenied(MediawatchdError):
    """A daemon may be there, but this user may not open its socket."""

    exit_status = 5
    hint = "Ask as root, or as a member of the socket's group."


class NoAnswer(MediawatchdError):
    """The daemon took the connection and then said nothing for too long."""

    exit_status = 124
    hint = "It may be starting, stopping or very busy; `systemctl status mediawatchd` and its log say more."


class Disconnected(MediawatchdError):
    """The daemon closed the connection before its answer was complete; it is likely stopping."""

    exit_status = 3
    hint = "The daemon stopped or restarted meanwhile; `systemctl status mediawatchd` says which."


class NotADaemon(MediawatchdError):
    """What answered does not speak this protocol."""

    exit_status = 1
    hint = "Check that the socket is the one of mediawatchd, and that both are of the same version."


def default_sockets(environment: Mapping[str, str]) -> list[str]:
    """Where a daemon listens when nothing else was said, in the order of the search."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    own = [f"{runtime}/mediawatchd.sock"] if runtime else []
    return [*own, "/run/mediawatchd/mediawatchd.sock", "/run/mediawatchd.sock"]


def path_field(name: str, path: bytes) -> dict[str, str]:
    """A path as a field of a request: as text, or under its `_b64` twin when it is not valid UTF-8."""
    try:
        return {name: path.decode()}
    except UnicodeDecodeError:
        return {f"{name}_b64": _base64(path)}


def paths_field(name: str, paths: Sequence[bytes]) -> dict[str, list[str]]:
    """Several paths as a field of a request; one that is not valid UTF-8 puts all of them under the twin."""
    try:
        return {name: [path.decode() for path in paths]}
    except UnicodeDecodeError:
        return {f"{name}_b64": [_base64(path) for path in paths]}


def raw_path(item: Mapping[str, Any], name: str) -> bytes | None:
    """The path in a field of an answer, byte for byte; None when there is none."""
    return _raw(item.get(name), item.get(f"{name}_b64"))


def raw_paths(item: Mapping[str, Any], name: str) -> list[bytes]:
    """The paths in a list of an answer; its twin is null, or a list with null for each valid name."""
    plain = item.get(name) or []
    twins = item.get(f"{name}_b64") or [None] * len(plain)
    return [path for path in map(_raw, plain, twins) if path is not None]


def query(fields: Mapping[str, str | int]) -> str:
    """The fields as the query part of a request's target, with its question mark; empty for no fields."""
    pairs = [f"{key}={_quoted(str(value).encode('utf-8', 'surrogateescape'))}" for key, value in fields.items()]
    return "?" + "&".join(pairs) if pairs else ""


class Client:
    """Asks the daemon behind the first of `sockets` that answers. Each call has a connection of its own.

    Calls block: until connected at most 10 s, and then at most `silence_seconds` without a byte.
    """

    def __init__(self, *, sockets: Sequence[str]) -> None:
        self.sockets = tuple(sockets)

    def get(
        self, path: str, fields: Mapping[str, str | int] | None = None, *, silence_seconds: float = REPLY_SECONDS
    ) -> Json:
        """The answer to a GET."""
        return self._document(_request("GET", path + query(fields or {}), None), silence_seconds)

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, silence_seconds: float = REPLY_SECONDS) -> Json:
        """The answer to a POST."""
        return self._document(_request("POST", path, body or {}), silence_seconds)

    def items(
        self, path: str, fields: Mapping[str, str | int], *, limit: int | None, page: int = 500
    ) -> Iterator[Json]:
        """Entries of a list, fetched page after page, at most `limit`.

        A cursor that does not move ends the list rather than repeating it for ever.
        """
        left = limit
        cursor: Any = None
        while left is None or left > 0:
            wanted = page if left is None else min(page, left)
            onward = {} if cursor is None else {"after": cursor}
            answer = self.get(path, {**fields, "limit": wanted, **onward})
            entries = answer.get("items") or []
            yield from entries[:wanted]
            if left is not None:
                left -= len(entries)
            if not entries or answer.get("next") in {None, cursor}:
                return
            cursor = answer["next"]

    def lines(self, path: str, fields: Mapping[str, str | int], *, silence_seconds: float) -> Generator[Json]:
        """The lines of an endless stream as they come; ends when the daemon ends it properly."""
        request = _request("GET", path + query(fields), None, accept="application/x-ndjson")
        with _Exchange(self._connect(), request, silence_seconds) as exchange:
            exchange.read_head()
            if exchange.status >= 400:
                _refuse(exchange.status, b"".join(exchange.pieces()))
            rest = b""
            for piece in exchange.pieces():
                *whole, rest = (rest + piece).split(b"\n")
                yield from (_parsed(line) for line in whole if line.strip())

    def _document(self, request: bytes, silence_seconds: float) -> Json:
        with _Exchange(self._connect(), request, silence_seconds) as exchange:
            exchange.read_head()
            body = b"".join(exchange.pieces())
        if exchange.status >= 400:
            _refuse(exchange.status, body)
        return _parsed(body) if body else {}

    def _connect(self) -> socket.socket:
        tried: list[str] = []
        denied: str | None = None
        for path in self.sockets:
            try:
                return _opened(path)
            except PermissionError:
                denied = denied or path
                tried.append(f"  {path}: permission denied")
            except OSError as error:
                tried.append(f"  {path}: {_cause(error)}")
        if denied is not None:
            raise SocketDenied(f"this user may not open the daemon's socket {denied}", hint=_group_hint(denied))
        raise NotRunning("\n".join(["the daemon is not running; no socket answers:", *tried]))


class _Exchange:
    """One request and its answer, owned by the caller; what breaks the connection leaves it as this module's errors."""

    def __init__(self, connection: socket.socket, request: bytes, silence_seconds: float) -> None:
        self._connection = connection
        self._request = request
        self._silence_seconds = silence_seconds
        self._stream: BinaryIO
        self._headers: dict[str, str] = {}
        self.status = 0

    def __enter__(self) -> Self:
        self._connection.settimeout(self._silence_seconds)
        self._stream = self._connection.makefile("rb")
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._stream.close()
        self._connection.close()
        if isinstance(error, TimeoutError):
            raise NoAnswer(f"the daemon has not answered for {self._silence_seconds:.0f} s") from error
        if isinstance(error, OSError):
            raise Disconnected(f"the connection to the daemon broke: {_cause(error)}") from error

    def read_head(self) -> None:
        """Sends the request and reads the answer's status and headers, past any interim answer."""
        self._connection.sendall(self._request)
        while self.status < 200:
            version, _, rest = self._line().partition(b" ")
            if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
                raise NotADaemon("what listens on the socket does not speak HTTP")
            self.status = int(rest[:3])
            self._headers.clear()
            while line := self._line():
                name, _, value = line.decode("latin-1").partition(":")
                self._headers[name.strip().lower()] = value.strip()

    def pieces(self) -> Iterator[bytes]:
        """The body, each piece as it arrives."""
        if self.status in {204, 304}:
            return
        if self._headers.get("transfer-encoding", "").lower().endswith("chunked"):
            while size := _number(self._line().partition(b";")[0], base=16):
                yield self._exactly(size)
                self._line()
            while self._line():
                pass  # trailers
        elif "content-length" in self._headers:
            left = _number(self._headers["content-length"].encode(), base=10)
            while left:
                piece = self._exactly(min(left, 65_536))
                left -= len(piece)
                yield piece
        else:
            while piece := self._stream.read(65_536):
                yield piece

    def _line(self) -> bytes:
        line = self._stream.readline(_LONGEST_LINE)
        if not line.endswith(b"\n"):
            if len(line) == _LONGEST_LINE:
                raise NotADaemon("what listens on the socket does not speak HTTP")
            when = "in the middle of its answer" if self.status else "before it had answered"
            raise Disconnected(f"the daemon closed the connection {when}")
        return line.rstrip(b"\r\n")

    def _exactly(self, size: int) -> bytes:
        piece = self._stream.read(size)
        if len(piece) < size:
            raise Disconnected("the daemon closed the connection in the middle of its answer")
        return piece


def _opened(path: str) -> socket.socket:
    """A connection to the socket at `path`.

    A Unix socket whose backlog is full refuses at once with EAGAIN, whatever the time-out: that is a busy
    daemon, not an absent one, and is tried again.
    """
    deadline = time.monotonic() + _CONNECT_SECONDS
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_CONNECT_SECONDS)
            connection.connect(path)
        except BlockingIOError:
            connection.close()
            if time.monotonic() > deadline:
                raise NoAnswer(f"the daemon does not take connections on {path}") from None
            time.sleep(0.05)
        except BaseException:
            connection.close()
            raise
        else:
            return connection


def _request(method: str, target: str, body: Mapping[str, Any] | None, *, accept: str = "application/json") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", f"Accept: {accept}", "Connection: close"]
    content = b""
    if body is not None:
        content = json.dumps(body).encode()
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + content


def _refuse(status: int, body: bytes) -> None:
    """Raises the refusal that the daemon sent, whole; `detail` is what its body says besides the usual fields."""
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        content = {}
    message = str(content.pop("error", "") or f"the daemon answered with HTTP status {status}")
    code = str(content.pop("code", "") or "unknown")
    hint = str(content.pop("hint", "") or "")
    raise Refused(status, code, message, hint=hint, detail=content)


def _parsed(content: bytes) -> Json:
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise NotADaemon("the daemon's answer is not a JSON object")
    return value


def _number(text: bytes, *, base: int) -> int:
    try:
        return int(text, base)
    except ValueError:
        raise NotADaemon("the daemon's answer is garbled") from None


def _raw(plain: str | None, twin: str | None) -> bytes | None:
    if twin is not None:
        return binascii.a2b_base64(twin)
    return None if plain is None else plain.encode("utf-8", "surrogatepass")


def _base64(path: bytes) -> str:
    return binascii.b2a_base64(path, newline=False).decode("ascii")


def _quoted(value: bytes) -> str:
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in value)


def _cause(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there any more"
    return error.strerror or str(error)


def _group_hint(path: str) -> str:
    """Who may open the socket, as far as that can be seen from here: its group, or that of its folder."""
    for place in (path, os.path.dirname(path)):
        try:
            group = grp.getgrgid(os.stat(place).st_gid).gr_name
        except (OSError, KeyError):
            continue
        if group == "root":
            break  # nobody should be told to join it
        return f"Members of group {group} may: `sudo usermod -aG {group} $USER`, then log in again; or ask as root."
    return SocketDenied.hint
