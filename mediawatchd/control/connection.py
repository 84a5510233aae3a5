# cheroot's stubs leave many methods untyped.
# mypy: disallow-untyped-calls=False
"""One client's connection, and the HTTP on it: cheroot's, with what it leaves open closed.

Until a request has arrived whole, the listener's thread owns the connection; then a worker does, until the request is
answered. So a client that sends half a request holds a buffer, but no thread. What cheroot itself refuses, a
malformed request above all, is answered as JSON like everything else.
"""

from __future__ import annotations

import contextlib
import re
import socket
from typing import TYPE_CHECKING, Any

from cheroot import server as http
from cheroot import wsgi

from mediawatchd.control import answers
from mediawatchd.control.application import MOST_BODY_BYTES
from mediawatchd.control.peers import CALLER, Caller, has_left, peer_of

if TYPE_CHECKING:
    from mediawatchd.control.streams import LongCalls

MOST_HEADER_BYTES = 32 * 1024
SILENCE_SECONDS = 10.0
"""How long a client may take nothing of an answer that is being sent to it, before it is dropped."""
_LINGER_SECONDS = 0.5
_LINGER_BYTES = 4 * 1024 * 1024
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,10})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_WAITS = re.compile(rb"^expect:", re.IGNORECASE | re.MULTILINE)


class Request(http.HTTPRequest):
    """One request as cheroot parses it."""

    def read_request_headers(self) -> bool:
        if not super().read_request_headers():
            return False
        length = self.inheaders.get(b"Content-Length", b"0")
        if not (length.isascii() and length.isdigit()):
            # int() takes more than HTTP does: a sign, underscores, spaces.
            self.simple_response("400 Bad Request", "Malformed Content-Length Header.")
            return False
        if b"Transfer-Encoding" in self.inheaders:
            # Left unread it would be taken for the next request; bodies are small here and have a length.
            self.simple_response("411 Length Required", "A body needs a Content-Length.")
            return False
        return True

    def simple_response(self, status: str, msg: str = "") -> None:
        """Cheroot's own refusals. The connection ends with them."""
        number, _, name = str(status).partition(" ")
        body = answers.http_refusal(int(number), msg or name)
        self.close_connection = True
        self.conn.unread = True
        head = (
            f"HTTP/1.1 {number} {name}\r\nContent-Type: {answers.JSON}\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n\r\n"
        )
        with contextlib.suppress(OSError):
            self.conn.wfile.write(head.encode() + (b"" if getattr(self, "method", b"") == b"HEAD" else body))


class Gateway(wsgi.Gateway_10):
    """A request on its way into the application."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override] # the stub takes the base class's stub for None
        environment: dict[str, Any] = super().get_environ()
        environment[CALLER] = self.req.conn.caller
        return environment

    def respond(self) -> None:
        # Unlike cheroot's own this closes the response even when the headers can no longer be sent: a stream that
        # was never begun has a subscription and a place among the long calls to give back.
        response = self.req.server.wsgi_app(self.env, self.start_response)
        try:
            for piece in filter(None, response):
                self.write(piece)
            self.req.ensure_headers_sent()
        finally:
            if hasattr(response, "close"):
                response.close()


class Connection(http.HTTPConnection):
    """Has one owner at a time, see above. `deadline` is when a whole request must have come, on the monotonic clock."""

    RequestHandlerClass = Request
    rbufsize = MOST_HEADER_BYTES + MOST_BODY_BYTES

    def __init__(
        self, server: wsgi.Server, accepted: socket.socket, *, hosts: frozenset[str], long_calls: LongCalls
    ) -> None:
        super().__init__(server, accepted)
        accepted.settimeout(SILENCE_SECONDS)
        self.caller = Caller(peer_of(accepted), hosts, long_calls, lambda: has_left(accepted))
        self.remote_addr = self.caller.peer.address
        self.remote_port = 0
        self.ssl_env: dict[str, str] = {}
        self.deadline = 0.0
        self.unread = False

    def receive(self) -> bool:
        """Takes what has come, when the kernel says that something has; False when that is the end."""
        before = self._arrived_bytes()
        return len(self.rfile.peek(len(before) + 1)) > len(before)

    def has_request(self) -> bool:
        """Whether a request is there whole, or is so wrong that the parser had better say so now."""
        arrived = self._arrived_bytes()
        head, end, body = arrived.partition(b"\r\n\r\n")
        if not end:
            return len(arrived) > MOST_HEADER_BYTES or b"\n\n" in arrived
        length = _LENGTH.search(head)
        # With Expect the body comes only after an interim answer, which the parser gives.
        return length is None or len(body) >= min(int(length[1]), MOST_BODY_BYTES) or _WAITS.search(head) is not None

    def answer(self) -> bool:
        """Answers the request that has come; True when another may follow."""
        return bool(self.communicate())

    def close(self) -> None:
        """Ends the connection; may be called twice. Waits half a second at most, and only after a refusal."""
        if self.unread and self.socket.fileno() >= 0:
            self.unread = False
            with contextlib.suppress(OSError):
                self._drain()
        with contextlib.suppress(OSError):
            super().close()

    def abort(self) -> None:
        """Makes whatever the connection's owner does with it fail; any thread may call."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def _drain(self) -> None:
        # Closing with bytes unread resets the connection, and the client may lose the answer that says why.
        self.socket.shutdown(socket.SHUT_WR)
        self.socket.settimeout(_LINGER_SECONDS)
        left = _LINGER_BYTES
        while left > 0 and (piece := self.socket.recv(65_536)):
            left -= len(piece)

    def _arrived_bytes(self) -> bytes:
        arrived: bytes = self.rfile.peek(1) if self.rfile.has_data() else b""
        return arrived
