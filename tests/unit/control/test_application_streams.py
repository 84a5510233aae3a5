"""Answers that come bit by bit: lists, waiting for a job, events."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.catalog.browse import Order, Selection, page
from mediawatchd.control import answers, streams
from mediawatchd.errors import Refused
from tests.setting import Setting, refused, setting

if TYPE_CHECKING:
    import sqlite3

__all__ = ["setting"]


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
