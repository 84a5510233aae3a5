from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.cli import files
from tests.unit.cli.fake_daemon import FakeDaemon, answer, chunks, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.unit.cli.conftest import Outcome

ODD = b"/srv/films/\xff\x1b.mkv"


def a_file(path: bytes = b"/srv/films/a.mkv", **fields: object) -> dict[str, Any]:
    try:
        named: dict[str, Any] = {"path": path.decode(), "path_b64": None}
    except UnicodeDecodeError:
        named = {"path": path.decode(errors="replace"), "path_b64": base64.b64encode(path).decode()}
    usual = {
        "id": 1,
        "filename": "a.mkv",
        "root": "/srv/films",
        "file_size": 15_247_823_104,
        "modified_date": "2024-05-01T10:20:30.5+00:00",
        "media_type": "video",
        "container_format": "matroska",
        "duration": 6992.2,
        "bitrate": 17_400_000,
        "width": 1920,
        "height": 1080,
        "video_codec": "h264",
        "audio_codec": "dts",
        "quick_hash": "ab" * 32,
        "video_phash": None,
        "first_seen": "2024-05-01T10:21:00+00:00",
        "hashed_at": 1714558865.0,
        "missing_since": None,
        "problem": None,
    }
    return named | usual | fields


def stream(items: Iterable[dict[str, Any]]) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunks(json.dumps(item).encode() + b"\n" for item in items)


def test_files_as_a_table(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    listed = [
        a_file(),
        a_file("/srv/日本.mkv".encode(), file_size=10, quick_hash=None),
        a_file(b"/srv/gone.mkv", missing_since="2024-01-01T00:00:00+00:00"),
        a_file(ODD, problem="decode: bad", width=None, duration=None, video_codec=None, audio_codec=None),
    ]
    daemon.on("GET", "/api/files", stream(listed))
    outcome = run("files")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        "      SIZE    LENGTH    PICTURE  CODECS     STATE    PATH",
        "  14.2 GiB   1:56:32  1920x1080  h264/dts            /srv/films/a.mkv",
        "      10 B   1:56:32  1920x1080  h264/dts   pending  /srv/日本.mkv",
        "  14.2 GiB   1:56:32  1920x1080  h264/dts   missing  /srv/gone.mkv",
        "  14.2 GiB         -          -  -          problem  /srv/films/\\xff\\x1b.mkv",
    ]


def test_choice_goes_into_the_query(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/files", answer(200, {"items": [], "next": None}))
    choice = (
        "--under /srv/a --root /srv --type vr --missing --problem --pending -q x --sort size --order desc --limit 7"
    )
    outcome = run("files", *choice.split())
    assert daemon.requests[0].query == {
        "under": "/srv/a",
        "root": "/srv",
        "media_type": "vr",
        "missing": "true",
        "problem": "true",
        "pending": "true",
        "q": "x",
        "sort": "size",
        "order": "desc",
        "limit": "7",
    }
    assert outcome.out == ""
    assert outcome.err == "no such files\n"


def test_raw_bytes_of_a_path_reach_the_daemon(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/files", stream([]))
    daemon.on("GET", "/api/file", answer(200, a_file(ODD)))
    run("files", "--under", os.fsdecode(ODD))
    run("show", os.fsdecode(ODD))
    assert base64.b64decode(daemon.requests[0].query["under_b64"]) == ODD
    assert base64.b64decode(daemon.requests[1].query["path_b64"]) == ODD


def test_long_list_is_a_stream_that_the_daemon_sorts_once(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/files", stream(a_file(b"/srv/%d.mkv" % number) for number in range(2500)))
    lines = run("files", "--sort", "size").out.splitlines()
    assert len(lines) == 2501
    assert lines[-1].endswith("/srv/2499.mkv")
    assert run("files", "--limit", "0").out.splitlines() == lines
    assert len(run("files", "--limit", "2000").out.splitlines()) == 2001
    assert [request.query for request in daemon.requests] == [{"sort": "size"}, {}, {"limit": "2000"}]
    assert {request.headers["accept"] for request in daemon.requests} == {"application/x-ndjson"}


def test_limit_beyond_what_the_daemon_takes(
    daemon: FakeDaemon, run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_PAGE", 1)
    monkeypatch.setattr(files, "_MOST_ASKED", 2)
    daemon.on("GET", "/api/files", stream(a_file() for _ in range(9)))
    assert len(run("files", "--limit", "3", "--json").out.splitlines()) == 3
    assert daemon.requests[0].query == {}


def test_list_that_breaks_off_is_no_list(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/files", stream([a_file(), a_file()]).removesuffix(b"0\r\nTrailer: x\r\n\r\n"))
    outcome = run("files", "--json")
    assert outcome.status == 3
    assert len(outcome.out.splitlines()) == 2


def test_short_list_is_one_page(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/files", answer(200, {"items": [a_file(), a_file(ODD)], "next": "c"}))
    outcome = run("--json", "files", "--limit", "2")
    assert [json.loads(line) for line in outcome.out.splitlines()] == [a_file(), a_file(ODD)]
    assert [request.query for request in daemon.requests] == [{"limit": "2"}]


def test_show_explains_a_file(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    shown = a_file(
        ODD, why=["waits for a retry\x07"], problem="io: error", links=2, vr={"projection": "180", "source": "name"}
    )
    daemon.on("GET", "/api/file", answer(200, shown))
    outcome = run("show", "/srv/films/a.mkv")
    assert daemon.requests[0].query == {"path": "/srv/films/a.mkv"}
    lines = outcome.out.splitlines()
    assert lines[0] == "/srv/films/\\xff\\x1b.mkv"
    fields = {line[2:15].strip(): line[15:] for line in lines[1:]}
    assert fields["state"] == "problem"
    assert fields["why"] == "waits for a retry\\x07"
    assert fields["size"] == "14.2 GiB (15,247,823,104 bytes)"
    assert fields["duration"] == "1:56:32"
    assert fields["picture"] == "1920x1080"
    assert fields["codecs"] == "h264/dts"
    assert fields["quick hash"] == "ab" * 32
    assert fields["links"] == "2"
    assert fields["vr"] == "projection 180, source name"
    assert "missing" not in fields


def test_show_of_a_file_that_is_not_known(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/file", refusal(404, "not_found", "no such file", "Is it inside a root?"))
    outcome = run("show", "/x")
    assert outcome == (4, "", "mediawatchctl: no such file\nhint: Is it inside a root?\n")


@pytest.mark.parametrize("command", [["files"], ["show", "/x"], ["jobs"], ["status"]])
def test_json_of_an_error_leaves_standard_output_empty(
    daemon: FakeDaemon, run: Callable[..., Outcome], command: list[str]
) -> None:
    for path in ("files", "file", "jobs", "status"):
        daemon.on("GET", f"/api/{path}", refusal(500, "internal", "broken"))
    outcome = run("--json", *command)
    assert outcome == (1, "", "mediawatchctl: broken\n")


def test_show_says_how_it_stands_first(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    shown = a_file(
        state="settling", why="It changed.", since="2031-05-04T12:00:00+00:00", next="It is read.", next_at=None
    )
    daemon.on("GET", "/api/file", answer(200, shown))
    lines = run("show", "/srv/films/a.mkv").out.splitlines()
    assert [line[2:15].strip() for line in lines[1:5]] == ["state", "why", "since", "next"]
    assert lines[1].endswith(" settling")
    assert "2031-05-04 12:00:00 (in " in lines[3]


def test_show_of_a_path_that_is_not_in_the_catalog_says_why_as_json_too(
    daemon: FakeDaemon, run: Callable[..., Outcome]
) -> None:
    daemon.on("GET", "/api/file", refusal(404, "not_found", "ignored", "a hint", state="ignored", rule="*.part"))
    assert run("show", "/x") == (4, "", "mediawatchctl: ignored\nhint: a hint\n")
    outcome = run("--json", "show", "/x")
    assert outcome.status == 4
    assert json.loads(outcome.out) == {
        "error": "ignored", "code": "not_found", "hint": "a hint", "state": "ignored", "rule": "*.part",
    }  # fmt: skip


def test_show_of_a_folder(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    folder = {"path": "/srv", "root": "/srv", "files": 12, "bytes": 2048, "state": "folder", "why": "It is a folder."}
    daemon.on("GET", "/api/file", answer(200, folder))
    fields = {line[2:15].strip(): line[15:] for line in run("show", "/srv").out.splitlines()[1:]}
    assert fields == {
        "state": "folder", "why": "It is a folder.", "size": "2.0 KiB (2,048 bytes)", "root": "/srv", "files": "12",
    }  # fmt: skip
