"""The API without a server: what each call takes, what it refuses, and how it says so."""

from __future__ import annotations

import ast
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mediawatchd
from mediawatchd.catalog.browse import Order, Selection, page
from mediawatchd.control import answers, streams
from mediawatchd.control.application import MOST_BODY_BYTES, Application
from mediawatchd.errors import ConfigurationError, Refused
from tests.control import Catalog, Direct, FakeOperations
from tests.unit.catalog.test_browse import _add_directory, _add_file, _catalog

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

CHANGING = [
    "/api/scan",
    "/api/scan/stop",
    "/api/hash",
    "/api/hash/stop",
    "/api/jobs/3/cancel",
    "/api/duplicates/verify",
    "/api/similar/dismiss",
    "/api/similar/undismiss",
    "/api/sync",
    "/api/pause",
    "/api/resume",
    "/api/reload",
    "/api/roots/accept",
    "/api/roots/confirm-missing",
    "/api/roots/forget",
]
READING = [
    "/api/version",
    "/api/status",
    "/api/config",
    "/api/scan/status",
    "/api/hash/status",
    "/api/jobs",
    "/api/jobs/3",
    "/api/jobs/3/wait",
    "/api/files",
    "/api/file",
    "/api/duplicates",
    "/api/similar",
    "/api/history",
    "/api/events",
    "/metrics",
    "/healthz",
]


class Setting:
    """The application with everything around it that a test may look at or change."""

    def __init__(self) -> None:
        self.operations = FakeOperations()
        self.catalog = Catalog(_catalog(":memory:"))
        self.token: str | None = None
        self.application = Application(operations=self.operations, reader=self.catalog, secret_token=lambda: self.token)
        self.direct = Direct(self.application)
        self.ask = self.direct.ask

    def add_files(self, count: int) -> None:
        directory = _add_directory(self.catalog.connection, 1, b"/media/a/")
        for number in range(count):
            _add_file(self.catalog.connection, directory, b"%04d.mkv" % number, size=number)


@pytest.fixture
def setting() -> Iterator[Setting]:
    setting = Setting()
    yield setting
    setting.catalog.connection.close()


def refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    """Asserts that an answer is a proper refusal."""
    assert (answer.status, answer.json["code"]) == (status, code), answer.content
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json["error"]
    assert isinstance(answer.json["hint"], str)
    assert code in answers.CODES
    body: dict[str, Any] = answer.json
    return body


@pytest.mark.parametrize(
    ("target", "call"),
    [
        ("/api/version", ("version",)),
        ("/api/status", ("status",)),
        ("/api/config", ("config",)),
        ("/api/scan/status", ("scan_status",)),
        ("/api/hash/status", ("hash_status",)),
        ("/api/jobs/12", ("job", 12)),
        ("/api/file?path=/media/a.mkv", ("file", b"/media/a.mkv")),
        ("/api/file?path=/media/%C3%A4%20b%2Bc%26d.mkv", ("file", "/media/ä b+c&d.mkv".encode())),
        ("/api/file?path=/media/%FF.mkv", ("file", b"/media/\xff.mkv")),
        ("/api/file?path_b64=L21lZGlhL/8=", ("file", b"/media/\xff")),
        ("/api/file?path=//media//a/./b/../c/", ("file", b"/media/a/c")),
        ("/api/file?path=/", ("file", b"/")),
    ],
)
def test_reading_calls_reach_their_operation(setting: Setting, target: str, call: tuple[Any, ...]) -> None:
    answer = setting.ask("GET", target)
    assert (answer.status, answer.json) == (200, {"did": call[0]})
    assert setting.operations.calls == [call]


@pytest.mark.parametrize(
    ("target", "body", "call"),
    [
        ("/api/scan", b"", ("start_scan", None)),
        ("/api/scan", {}, ("start_scan", None)),
        ("/api/scan", {"scan_dirs": None}, ("start_scan", None)),
        ("/api/scan", {"scan_dirs": ["/a/", "/ä"]}, ("start_scan", [b"/a", "/ä".encode()])),
        ("/api/scan", {"scan_dirs": ["/a"], "scan_dirs_b64": ["L/8="]}, ("start_scan", [b"/a", b"/\xff"])),
        ("/api/scan/stop", b"", ("stop_scan", None)),
        ("/api/hash", b"", ("start_hash", None, False)),
        ("/api/hash", {"scan_dirs": ["/a/b.mkv"], "force": True}, ("start_hash", [b"/a/b.mkv"], True)),
        ("/api/hash/stop", {"job": 7}, ("stop_hash", 7)),
        ("/api/scan/stop", {"job": 7}, ("stop_scan", 7)),
        ("/api/jobs/7/cancel", b" ", ("cancel_job", 7)),
        ("/api/similar/dismiss", {"a": "/a", "b_b64": "L/8="}, ("dismiss", b"/a", b"/\xff")),
        ("/api/similar/undismiss", {"a": "/a", "b": "/b"}, ("undismiss", b"/a", b"/b")),
        ("/api/sync", b"", ("sync", 60.0, False)),
        ("/api/sync", {"timeout": 2.5, "walk": True}, ("sync", 2.5, True)),
        ("/api/sync", {"timeout": 0}, ("sync", 0.0, False)),
        ("/api/pause", {}, ("pause",)),
        ("/api/resume", b"", ("resume",)),
        ("/api/reload", b"", ("reload",)),
        ("/api/roots/accept", {"path": "/media/"}, ("accept_root", b"/media")),
        ("/api/roots/confirm-missing", {"path_b64": "L/8="}, ("confirm_missing", b"/\xff")),
        ("/api/roots/forget", {"path": "/media"}, ("forget_root", b"/media")),
    ],
)
def test_changing_calls_reach_their_operation(setting: Setting, target: str, body: Any, call: tuple[Any, ...]) -> None:
    answer = setting.ask("POST", target, body)
    assert (answer.status, answer.json) == (202 if target in {"/api/scan", "/api/hash"} else 200, {"did": call[0]})
    assert setting.operations.calls == [call]


@pytest.mark.parametrize("target", READING)
def test_every_reading_call_names_unknown_fields(setting: Setting, target: str) -> None:
    given = "path=/x&" if target == "/api/file" else ""
    body = refused(setting.ask("GET", f"{target}?{given}colour=red&Limit=3"), 400, "unknown_field")
    assert body["error"].endswith("Limit, colour")
    assert setting.operations.calls == []


@pytest.mark.parametrize("target", CHANGING)
def test_every_changing_call_names_unknown_fields(setting: Setting, target: str) -> None:
    given = {"path": "/x"} if "roots" in target else {"a": "/x", "b": "/y"} if "dismiss" in target else {}
    body = refused(setting.ask("POST", target, {**given, "scan_dir": ["/x"]}), 400, "unknown_field")
    assert body["error"].endswith("scan_dir")
    refused(setting.ask("POST", f"{target}?force=true", given), 400, "unknown_field")
    assert setting.operations.calls == []


@pytest.mark.parametrize(
    ("target", "body", "code"),
    [
        ("/api/scan", {"scan_dirs": "/a"}, "bad_value"),
        ("/api/scan", {"scan_dirs": []}, "bad_value"),
        ("/api/scan", {"scan_dirs": [1]}, "bad_value"),
        ("/api/scan", {"scan_dirs": ["a"]}, "bad_value"),
        ("/api/scan", {"scan_dirs": ["/a\0"]}, "bad_value"),
        ("/api/scan", {"scan_dirs": ["/" + "a" * 5000]}, "bad_value"),
        ("/api/scan", {"scan_dirs": ["/\udcff"]}, "bad_value"),
        ("/api/scan", {"scan_dirs_b64": ["/a?"]}, "bad_value"),
        ("/api/scan/stop", {"job": "7"}, "bad_value"),
        ("/api/hash", {"force": "yes"}, "bad_value"),
        ("/api/scan/stop", {"job": True}, "bad_value"),
        ("/api/scan/stop", {"job": 0}, "bad_value"),
        ("/api/scan/stop", {"job": 1 << 64}, "bad_value"),
        ("/api/sync", {"timeout": "5"}, "bad_value"),
        ("/api/sync", {"timeout": -1}, "bad_value"),
        ("/api/sync", {"timeout": True}, "bad_value"),
        ("/api/sync", b'{"timeout": NaN}', "malformed_request"),
        ("/api/sync", b'{"timeout": 1e999}', "bad_value"),
        ("/api/sync", b'{"timeout": 1%s}' % (b"0" * 400), "bad_value"),
        ("/api/sync", b'{"timeout": 1%s}' % (b"0" * 5000), "malformed_request"),
        ("/api/sync", {"walk": 1}, "bad_value"),
        ("/api/roots/accept", {}, "missing_field"),
        ("/api/roots/accept", {"path": "/a", "path_b64": "L2E="}, "bad_value"),
        ("/api/roots/accept", [], "malformed_request"),
        ("/api/roots/accept", b"{", "malformed_request"),
        ("/api/roots/accept", b"\xff", "malformed_request"),
        ("/api/roots/accept", b"[" * 100_000, "malformed_request"),
    ],
)
def test_values_that_make_no_sense_are_refused(setting: Setting, target: str, body: Any, code: str) -> None:
    refused(setting.ask("POST", target, body), 400, code)
    assert setting.operations.calls == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=10001",
        "limit=-1",
        "limit=1e3",
        "limit=" + "9" * 5000,
        "limit=1&limit=2",
        "sort=colour",
        "order=up",
        "media_type=film",
        "missing=yes",
        "problem=maybe",
        "pending=",
        "under=films",
        "under_b64=!",
        "q=%FF",
    ],
)
def test_queries_that_make_no_sense_are_refused(setting: Setting, query: str) -> None:
    refused(setting.ask("GET", f"/api/files?{query}"), 400, "bad_value")


def test_a_cursor_that_was_never_given_out_is_refused(setting: Setting) -> None:
    refused(setting.ask("GET", "/api/files?after=x"), 400, "bad_cursor")
    refused(setting.ask("GET", "/api/files?after=x", headers={"Accept": answers.NDJSON}), 400, "bad_cursor")
    refused(setting.ask("GET", "/api/jobs?after=x"), 400, "bad_cursor")
    refused(setting.ask("GET", "/api/history?after=-1"), 400, "bad_cursor")
    assert setting.direct.long_calls.open == 0


def test_what_an_operation_refuses_keeps_its_status_code_and_details(setting: Setting) -> None:
    setting.operations.refusals["start_scan"] = Refused(
        409, "paused", "a scan runs", hint="wait", detail={"job": 4, "progress": 12.5}
    )
    answer = setting.ask("POST", "/api/scan")
    assert answer.status == 409
    assert answer.json == {"error": "a scan runs", "code": "paused", "hint": "wait", "job": 4, "progress": 12.5}


def test_a_mistake_in_the_daemon_is_logged_and_not_told(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    setting.operations.refusals["status"] = RuntimeError("inner secret")
    body = refused(setting.ask("GET", "/api/status"), 500, "internal_error")
    assert "inner secret" not in json.dumps(body)
    assert "inner secret" in caplog.text


def test_mistakes_in_a_new_configuration_are_told(setting: Setting) -> None:
    setting.operations.refusals["reload"] = ConfigurationError("line 3: no such key")
    body = refused(setting.ask("POST", "/api/reload"), 400, "bad_configuration")
    assert (body["error"], body["hint"]) == ("line 3: no such key", ConfigurationError.hint)


def test_errors_of_http_itself_are_json(setting: Setting) -> None:
    refused(setting.ask("GET", "/api/nothing"), 404, "unknown_call")
    refused(setting.ask("GET", "/api/status/"), 404, "unknown_call")
    refused(setting.ask("GET", "//api//status"), 404, "unknown_call")
    refused(setting.ask("GET", "/"), 404, "unknown_call")
    answer = setting.ask("DELETE", "/api/status")
    refused(answer, 405, "method_not_allowed")
    assert "GET" in answer.headers["Allow"]
    refused(setting.ask("GET", "/api/pause"), 405, "method_not_allowed")
    refused(setting.ask("POST", "/api/pause", b" " * (MOST_BODY_BYTES + 1)), 413, "body_too_large")
    for number in ("x", "-1", "1.5", "9" * 30, "9" * 5000, "%C2%B2"):
        refused(setting.ask("GET", f"/api/jobs/{number}"), 404, "not_found")


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
@pytest.mark.parametrize("target", CHANGING)
def test_changing_calls_need_the_type_that_no_form_can_send(
    setting: Setting, target: str, content_type: str | None, kind: str
) -> None:
    answer = setting.ask("POST", target, b"{}", headers={"Content-Type": content_type}, kind=kind)
    refused(answer, 415, "unsupported_media_type")
    assert setting.operations.calls == []


def test_a_charset_does_not_hurt(setting: Setting) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert setting.ask("POST", "/api/pause", headers=headers).status == 200


def test_head_and_options_begin_nothing(setting: Setting) -> None:
    for target in (*(target for target in READING if target != "/api/file"), "/api/file?path=/a"):
        answer = setting.ask("HEAD", target)
        assert (answer.status, answer.content) == (200, b"")
        assert "GET" in setting.ask("OPTIONS", target).headers["Allow"]
    assert setting.ask("HEAD", "/api/files", headers={"Accept": answers.NDJSON}).status == 200
    for target in CHANGING:
        assert setting.ask("HEAD", target).status == 405
        assert setting.ask("OPTIONS", target).headers["Allow"].split(", ").count("POST") == 1
    assert not {"subscribe", "wait_job"} & {call[0] for call in setting.operations.calls}
    assert setting.direct.long_calls.open == 0


def test_every_answer_carries_the_headers_for_browsers(setting: Setting) -> None:
    for target in ("/api/status", "/api/nothing", "/metrics", "/healthz"):
        headers = setting.ask("GET", target).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_metrics_and_health(setting: Setting) -> None:
    answer = setting.ask("GET", "/metrics")
    assert (answer.content, answer.headers["Content-Type"]) == (b"up 1\n", "text/plain; version=0.0.4")
    assert setting.ask("GET", "/healthz").status == 200
    setting.operations.is_healthy = False
    refused(setting.ask("GET", "/healthz"), 503, "unhealthy")


# Lists


def test_files_come_page_by_page(setting: Setting) -> None:
    setting.add_files(250)
    names: list[str] = []
    target = "/api/files"
    for _ in range(3):
        answer = setting.ask("GET", target).json
        names += [file["filename"] for file in answer["items"]]
        target = f"/api/files?after={answer['next']}"
    assert names == [f"{number:04d}.mkv" for number in range(250)]
    assert answer["next"] is None
    assert setting.catalog.lent == 0


def test_files_are_selected_by_the_fields_of_the_query(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def noted(connection: sqlite3.Connection, selection: Selection, order: Order, **rest: Any) -> Any:
        asked.append((selection, order, rest))
        return page(connection, selection, order, **rest)

    monkeypatch.setattr("mediawatchd.catalog.browse.page", noted)
    setting.ask("GET", "/api/files")
    setting.ask(
        "GET",
        "/api/files?under=/media/a&root_b64=L/8=&media_type=vr&missing=true&problem=false&pending=1&q=%25A_"
        "&sort=size&order=desc&limit=7",
    )
    setting.ask("GET", "/api/files?missing=any&problem=0&order=asc")
    assert asked == [
        (Selection(), Order(), {"limit": 100, "after": None}),
        (
            Selection(
                under=b"/media/a", root=b"/\xff", media_type="vr", missing=True, problem=False, pending=True, q="%A_"
            ),
            Order("size", descending=True),
            {"limit": 7, "after": None},
        ),
        (Selection(missing=None, problem=False), Order(), {"limit": 100, "after": None}),
    ]


def test_files_stream_as_ndjson(setting: Setting) -> None:
    setting.add_files(2_500)
    for query, expected in (("", 2_500), ("?limit=1500", 1_500), ("?limit=3&sort=size&order=desc", 3)):
        answer = setting.ask("GET", f"/api/files{query}", headers={"Accept": answers.NDJSON})
        assert answer.headers["Content-Type"] == answers.NDJSON
        files = [json.loads(line) for line in answer.content.splitlines()]
        assert len(files) == len({file["id"] for file in files}) == expected
    assert files[0]["file_size"] == 2_499
    assert (setting.catalog.lent, setting.direct.long_calls.open) == (0, 0)


def test_jobs_are_a_list_too(setting: Setting) -> None:
    first = setting.ask("GET", "/api/jobs").json
    assert [job["id"] for job in first["items"]] == list(range(250, 150, -1))
    second = setting.ask("GET", f"/api/jobs?limit=200&after={first['next']}").json
    assert [job["id"] for job in second["items"]] == list(range(150, 0, -1))
    assert second["next"] is None
    streamed = setting.ask("GET", "/api/jobs", headers={"Accept": answers.NDJSON}).content
    assert len(streamed.splitlines()) == 250


def test_the_history_is_a_list_too(setting: Setting) -> None:
    for seq in range(1, 6):
        setting.catalog.connection.execute(
            "INSERT INTO history (seq, time, event, path) VALUES (?, 0, 'added', ?)", (seq, b"/media/%d" % seq)
        )
    answer = setting.ask("GET", "/api/history?since=1&limit=2").json
    assert [event["seq"] for event in answer["items"]] == [2, 3]
    assert [event["seq"] for event in setting.ask("GET", f"/api/history?after={answer['next']}").json["items"]] == [
        4,
        5,
    ]
    newest = setting.ask("GET", "/api/history?order=desc&path=/media", headers={"Accept": answers.NDJSON})
    assert [json.loads(line)["seq"] for line in newest.content.splitlines()] == [5, 4, 3, 2, 1]


# Long calls


def test_waiting_for_a_job_ends_with_it(setting: Setting) -> None:
    setting.operations.finished.set()
    assert setting.ask("GET", "/api/jobs/5/wait?timeout=30").json == {"id": 5}
    assert setting.direct.long_calls.open == 0


def test_waiting_for_a_job_ends_in_time(setting: Setting) -> None:
    body = refused(setting.ask("GET", "/api/jobs/5/wait?timeout=0.7"), 504, "timeout")
    assert body["error"] == "job 5 has not ended within 0.7 s"
    assert body["job"] == {"id": 5}
    assert len([call for call in setting.operations.calls if call[0] == "wait_job"]) == 2


def test_waiting_for_a_job_ends_when_the_client_left_or_the_daemon_stops(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediawatchd.control.routes.LOOK_SECONDS", 0.01)
    setting.direct.gone = True
    refused(setting.ask("GET", "/api/jobs/5/wait"), 408, "client_gone")
    setting.direct.long_calls.stop()
    refused(setting.ask("GET", "/api/jobs/5/wait"), 503, "stopping")
    assert setting.direct.long_calls.open == 0


def test_long_calls_beyond_the_limit_are_refused_and_the_others_go_on(setting: Setting) -> None:
    held = [setting.direct.long_calls.enter() for _ in range(3)]
    refused(setting.ask("GET", "/api/events"), 503, "too_many_streams")
    refused(setting.ask("GET", "/api/jobs/5/wait"), 503, "too_many_streams")
    refused(setting.ask("POST", "/api/sync"), 503, "too_many_streams")
    refused(setting.ask("GET", "/api/files", headers={"Accept": answers.NDJSON}), 503, "too_many_streams")
    assert setting.operations.calls == []
    assert setting.ask("GET", "/api/status").status == 200
    held[0].leave()
    held[0].leave()
    assert setting.ask("POST", "/api/sync").status == 200
    assert setting.direct.long_calls.open == 2


def test_a_refused_long_call_gives_its_place_back(setting: Setting) -> None:
    for name in ("subscribe", "sync", "wait_job"):
        setting.operations.refusals[name] = Refused(409, "paused", "no")
    for method, target in (("GET", "/api/events"), ("POST", "/api/sync"), ("GET", "/api/jobs/1/wait")):
        assert setting.ask(method, target).status == 409
    assert setting.direct.long_calls.open == 0


class Told:
    """A subscription that says what a test wrote down, and moves the clock on at each silence."""

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.now = 0.0
        self.lagged = False
        self.closed = 0

    def next(self, timeout_seconds: float) -> list[dict[str, Any]]:
        step = self.steps.pop(0)
        if isinstance(step, float):
            self.now += step
            return []
        if step == "lagged":
            self.lagged = True
            return []
        assert isinstance(step, list)
        return step

    def close(self) -> None:
        self.closed += 1


def _event_lines(told: Told, *, since: int | None = None) -> list[tuple[Any, Any]]:
    calls = streams.LongCalls(most=1)
    stream = streams.EventStream(
        subscription=told, since=since, call=calls.enter(), is_gone=lambda: not told.steps, clock=lambda: told.now
    )
    lines = [json.loads(line) for piece in stream for line in piece.splitlines()]
    stream.close()
    assert (calls.open, told.closed) == (0, 1)
    return [(line["event"], line["seq"]) for line in lines]


def test_an_event_stream_begins_with_a_heartbeat_and_repeats_it_in_silence() -> None:
    told = Told(14.5, 0.6, 14.0, [{"event": "added", "seq": 8}, {"event": "moved", "seq": 9}], 14.0, 0.9, 0.2, 1.0)
    assert _event_lines(told, since=7) == [
        ("heartbeat", 7),
        ("heartbeat", 7),
        ("added", 8),
        ("moved", 9),
        ("heartbeat", 9),
    ]


def test_a_client_that_lags_is_told_so_and_dropped() -> None:
    told = Told([{"event": "added", "seq": 8}], "lagged", [{"event": "added", "seq": 99}])
    assert _event_lines(told) == [("heartbeat", None), ("added", 8), ("lagged", 8)]


def test_a_stream_that_was_never_begun_gives_everything_back() -> None:
    told = Told()
    calls = streams.LongCalls(most=1)
    streams.EventStream(subscription=told, since=None, call=calls.enter(), is_gone=lambda: False).close()
    assert (calls.open, told.closed) == (0, 1)


def test_a_list_that_the_end_of_the_daemon_cuts_off_does_not_end_properly() -> None:
    calls = streams.LongCalls(most=1)
    stream = streams.ListStream(first=[{"id": 1}], pages=(page for page in [[{"id": 2}]]), call=calls.enter())
    lines = iter(stream)
    assert next(lines) == b'{"id": 1}\n'
    calls.stop()
    with pytest.raises(ConnectionAbortedError):
        next(lines)
    stream.close()
    assert calls.open == 0


# Who may ask


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8080",
        "localhost.",
        "127.0.0.1:8080",
        "127.9.9.9",
        "[::1]:8080",
        "nas.lan:8080",
        "10.0.0.5",
    ],
)
def test_a_request_for_this_daemon_is_answered(setting: Setting, host: str) -> None:
    hosts = ["nas.lan", "10.0.0.5"]
    assert setting.ask("GET", "/api/status", kind="tcp", hosts=hosts, headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.5", "[::2]",
     "localhost@evil.example", "evil.example/localhost", "localhost:x", "[::1", "0.0.0.0", "::1"],
)  # fmt: skip
def test_a_request_for_another_host_is_refused(setting: Setting, host: str) -> None:
    for target in ("/api/status", "/metrics", "/api/nothing"):
        refused(setting.ask("GET", target, kind="tcp", headers={"Host": host}), 403, "foreign_host")
    refused(setting.ask("POST", "/api/pause", kind="tcp", headers={"Host": host}), 403, "foreign_host")
    assert setting.operations.calls == []
    assert setting.ask("GET", "/api/status", kind="unix", headers={"Host": host}).status == 200


def test_a_page_of_another_site_is_refused(setting: Setting) -> None:
    for origin in ("http://evil.example", "null", "http://localhost", "http://localhost:80801", "file://", ""):
        headers = {"Host": "localhost:8080", "Origin": origin}
        refused(setting.ask("POST", "/api/pause", kind="tcp", headers=headers), 403, "foreign_origin")
    for origin in ("http://localhost:8080", "https://LOCALHOST:8080"):
        headers = {"Host": "localhost:8080", "Origin": origin}
        assert setting.ask("POST", "/api/pause", kind="tcp", headers=headers).status == 200
    assert len(setting.operations.calls) == 2


def test_another_machine_needs_a_token_to_be_configured(setting: Setting) -> None:
    for address in ("192.168.1.7", "::ffff:192.168.1.7", "fe80::1%eth0"):
        answer = setting.ask("GET", "/api/status", kind="tcp", address=address)
        refused(answer, 403, "remote_without_token")
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        assert setting.ask("GET", "/api/status", kind="tcp", address=address).status == 200


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer hunter", "Bearer hunter22", "Basic hunter2", "hunter2", "Bearer hünter2"],
)
def test_without_the_token_nothing_but_health_is_told(setting: Setting, authorization: str | None) -> None:
    setting.token = "hunter2"
    headers = {} if authorization is None else {"Authorization": authorization}
    for target in (*READING, "/api/nothing"):
        if target != "/healthz":
            answer = setting.ask("GET", target, kind="tcp", headers=headers)
            refused(answer, 401, "unauthorized")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    refused(setting.ask("POST", "/api/pause", kind="tcp", headers=headers), 401, "unauthorized")
    assert setting.ask("GET", "/healthz", kind="tcp", headers={"Host": "10.1.1.1", **headers}).status == 200
    assert setting.ask("GET", "/api/status", kind="unix", headers=headers).status == 200
    assert setting.operations.calls == [("status",)]


def test_with_the_token_any_host_and_any_machine_may_ask(setting: Setting) -> None:
    setting.token = "hünter 2"
    sent = setting.token.encode().decode("latin-1")
    headers = {"Host": "nas.example:8080", "Authorization": f"bearer {sent}"}
    assert setting.ask("GET", "/api/status", kind="tcp", address="192.168.1.7", headers=headers).status == 200
    foreign = {**headers, "Origin": "http://evil.example"}
    refused(setting.ask("GET", "/api/status", kind="tcp", headers=foreign), 403, "foreign_origin")
    own = {**headers, "Origin": "https://nas.example:8080"}
    assert setting.ask("GET", "/api/status", kind="tcp", headers=own).status == 200


def test_a_reload_changes_the_token_at_once(setting: Setting) -> None:
    setting.token = "old"
    headers = {"Authorization": "Bearer old"}
    assert setting.ask("GET", "/api/status", kind="tcp", headers=headers).status == 200
    setting.token = "new"
    assert setting.ask("GET", "/api/status", kind="tcp", headers=headers).status == 401


# What is written down


def test_requests_are_counted_by_route_and_status(setting: Setting) -> None:
    setting.ask("GET", "/api/jobs/7")
    setting.ask("GET", "/api/jobs/8")
    setting.ask("GET", "/api/made-up-by-the-client")
    setting.ask("DELETE", "/api/jobs/7")
    setting.ask("POST", "/api/pause", headers={"Content-Type": "text/plain"})
    assert setting.application.requests() == {
        ("/api/jobs/<job>", 200): 2,
        ("other", 404): 1,
        ("other", 405): 1,
        ("/api/pause", 415): 1,
    }


def test_every_change_is_logged_with_who_asked(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    setting.ask("POST", "/api/pause")
    setting.ask("POST", "/api/roots/forget", {})
    setting.ask("POST", "/api/resume", kind="tcp", headers={"Origin": "http://evil.example"})
    setting.ask("GET", "/api/status")
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "change asked for call=/api/pause status=200 listener=unix uid=1000 pid=77 address=",
        "change asked for call=/api/roots/forget status=400 listener=unix uid=1000 pid=77 address=",
        "change asked for call=/api/resume status=403 listener=tcp uid=None pid=None address=127.0.0.1",
    ]


def test_every_code_is_in_the_list_of_codes() -> None:
    used = set(answers._BY_STATUS.values()) | {"http_error"}
    for module in Path(str(mediawatchd.__file__)).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Refused" and len(node.args) > 1:
                code = node.args[1]
                if isinstance(code, ast.Constant):
                    used.add(code.value)
    assert used <= set(answers.CODES)
    assert set(answers.CODES) - used <= {"restart_required"}
