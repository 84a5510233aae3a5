"""The API without a server: what each call takes, what it refuses, and how it says so."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

import mediawatchd
from mediawatchd.control import answers
from mediawatchd.control.application import MOST_BODY_BYTES
from mediawatchd.errors import ConfigurationError, Refused
from tests.setting import CHANGING, READING, Setting, refused, setting

__all__ = ["setting"]


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


def test_metrics_and_health(setting: Setting) -> None:
    answer = setting.ask("GET", "/metrics")
    assert (answer.content, answer.headers["Content-Type"]) == (b"up 1\n", "text/plain; version=0.0.4")
    assert setting.ask("GET", "/healthz").status == 200
    setting.operations.is_healthy = False
    refused(setting.ask("GET", "/healthz"), 503, "unhealthy")


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
