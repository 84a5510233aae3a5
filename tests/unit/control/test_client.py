"""The client against a real socket with hand-written answers."""

from __future__ import annotations

import os
import socket
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from mediawatchd.control import client as client_module
from mediawatchd.control.client import (
    Client,
    Disconnected,
    NoAnswer,
    NotADaemon,
    NotRunning,
    SocketDenied,
    default_sockets,
    path_field,
    paths_field,
    query,
    raw_path,
    raw_paths,
)
from mediawatchd.errors import Refused
from tests.unit.cli.fake_daemon import FakeDaemon, answer, chunks, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    fake = FakeDaemon(tmp_path / "s").start()
    yield fake
    fake.stop()


@pytest.fixture
def client(daemon: FakeDaemon) -> Client:
    return Client(sockets=[daemon.path])


@pytest.mark.parametrize("chunk_bytes", [None, 1, 7, 100_000])
def test_answer_with_length_or_in_chunks(daemon: FakeDaemon, client: Client, chunk_bytes: int | None) -> None:
    body = {"name": "音楽", "many": list(range(50))}
    daemon.on("GET", "/api/x", answer(200, body, chunk_bytes=chunk_bytes))
    assert client.get("/api/x") == body


def test_answer_that_ends_with_the_connection(daemon: FakeDaemon, client: Client) -> None:
    daemon.on("GET", "/api/x", b'HTTP/1.1 200 OK\r\n\r\n{"a": 1}')
    assert client.get("/api/x") == {"a": 1}


def test_answer_that_arrives_byte_by_byte(daemon: FakeDaemon, client: Client) -> None:
    whole = answer(200, {"a": 1}, chunk_bytes=3)
    daemon.on("GET", "/api/x", [bytes([byte]) for byte in whole])
    assert client.get("/api/x") == {"a": 1}


def test_interim_answer_is_passed_over(daemon: FakeDaemon, client: Client) -> None:
    daemon.on("GET", "/api/x", b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" + answer(200, {"a": 1}))
    assert client.get("/api/x") == {"a": 1}


def test_empty_answer(daemon: FakeDaemon, client: Client) -> None:
    daemon.on("POST", "/api/x", b"HTTP/1.1 204 No Content\r\n\r\n")
    assert client.post("/api/x") == {}


def test_post_sends_json(daemon: FakeDaemon, client: Client) -> None:
    daemon.on("POST", "/api/x", answer())
    client.post("/api/x", {"path": "ü"})
    assert daemon.requests[0].body == {"path": "ü"}
    assert daemon.requests[0].headers["content-type"] == "application/json"


def test_query_survives_the_way(daemon: FakeDaemon, client: Client) -> None:
    daemon.on("GET", "/api/x", answer())
    fields = {"under": "/a b/ü&q=1#?%41+", "limit": 3}
    client.get("/api/x", fields)
    assert daemon.requests[0].query == {"under": "/a b/ü&q=1#?%41+", "limit": "3"}


def test_refusal_arrives_whole(daemon: FakeDaemon, client: Client) -> None:
    daemon.on("POST", "/api/scan", refusal(409, "scan_running", "a scan runs", "wait", job=7))
    with pytest.raises(Refused) as caught:
        client.post("/api/scan")
    error = caught.value
    assert (error.status, error.code, str(error), error.hint, error.detail) == (
        409,
        "scan_running",
        "a scan runs",
        "wait",
        {"job": 7},
    )


def test_refusal_without_json(daemon: FakeDaemon, client: Client) -> None:
    daemon.on("GET", "/api/x", b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\n<html")
    with pytest.raises(Refused, match="HTTP status 502"):
        client.get("/api/x")


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
        STREAM + b"a\r\n{",
        STREAM + b"2\r\n{}\r\n",
    ],
)
def test_answer_cut_short(daemon: FakeDaemon, client: Client, reply: bytes) -> None:
    daemon.on("GET", "/api/x", reply)
    with pytest.raises(Disconnected):
        client.get("/api/x")


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 what\r\n\r\n",
        b"x" * 70_000,
        STREAM + b"zz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nnot json",
        b"HTTP/1.1 200 OK\r\n\r\n[1]",
    ],
)
def test_another_program_on_the_socket(daemon: FakeDaemon, client: Client, reply: bytes) -> None:
    daemon.on("GET", "/api/x", reply)
    with pytest.raises(NotADaemon):
        client.get("/api/x")


def test_silent_daemon_is_a_time_out(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with pytest.raises(NoAnswer):
            Client(sockets=[str(tmp_path / "s")]).get("/api/x", silence_seconds=0.05)


def test_full_backlog_is_a_busy_daemon_and_not_an_absent_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_CONNECT_SECONDS", 0.1)
    waiting = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(0)
        try:
            while True:
                waiting.append(socket.socket(socket.AF_UNIX))
                waiting[-1].setblocking(False)
                waiting[-1].connect(str(tmp_path / "s"))
        except BlockingIOError:
            pass
        with pytest.raises(NoAnswer):
            Client(sockets=[str(tmp_path / "s")]).get("/api/x")
        for each in waiting:
            each.close()


def test_all_sockets_tried_are_named(tmp_path: Path) -> None:
    stale = tmp_path / "stale"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(stale))
    with pytest.raises(NotRunning) as caught:
        Client(sockets=[str(tmp_path / "none"), str(stale), "/" + "x" * 200]).get("/api/x")
    text = str(caught.value)
    assert f"{tmp_path}/none: does not exist" in text
    assert f"{stale}: nobody listens" in text
    assert "x" * 200 in text


def test_first_socket_that_answers_is_taken(tmp_path: Path, daemon: FakeDaemon) -> None:
    daemon.on("GET", "/api/x", answer(200, {"a": 1}))
    assert Client(sockets=[str(tmp_path / "none"), daemon.path]).get("/api/x") == {"a": 1}


@pytest.mark.parametrize(("group", "hint"), [("media", "sudo usermod -aG media "), ("root", "Ask as root")])
def test_denied_socket_names_its_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, hint: str) -> None:
    (tmp_path / "s").touch()

    def denied(path: str) -> socket.socket:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(client_module, "_opened", denied)  # root, who may run the tests, is denied nothing
    monkeypatch.setattr(client_module.grp, "getgrgid", lambda _gid: SimpleNamespace(gr_name=group))
    with pytest.raises(SocketDenied) as caught:
        Client(sockets=[str(tmp_path / "s")]).get("/api/x")
    assert str(tmp_path / "s") in str(caught.value)
    assert hint in caught.value.hint


def test_order_of_the_search() -> None:
    system = ["/run/mediawatchd/mediawatchd.sock", "/run/mediawatchd.sock"]
    assert default_sockets({"XDG_RUNTIME_DIR": "/run/user/7"}) == ["/run/user/7/mediawatchd.sock", *system]
    assert default_sockets({}) == system


def test_lists_are_read_page_by_page(daemon: FakeDaemon, client: Client) -> None:
    daemon.on(
        "GET",
        "/api/files",
        answer(200, {"items": [{"id": 1}, {"id": 2}], "next": "c&2"}),
        answer(200, {"items": [{"id": 3}], "next": None}),
    )
    assert [item["id"] for item in client.items("/api/files", {"q": "x"}, limit=None, page=2)] == [1, 2, 3]
    assert [request.query for request in daemon.requests] == [
        {"q": "x", "limit": "2"},
        {"q": "x", "limit": "2", "after": "c&2"},
    ]


def test_list_ends_at_the_limit(daemon: FakeDaemon, client: Client) -> None:
    daemon.on(
        "GET",
        "/api/files",
        answer(200, {"items": [{"id": 1}, {"id": 2}], "next": "a"}),
        answer(200, {"items": [{"id": 3}, {"id": 4}], "next": "b"}),
    )
    assert [item["id"] for item in client.items("/api/files", {}, limit=3, page=2)] == [1, 2, 3]
    assert [request.query["limit"] for request in daemon.requests] == ["2", "1"]


def test_list_with_a_cursor_that_stands_still_ends(daemon: FakeDaemon, client: Client) -> None:
    daemon.on("GET", "/api/files", answer(200, {"items": [{"id": 1}], "next": "a"}))
    assert len(list(client.items("/api/files", {}, limit=None))) == 2


def test_lines_arrive_before_the_stream_ends(daemon: FakeDaemon, client: Client) -> None:
    more = threading.Event()

    def stream(_request: object) -> list[bytes]:
        class Pieces(list[bytes]):
            def __iter__(self) -> Iterator[bytes]:
                yield STREAM + b'c\r\n{"seq": 1}\n\n\r\n3\r\n{"s\r\n'
                assert more.wait(10)
                yield chunks([b'eq": 2}\n'])

        return Pieces()

    daemon.on("GET", "/api/events", stream)
    lines = client.lines("/api/events", {"since": 0}, silence_seconds=10)
    assert next(lines) == {"seq": 1}
    more.set()
    assert list(lines) == [{"seq": 2}]
    assert daemon.requests[0].headers["accept"] == "application/x-ndjson"


def test_refused_stream(daemon: FakeDaemon, client: Client) -> None:
    daemon.on("GET", "/api/events", refusal(503, "too_many_streams", "no room"))
    with pytest.raises(Refused, match="no room"):
        next(client.lines("/api/events", {}, silence_seconds=10))


def test_silent_stream_is_a_time_out(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with pytest.raises(NoAnswer):
            next(Client(sockets=[str(tmp_path / "s")]).lines("/api/events", {}, silence_seconds=0.05))


def test_paths_keep_their_bytes() -> None:
    odd = b"/media/\xff\xfe.mkv"
    assert path_field("path", "/ü".encode()) == {"path": "/ü"}
    field = path_field("path", odd)
    assert list(field) == ["path_b64"]
    assert raw_path({"path": "/media/??.mkv", **field}, "path") == odd
    assert raw_path({"path": "/ü", "path_b64": None}, "path") == "/ü".encode()
    assert raw_path({}, "path") is None
    assert paths_field("scan_dirs", [b"/a"]) == {"scan_dirs": ["/a"]}
    sent = paths_field("scan_dirs", [b"/a", odd])
    assert list(sent) == ["scan_dirs_b64"]
    assert raw_paths({"scan_dirs": ["/a", "?"], **sent}, "scan_dirs") == [b"/a", odd]
    assert raw_paths({"scope": ["/a"], "scope_b64": None}, "scope") == [b"/a"]
    assert raw_paths({"scope": ["/a", "?"], "scope_b64": [None, sent["scan_dirs_b64"][1]]}, "scope") == [b"/a", odd]


def test_query_of_raw_bytes() -> None:
    assert query({}) == ""
    assert query({"q": os.fsdecode(b"a\xff/")}) == "?q=a%FF/"
