"""A daemon made of prepared answers, behind a real Unix socket."""

from __future__ import annotations

import json
import socket
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import Self


class Request(NamedTuple):
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


Reply = bytes | list[bytes]


def answer(status: int = 200, body: object = None, *, chunk_bytes: int | None = None) -> bytes:
    """An answer with its length given, or in chunks of `chunk_bytes`."""
    content = json.dumps({} if body is None else body).encode()
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\n"
    if chunk_bytes is None:
        return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
    return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks(
        content[at : at + chunk_bytes] for at in range(0, len(content), chunk_bytes)
    )


def chunks(pieces: Iterable[bytes]) -> bytes:
    return b"".join(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nTrailer: x\r\n\r\n"


def refusal(status: int, code: str, text: str, hint: str = "", **detail: object) -> bytes:
    return answer(status, {"error": text, "code": code, "hint": hint, **detail})


class FakeDaemon:
    """Serves prepared answers, each call of a route taking the next one; the last one stays.

    An answer may be bytes, a list of bytes sent one after the other, or what a function makes of the request.
    """

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.requests: list[Request] = []
        self._routes: dict[tuple[str, str], list[Reply | Callable[[Request], Reply]]] = defaultdict(list)
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def on(self, method: str, path: str, *replies: Reply | Callable[[Request], Reply]) -> Self:
        self._routes[method, path] = list(replies)
        return self

    def start(self) -> Self:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, args=(self._listener,), name="fake-daemon")
        self._thread.start()
        return self

    def stop(self) -> None:
        if self._listener is not None and self._thread is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._thread.join(10)
            self._listener.close()
            self._listener = None

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                try:
                    self._answer(connection)
                except OSError:
                    continue  # the client has gone: its test says whether it should have

    def _answer(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            first = stream.readline().decode("ascii").split()
            if not first:
                return
            headers = {}
            while line := stream.readline().strip():
                name, _, value = line.decode("ascii").partition(":")
                headers[name.lower()] = value.strip()
            content = stream.read(int(headers.get("content-length", "0")))
        path, _, query = first[1].partition("?")
        fields = {name: values[-1] for name, values in parse_qs(query, strict_parsing=bool(query)).items()}
        request = Request(first[0], path, fields, headers, json.loads(content) if content else None)
        self.requests.append(request)
        replies = self._routes.get((request.method, path))
        reply = (replies.pop(0) if len(replies) > 1 else replies[0]) if replies else refusal(404, "not_found", "no")
        made = reply(request) if callable(reply) else reply
        for piece in [made] if isinstance(made, bytes) else made:
            connection.sendall(piece)
