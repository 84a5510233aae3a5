"""Who may ask: hosts, other sites, other machines, tokens; and what is noted of it."""

from __future__ import annotations

import logging

import pytest

from mediawatchd.control import answers
from tests.setting import CHANGING, READING, Setting, refused, setting

__all__ = ["setting"]


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
