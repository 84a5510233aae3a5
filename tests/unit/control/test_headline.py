"""The line that systemd shows."""

from __future__ import annotations

import pytest

from mediawatchd.control.headline import headline
from mediawatchd.watching.status import RootStatus

FILMS = RootStatus(
    id=1, path=b"/films/", state="online", since=0, message=None, hint=None, next_attempt=None, watch="inotify",
    unwatched_directories=0, walking=None, last_walk=None, last_walk_seconds=None,
)  # fmt: skip
MUSIC = FILMS._replace(id=2, path="/音楽/".encode())
NOTHING = {"files": 0, "pending_quick_hash": 0, "pending_probe": 0, "pending_phash": 0}
TOTALS = {
    1: {"files": 1204, "pending_quick_hash": 30, "pending_probe": 1000, "pending_phash": 2},
    2: {**NOTHING, "files": 1},
}


@pytest.mark.parametrize(
    ("state", "roots", "line"),
    [
        ("idle", [FILMS], "1,204 files in /films, idle"),
        ("idle", [MUSIC], "1 file in /音楽, idle"),
        ("paused", [FILMS, MUSIC], "1,205 files in 2 folders, paused"),
        ("scanning", [FILMS._replace(walking=b"/films/new/"), MUSIC], "scanning /films: 1,204 files"),
        ("scanning", [FILMS, MUSIC], "scanning 2 folders: 1,205 files"),
        ("hashing", [FILMS, MUSIC], "1,205 files in 2 folders, hashing, 1,032 to do"),
        ("idle", [FILMS._replace(state="offline")], "1,204 files in /films, idle; offline: /films"),
        ("idle", [FILMS._replace(path=b"/")], "1,204 files in /, idle"),
        ("idle", [FILMS._replace(path=b"/a\xff\n/")], "1,204 files in /a\\xff\\n, idle"),
        ("starting", [], "0 files in 0 folders, starting"),
    ],
)
def test_it_says_what_goes_on(state: str, roots: list[RootStatus], line: str) -> None:
    assert headline(state, roots, TOTALS, []) == line


def test_the_first_trouble_is_shown_and_the_others_are_counted() -> None:
    assert headline("idle", [FILMS], TOTALS, ["it is full"]) == "1,204 files in /films, idle; degraded: it is full"
    assert headline("idle", [FILMS], TOTALS, ["one", "two", "three"]).endswith("; degraded: one (and 2 more)")


def test_a_root_that_the_catalog_has_not_counted_yet_holds_nothing() -> None:
    assert headline("idle", [MUSIC], {}, []) == "0 files in /音楽, idle"
