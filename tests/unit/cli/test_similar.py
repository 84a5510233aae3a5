"""How copies are shown: what a person needs to decide, and nothing that deletes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.unit.cli.fake_daemon import FakeDaemon, answer, refusal
from tests.unit.cli.test_files import ODD, a_file, stream

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.unit.cli.conftest import Outcome

GIB = 1 << 30


def a_pair(a: dict[str, Any], b: dict[str, Any], **fields: object) -> dict[str, Any]:
    usual = {
        "a": a["path"], "a_b64": a["path_b64"], "b": b["path"], "b_b64": b["path_b64"], "verdict": "duplicate",
        "distance": 19.6, "matched_frames": 14, "offset_seconds": 0.0, "mirrored": True, "cropped": False,
        "keep": a["path"], "keep_b64": a["path_b64"], "keep_reason": "resolution: 1920x1080, the next has 640x360",
        "reclaimable_bytes": GIB, "same_bytes": False, "same_file": False, "files": [a, b], "dismissed_at": None,
    }  # fmt: skip
    return usual | fields


FILM = a_file()
SMALL = a_file(
    b"/srv/sorted/small.avi",
    file_size=GIB,
    width=640,
    height=360,
    bitrate=900_000,
    video_codec="mpeg4",
    audio_codec="mp3",
)
STRANGE = a_file(ODD, offline=True)
PAIR = a_pair(FILM, SMALL)
PART = a_pair(
    SMALL, FILM, verdict="contained", mirrored=False, offset_seconds=3600.4, keep=FILM["path"],
    keep_reason="length: it holds all of the other",
)  # fmt: skip


def test_a_pair_says_what_it_is_what_differs_and_which_to_keep(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/similar", stream([PAIR]))
    outcome = run("similar")
    assert outcome.status == 0
    assert outcome.out.splitlines() == [
        "duplicate, would free 1.0 GiB; 20 of 256 bits apart in 14 frames, mirrored",
        "  keep  /srv/films/a.mkv",
        "        14.2 GiB  1:56:32  1920x1080  17.4 Mbit/s   h264/dts  resolution: 1920x1080, the next has 640x360",
        "        /srv/sorted/small.avi",
        "         1.0 GiB  1:56:32    640x360   900 kbit/s  mpeg4/mp3",
        "",
        "1 pair; up to 1.0 GiB could be reclaimed",
    ]
    assert "similar --groups" in outcome.err


def test_what_is_contained_stands_below_what_holds_it(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/similar", stream([PART]))
    lines = run("similar").out.splitlines()
    assert lines[0] == "contained, would free 1.0 GiB; 20 of 256 bits apart in 14 frames"
    assert lines[1] == "  keep  /srv/films/a.mkv"
    assert lines[2].endswith("length: it holds all of the other")
    assert lines[3] == "        /srv/sorted/small.avi"
    assert lines[4].endswith("from 1:00:00 on in the other")


def test_the_size_of_a_file_in_several_pairs_counts_once(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    other = a_file(b"/srv/other.mkv")
    daemon.on("GET", "/api/similar", stream([PAIR, a_pair(other, SMALL)]))
    assert run("similar").out.splitlines()[-1] == "2 pairs; up to 1.0 GiB could be reclaimed"


def test_pairs_of_exact_copies_are_left_to_duplicates(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/similar", stream([a_pair(FILM, SMALL, same_bytes=True)]))
    outcome = run("similar")
    assert (outcome.status, outcome.out) == (0, "")
    assert outcome.err.startswith("1 pair of exact copies not shown: `mediawatchctl duplicates`")
    assert len(run("similar", "--json").out.splitlines()) == 1


def test_json_is_one_pair_a_line(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/similar", stream([PAIR, PART]))
    outcome = run("--json", "similar", "/srv/films", "--threshold", "60", "--dismissed")
    assert [json.loads(line) for line in outcome.out.splitlines()] == [PAIR, PART]
    assert daemon.requests[0].query == {"path": "/srv/films", "threshold": "60", "dismissed": "true"}
    assert outcome.err == ""


def test_a_group_is_listed_with_the_copy_to_keep(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    group = {
        "kind": "similar", "keep": FILM["path"], "keep_b64": None, "keep_reason": "resolution: 1920x1080",
        "paths": [FILM["path"], SMALL["path"], STRANGE["path"]], "paths_b64": [None, None, STRANGE["path_b64"]],
        "hard_links": [[FILM["path"], STRANGE["path"]]], "hard_links_b64": [[None, STRANGE["path_b64"]]],
        "reclaimable_bytes": 3 * GIB,
        "files": [
            FILM | {"verdict": None},
            SMALL | {"verdict": "probable", "distance": 70.2, "cropped": True},
            STRANGE | {"verdict": "duplicate", "distance": 0.0, "same_bytes": True},
        ],
    }  # fmt: skip
    daemon.on("GET", "/api/similar", stream([group, group]))
    outcome = run("similar", "--groups")
    assert daemon.requests[0].query == {"groups": "true"}
    lines = outcome.out.splitlines()
    assert lines[0] == "3 videos, would free 3.0 GiB"
    assert lines[1] == "  keep  /srv/films/a.mkv"
    assert lines[2].endswith("resolution: 1920x1080, hard link")
    assert lines[4].rstrip().endswith("probable, 70 bits, cropped")
    assert lines[5] == "        /srv/films/\\xff\\x1b.mkv"
    assert lines[6].endswith("offline  same bytes, hard link")
    assert lines[-1] == "2 groups of 6 videos; 6.0 GiB could be reclaimed"


def test_a_remark_that_does_not_fit_has_a_line_of_its_own(
    daemon: FakeDaemon, run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediawatchd.cli.screen.Screen.is_terminal", True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    daemon.on("GET", "/api/similar", stream([PAIR]))
    lines = run("similar").out.splitlines()
    assert lines[2:4] == [
        "        14.2 GiB  1:56:32  1920x1080  17.4 Mbit/s   h264/dts",
        "        resolution: 1920x1080, the next has 640x360",
    ]


def test_a_long_list_is_cut_and_counted_to_its_end(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    pairs = [a_pair(FILM, a_file(b"/srv/%d.mkv" % number, file_size=GIB)) for number in range(5)]
    daemon.on("GET", "/api/similar", stream(pairs))
    outcome = run("similar", "--limit", "2")
    assert outcome.out.count("  keep  ") == 2
    assert outcome.out.splitlines()[-1] == "5 pairs; up to 5.0 GiB could be reclaimed"
    assert outcome.err.startswith("the first 2 of 5 are shown; --limit 0 shows all\n")
    assert run("similar", "--limit", "0").out.count("  keep  ") == 5


def test_none_is_told_with_what_it_means(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/similar", stream([]))
    for catalog, said in (
        ({"phashed": 0, "pending_match": 0}, "no video was hashed for this yet: `mediawatchctl phash` does it\n"),
        ({"phashed": 9, "pending_match": 4}, "none yet: 4 videos still to be compared\n"),
        ({"phashed": 9, "pending_match": 0}, "no similar videos\n"),
    ):
        daemon.on("GET", "/api/status", answer(200, {"catalog": catalog}))
        assert run("similar") == (0, "", said)
        assert run("similar", "--groups") == (0, "", said)
    assert run("similar", "--dismissed") == (0, "", "no pairs were dismissed\n")


def test_dismissed_pairs_are_listed_with_their_time(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    at = "2026-01-02T03:04:05+00:00"
    forgotten = dict.fromkeys(("verdict", "distance", "matched_frames", "offset_seconds", "mirrored", "cropped"))
    daemon.on("GET", "/api/similar", stream([PAIR | {"dismissed_at": at}, PAIR | forgotten | {"dismissed_at": at}]))
    lines = run("similar", "--dismissed").out.splitlines()
    assert lines[0] == "dismissed 2026-01-02 03:04:05; alike: duplicate, 20 bits, mirrored"
    assert lines[1] == "        /srv/films/a.mkv"
    assert "dismissed 2026-01-02 03:04:05; not alike" in lines
    assert not any(line.startswith("  keep") for line in lines)


def test_a_verdict_names_both_files(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    for call, done, known in (
        ("dismiss", "dismissed: they are no longer shown as similar", "they were dismissed already"),
        ("undismiss", "taken back: they are shown if they are similar", "they were not dismissed"),
    ):
        daemon.on("POST", f"/api/similar/{call}", answer(200, {"changed": True}), answer(200, {"changed": False}))
        assert run(call, "/srv/a.mkv", "/srv/b.mkv") == (0, f"{done}\n", "")
        assert daemon.requests[-1].body == {"a": "/srv/a.mkv", "b": "/srv/b.mkv"}
        assert run(call, "/srv/a.mkv", "/srv/b.mkv") == (0, f"nothing changed: {known}\n", "")
    daemon.on("POST", "/api/similar/dismiss", refusal(404, "not_found", "the catalog knows no file /srv/b.mkv"))
    assert run("dismiss", "/srv/a.mkv", "/srv/b.mkv").status == 4


def test_a_threshold_that_is_none_is_a_wrong_command_line(run: Callable[..., Outcome]) -> None:
    for wrong in ("257", "-1", "x"):
        assert run("similar", "--threshold", wrong).status == 2
