from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from tests.unit.cli.fake_daemon import FakeDaemon, answer, chunks, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli.conftest import Outcome

ADDED: dict[str, Any] = {"seq": 5, "time": 0.0, "event": "added", "path": "/a", "from": None, "detail": None}
MOVED = ADDED | {
    "seq": 6,
    "event": "moved",
    "from": "/a?",
    "from_b64": base64.b64encode(b"/a\xff").decode(),
    "path": "/b",
}
PROBLEM = ADDED | {"seq": 7, "event": "problem", "detail": "decode: \x1bbad"}
JOB = ADDED | {"seq": 8, "event": "job", "path": None, "detail": "scan 12 done"}


def stream(*events: dict[str, Any]) -> bytes:
    lines = [json.dumps(event).encode() + b"\n" for event in events]
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(lines)


def test_events_as_lines(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/events", stream(ADDED, {"event": "heartbeat"}, {"time": 3}, MOVED, PROBLEM, JOB))
    outcome = run("events", "--since", "4")
    assert daemon.requests[0].query == {"since": "4"}
    assert outcome.out.splitlines() == [
        "1970-01-01 00:00:00  added     /a",
        "1970-01-01 00:00:00  moved     /a\\xff -> /b",
        "1970-01-01 00:00:00  problem   /a  (decode: \\x1bbad)",
        "1970-01-01 00:00:00  job       scan 12 done",
    ]


def test_end_of_the_daemon_says_where_to_go_on(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    whole = stream(ADDED)
    daemon.on("GET", "/api/events", whole, whole[: whole.rindex(b"0\r\n")])
    for _ in ("stopped", "killed"):
        outcome = run("events")
        assert outcome.status == 3
        assert outcome.err.endswith("\nhint: `mediawatchctl events --since 5` goes on from here.\n")
    assert daemon.requests[0].query == {}


def test_events_as_ndjson(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/events", stream(ADDED, {"event": "heartbeat"}, MOVED))
    assert [json.loads(line) for line in run("--json", "events").out.splitlines()] == [ADDED, MOVED]


def test_lagging_reader_asks_again_from_where_it_was(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/events", stream(ADDED, {"event": "lagged"}), stream(MOVED))
    outcome = run("events", "--json")
    assert [json.loads(line)["seq"] for line in outcome.out.splitlines()] == [5, 6]
    assert daemon.requests[1].query == {"since": "5"}


def test_reader_that_never_gets_anything_gives_up(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/events", stream({"event": "lagged"}))
    outcome = run("events")
    assert outcome.status == 3
    assert "dropped" in outcome.err
    assert len(daemon.requests) == 1


def test_refused_stream(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/events", refusal(503, "too_many_streams", "no room for another stream"))
    assert run("events") == (1, "", "mediawatchctl: no room for another stream\n")


def test_answer_without_lines(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/events", answer(200, {"seq": 1, "event": "added"}))
    assert run("events").status == 3
