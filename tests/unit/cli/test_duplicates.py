from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.unit.cli.fake_daemon import FakeDaemon, answer, refusal
from tests.unit.cli.test_files import ODD, a_file, stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.cli.conftest import Outcome

GIB = 1 << 30


def a_group(*files: dict[str, Any], **fields: object) -> dict[str, Any]:
    usual = {
        "kind": "exact", "quick_hash": "ab" * 32, "file_size": GIB, "paths": [file["path"] for file in files],
        "paths_b64": [file["path_b64"] for file in files], "hard_links": [], "hard_links_b64": [],
        "reclaimable_bytes": (len(files) - 1) * GIB, "keep": files[0]["path"], "keep_b64": files[0]["path_b64"],
        "keep_reason": "all alike", "verified": False, "files": list(files),
    }  # fmt: skip
    return usual | fields


FILMS = (a_file(b"/srv/a.mkv"), a_file(ODD), a_file(b"/srv/c.mkv", offline=True))
GROUP = a_group(*FILMS)


def test_a_group_lists_its_paths_and_what_could_be_freed(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    links = {"hard_links": [["/srv/a.mkv", GROUP["paths"][1]]], "hard_links_b64": [[None, GROUP["paths_b64"][1]]]}
    daemon.on("GET", "/api/duplicates", stream([GROUP, a_group(*FILMS, verified=True, reclaimable_bytes=GIB, **links)]))
    outcome = run("duplicates")
    assert (outcome.status, daemon.requests[0].query) == (0, {})
    assert outcome.out.splitlines() == [
        "3 paths of 1.0 GiB, would free 2.0 GiB; the same size and quick hash",
        "  keep  /srv/a.mkv",
        "        /srv/films/\\xff\\x1b.mkv",
        "        /srv/c.mkv  (offline)",
        "",
        "3 paths of 1.0 GiB, would free 1.0 GiB; compared byte for byte",
        "  keep  /srv/a.mkv  (hard link)",
        "        /srv/films/\\xff\\x1b.mkv  (hard link)",
        "        /srv/c.mkv  (offline)",
        "",
        "2 groups of 6 paths; 3.0 GiB could be reclaimed; 1 of 2 compared byte for byte",
    ]
    assert "duplicates --verify" in outcome.err


def test_links_of_several_files_are_told_apart(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    paths = [a_file(b"/srv/%d" % number) for number in range(4)]
    links = [["/srv/0", "/srv/2"], ["/srv/1", "/srv/3"]]
    daemon.on("GET", "/api/duplicates", stream([a_group(*paths, hard_links=links, hard_links_b64=[[None] * 2] * 2)]))
    lines = run("duplicates").out.splitlines()
    assert [line.rpartition("(")[2] for line in lines[1:5]] == [f"hard link of file {n})" for n in (1, 2, 1, 2)]


def test_only_what_is_not_yet_compared_is_compared(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    known = a_group(*FILMS, verified=True, quick_hash="00" * 32)
    daemon.on("GET", "/api/duplicates", stream([known, GROUP]))
    compared = a_group(*FILMS[:2], verified=True)
    reply = {
        "groups": [compared], "different": ["/srv/c.mkv"], "different_b64": [None],
        "uncompared": [{"path": "/srv/d.mkv", "path_b64": None, "reason": "It changed."}],
    }  # fmt: skip
    daemon.on("POST", "/api/duplicates/verify", answer(200, reply))
    outcome = run("--json", "duplicates", "/srv", "--verify")
    assert [json.loads(line) for line in outcome.out.splitlines()] == [known, compared]
    assert [request.body for request in daemon.requests if request.method == "POST"] == [
        {"file_size": GIB, "quick_hash": "ab" * 32}
    ]
    assert daemon.requests[0].query == {"under": "/srv"}
    assert outcome.err.splitlines() == [
        "comparing 1 of 1: 3 paths of 1.0 GiB",
        "  differs from the others: /srv/c.mkv",
        "  not compared: /srv/d.mkv: It changed.",
    ]


def test_a_group_that_went_meanwhile_is_left_out(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/duplicates", stream([GROUP]))
    daemon.on("POST", "/api/duplicates/verify", refusal(404, "not_found", "no"))
    outcome = run("duplicates", "--verify")
    assert (outcome.status, outcome.out) == (0, "")
    assert outcome.err.endswith("no duplicates\n")
    daemon.on("POST", "/api/duplicates/verify", refusal(503, "too_many_streams", "busy"))
    assert run("duplicates", "--verify").status == 1


def test_none(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/duplicates", stream([]))
    assert run("duplicates") == (0, "", "no duplicates\n")
