"""What is answered about similar videos, over a real catalog."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mediawatchd.catalog import missing, roots, similar
from mediawatchd.control import answers
from mediawatchd.control.copies import Reach
from mediawatchd.model import Away
from tests.alike import Alike, short
from tests.catalogs import MEDIA


@pytest.fixture
def alike() -> Alike:
    """Three films: one in three copies, the best of them last; one with a part of it; one by itself."""
    alike = Alike()
    alike.video(b"films/a.mkv", 5_000, width=1280)
    alike.video(b"copies/a.avi", 1_000, width=640, bitrate=500_000)
    alike.video(b"copies/a.mkv", 9_000, width=1920)
    alike.video(b"films/b.mkv", 8_000)
    alike.video(b"films/b part.mkv", 4_000, width=3840)
    alike.video(b"films/c.mkv", 7_000)
    alike.pair(b"films/a.mkv", b"copies/a.avi", distance=20.123, offset=2.5)
    alike.pair(b"films/a.mkv", b"copies/a.mkv", distance=30)
    alike.pair(b"copies/a.avi", b"copies/a.mkv", verdict="probable", distance=70, offset=-1)
    alike.pair(b"films/b part.mkv", b"films/b.mkv", verdict="contained", offset=60, part=b"films/b part.mkv")
    return alike


A = ("films/a.mkv", "copies/a.avi")
BEST = ("films/a.mkv", "copies/a.mkv")
WORST = ("copies/a.avi", "copies/a.mkv")
PART = ("films/b part.mkv", "films/b.mkv")


def the_pair(alike: Alike, names: tuple[str, str], query: str = "") -> dict[str, Any]:
    return next(pair for pair in alike.items(f"/api/similar?{query}") if (short(pair["a"]), short(pair["b"])) == names)


def test_pairs_come_by_the_size_of_the_smaller_file(alike: Alike) -> None:
    assert alike.pairs() == [BEST, PART, WORST, A]


def test_a_pair_has_the_fields_that_scripts_use(alike: Alike) -> None:
    pair = the_pair(alike, A)
    assert {name: pair[name] for name in ("verdict", "distance", "matched_frames", "offset_seconds")} == {
        "verdict": "duplicate", "distance": 20.12, "matched_frames": 16, "offset_seconds": 2.5,
    }  # fmt: skip
    assert (pair["mirrored"], pair["cropped"]) == (False, True)
    assert (pair["a_b64"], pair["b_b64"], pair["keep_b64"]) == (None, None, None)
    assert (short(pair["keep"]), pair["reclaimable_bytes"]) == ("films/a.mkv", 1_000)
    assert pair["keep_reason"].startswith("resolution")
    shown = pair["files"][1]
    assert (short(shown["path"]), shown["file_size"], shown["width"], shown["video_codec"]) == (
        "copies/a.avi", 1_000, 640, "h264",
    )  # fmt: skip
    assert (shown["offline"], pair["same_bytes"], pair["same_file"], pair["dismissed_at"]) == (
        False,
        False,
        False,
        None,
    )


def test_what_is_contained_is_named_first_and_the_whole_is_kept(alike: Alike) -> None:
    pair = the_pair(alike, PART)
    assert (short(pair["keep"]), pair["reclaimable_bytes"], pair["offset_seconds"]) == ("films/b.mkv", 4_000, 60)
    alike.video(b"early part.mkv", 500)
    alike.video(b"whole.mkv", 600)
    alike.pair(b"early part.mkv", b"whole.mkv", verdict="contained", offset=7, part=b"early part.mkv")
    assert the_pair(alike, ("early part.mkv", "whole.mkv"))["offset_seconds"] == 7


def test_pages_go_on_where_the_last_one_ended(alike: Alike) -> None:
    seen: list[tuple[str, str]] = []
    target = "/api/similar?limit=1"
    while True:
        page = alike.ask(target).json
        seen += [(short(pair["a"]), short(pair["b"])) for pair in page["items"]]
        if page["next"] is None:
            break
        target = f"/api/similar?limit=1&after={page['next']}"
    assert seen == [BEST, PART, WORST, A]


def test_all_pairs_come_as_lines(alike: Alike, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mediawatchd.control.similar.ROWS_AT_ONCE", 3)
    lines = alike.ask("/api/similar", headers={"Accept": answers.NDJSON}).content.splitlines()
    assert [json.loads(line) for line in lines] == alike.items("/api/similar")
    lines = alike.ask("/api/similar?groups=1", headers={"Accept": answers.NDJSON}).content.splitlines()
    assert [json.loads(line) for line in lines] == alike.items("/api/similar?groups=1")
    lines = alike.ask("/api/similar?limit=2", headers={"Accept": answers.NDJSON}).content.splitlines()
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        ("threshold=20", [PART]),
        ("threshold=21", [PART, A]),
        ("verdict=probable", [WORST]),
        ("verdict=contained", [PART]),
        (f"path={MEDIA.decode()}films", [BEST, PART, A]),
        (f"path={MEDIA.decode()}copies/a.avi", [WORST, A]),
        (f"path={MEDIA.decode()}copies/a.avi&verdict=duplicate", [A]),
        (f"path={MEDIA.decode()}films/c.mkv", []),
        ("path=/", [BEST, PART, WORST, A]),
    ],
)
def test_pairs_are_narrowed(alike: Alike, query: str, pairs: list[tuple[str, str]]) -> None:
    assert alike.pairs(query) == pairs


def test_a_path_that_nobody_knows_is_refused(alike: Alike) -> None:
    answer = alike.ask("/api/similar?path=/media/flims")
    assert (answer.status, answer.json["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "query", ["threshold=257", "threshold=x", "verdict=maybe", "groups=2", "groups=1&verdict=contained",
              "groups=1&dismissed=1", "limit=0"],
)  # fmt: skip
def test_queries_that_make_no_sense_are_refused(alike: Alike, query: str) -> None:
    assert (alike.ask(f"/api/similar?{query}").status, alike.ask(f"/api/similar?{query}").json["code"]) == (
        400, "bad_value",
    )  # fmt: skip


@pytest.mark.parametrize("query", ["after=1-2", "after=x", "after=1-2--3", "after=1-2-3&groups=1"])
def test_cursors_of_no_page_are_refused(alike: Alike, query: str) -> None:
    assert alike.ask(f"/api/similar?{query}").json["code"] == "bad_cursor"


def test_pairs_with_a_missing_file_wait_for_its_return(alike: Alike) -> None:
    alike.catalog.miss(b"copies/", b"a.avi")
    assert alike.pairs() == [BEST, PART]
    alike.video(b"copies/a.avi", 1_000, width=640, bitrate=500_000)
    assert alike.pairs() == [BEST, PART, WORST, A]


def test_pairs_with_a_file_that_may_be_another_by_now_are_not_listed(alike: Alike) -> None:
    row = alike.catalog.row(b"copies/a.avi")
    with alike.catalog.transaction() as tx:
        tx.store(row, row._replace(former_quick_hash=row.quick_hash, quick_hash=None, lacks=row.lacks | 1))
    assert alike.pairs() == [BEST, PART]


def test_pairs_of_hidden_files_and_of_roots_that_left_are_not_listed(alike: Alike) -> None:
    with alike.catalog.transaction() as tx:
        roots.apply_rules(tx, "rules", lambda _root, path: not path.endswith(b".avi"))
    assert alike.pairs() == [BEST, PART]
    alike.catalog.configure(b"/elsewhere/")
    assert alike.pairs() == []


def test_files_of_a_root_that_is_away_are_marked(alike: Alike) -> None:
    alike.operations.reach = lambda: Reach(frozenset(), frozenset())  # type: ignore[method-assign]
    assert [each["offline"] for each in the_pair(alike, A)["files"]] == [True, True]


def test_no_video_on_a_disk_that_is_away_is_to_be_kept(alike: Alike) -> None:
    disk = alike.filesystem_id(b"copies/")
    away = frozenset([Away(MEDIA + b"copies/", disk)])
    alike.operations.reach = lambda: Reach(frozenset([1]), away)  # type: ignore[method-assign]
    pair = the_pair(alike, BEST)
    assert [each["offline"] for each in pair["files"]] == [False, True]
    assert (short(pair["keep"]), pair["keep_reason"]) == ("films/a.mkv", "reach: the next is offline")
    (group,) = alike.items("/api/similar?groups=1")
    assert short(group["keep"]) == "films/a.mkv"


def test_hard_links_are_no_waste(alike: Alike) -> None:
    alike.video(b"films/link one.mkv", 6_000, content="link", inode=77, links=2)
    alike.video(b"films/link two.mkv", 6_000, content="link", inode=77, links=2)
    alike.pair(b"films/link one.mkv", b"films/link two.mkv", distance=0)
    pair = the_pair(alike, ("films/link one.mkv", "films/link two.mkv"))
    assert (pair["same_file"], pair["same_bytes"], pair["reclaimable_bytes"]) == (True, True, 0)
    assert len(alike.items("/api/similar?groups=1")) == 1


# Verdicts of a person


def dismiss(alike: Alike, one: bytes, other: bytes) -> None:
    alike.catalog.now += 1
    assert alike.catalog.run(lambda tx: similar.dismiss(tx, alike.id(one), alike.id(other)))


def test_what_was_dismissed_is_listed_by_itself(alike: Alike) -> None:
    dismiss(alike, b"copies/a.mkv", b"copies/a.avi")
    dismiss(alike, b"films/c.mkv", b"films/a.mkv")
    assert alike.pairs() == [BEST, PART, A]
    assert alike.pairs("dismissed=true") == [("films/a.mkv", "films/c.mkv"), WORST]
    never, pair = alike.items("/api/similar?dismissed=true")
    assert (never["verdict"], never["distance"], never["mirrored"]) == (None, None, None)
    assert (pair["verdict"], pair["distance"]) == ("probable", 70)
    assert never["dismissed_at"] > pair["dismissed_at"] > "2"
    assert alike.pairs(f"dismissed=true&path={MEDIA.decode()}copies/a.mkv") == [WORST]
    assert alike.pairs("dismissed=true&limit=1") == [("films/a.mkv", "films/c.mkv")]
    onward = alike.ask("/api/similar?dismissed=true&limit=1").json["next"]
    assert alike.pairs(f"dismissed=true&after={onward}") == [WORST]


def test_a_verdict_outlives_a_move_a_new_hash_and_a_time_away(alike: Alike) -> None:
    dismiss(alike, b"copies/a.avi", b"films/a.mkv")
    alike.catalog.look(b"films/", alike.catalog.moved(b"copies/a.avi", here=b"moved.avi"))
    alike.catalog.connection.execute("DELETE FROM similar_pairs")
    assert alike.pairs("dismissed=1") == [("films/a.mkv", "films/moved.avi")]
    alike.pair(b"films/moved.avi", b"films/a.mkv")
    assert alike.pairs() == []
    alike.catalog.miss(b"films/", b"moved.avi")
    assert alike.pairs("dismissed=1") == [("films/a.mkv", "films/moved.avi")]


def test_a_verdict_goes_with_its_files(alike: Alike) -> None:
    dismiss(alike, b"copies/a.avi", b"films/a.mkv")
    alike.catalog.miss(b"copies/", b"a.avi")
    with alike.catalog.transaction() as tx:
        roots.add_online(tx, [1], 8 * alike.catalog.policy.keep_ns)
        tx.connection.execute("UPDATE roots SET walks = 9")
        tx.roots.update(roots.load_roots(tx.connection))
    alike.catalog.run(missing.purge)
    assert alike.pairs("dismissed=1") == []


def test_a_verdict_is_given_and_taken_back_once(alike: Alike) -> None:
    one, other = alike.id(b"copies/a.avi"), alike.id(b"films/a.mkv")
    assert alike.catalog.run(lambda tx: similar.dismiss(tx, one, other))
    assert not alike.catalog.run(lambda tx: similar.dismiss(tx, other, one))
    assert alike.catalog.run(lambda tx: similar.undismiss(tx, other, one))
    assert not alike.catalog.run(lambda tx: similar.undismiss(tx, one, other))
    assert alike.pairs() == [BEST, PART, WORST, A]


# Groups


def test_a_group_stands_around_the_copy_to_keep(alike: Alike) -> None:
    (group,) = alike.items("/api/similar?groups=true")
    assert group["kind"] == "similar"
    assert [short(path) for path in group["paths"]] == ["copies/a.mkv", "films/a.mkv", "copies/a.avi"]
    assert group["paths_b64"] == [None, None, None]
    assert (short(group["keep"]), group["reclaimable_bytes"], group["hard_links"]) == ("copies/a.mkv", 6_000, [])
    kept, film, small = group["files"]
    assert (kept["verdict"], film["verdict"], small["verdict"]) == (None, "duplicate", "probable")
    assert (film["distance"], small["distance"]) == (30, 70)
    assert (kept["offset_seconds"], small["offset_seconds"]) == (None, -1)
    assert small["file_size"] == 1_000


@pytest.mark.parametrize("path", ["copies/a.avi", "films", "copies", ""])
def test_a_group_is_whole_wherever_it_is_asked_for(alike: Alike, path: str) -> None:
    whole = alike.items("/api/similar?groups=1")
    assert alike.items(f"/api/similar?groups=1&path={MEDIA.decode()}{path}") == whole
    assert alike.items(f"/api/similar?groups=1&path={MEDIA.decode()}films/c.mkv") == []


def test_grouping_takes_a_place_among_the_long_calls(alike: Alike) -> None:
    places = [alike.direct.long_calls.enter() for _ in range(alike.direct.long_calls.most)]
    assert alike.ask("/api/similar?groups=1").json["code"] == "too_many_streams"
    assert alike.ask("/api/similar").status == 200
    places[0].leave()
    assert alike.ask("/api/similar?groups=1").status == 200
    assert alike.direct.long_calls.open == len(places) - 1


def test_groups_are_never_chains(alike: Alike) -> None:
    alike.catalog.connection.execute("DELETE FROM similar_pairs WHERE distance = 70")
    (group,) = alike.items("/api/similar?groups=true")
    assert [short(path) for path in group["paths"]] == ["copies/a.mkv", "films/a.mkv"]


def test_what_was_dismissed_or_is_too_far_away_is_in_no_group(alike: Alike) -> None:
    (group,) = alike.items("/api/similar?groups=true&threshold=60")
    assert [short(path) for path in group["paths"]] == ["copies/a.mkv", "films/a.mkv"]
    dismiss(alike, b"copies/a.mkv", b"films/a.mkv")
    (group,) = alike.items("/api/similar?groups=true")
    assert [short(path) for path in group["paths"]] == ["copies/a.mkv", "copies/a.avi"]


def test_groups_that_free_most_come_first_page_by_page(alike: Alike) -> None:
    for number, size in enumerate((2_000, 50_000, 2_000)):
        one, other = b"more/%d.mkv" % number, b"more/%d.avi" % number
        alike.video(one, size)
        alike.video(other, size, width=640)
        alike.pair(one, other)
    freed = [group["reclaimable_bytes"] for group in alike.items("/api/similar?groups=1")]
    assert freed == [50_000, 6_000, 2_000, 2_000]
    seen: list[str] = []
    target = "/api/similar?groups=1&limit=1"
    for _ in range(4):
        page = alike.ask(target).json
        seen += [short(group["keep"]) for group in page["items"]]
        target = f"/api/similar?groups=1&limit=1&after={page['next']}"
    assert page["next"] is None
    assert sorted(seen) == ["copies/a.mkv", "more/0.mkv", "more/1.mkv", "more/2.mkv"]
    below = alike.items(f"/api/similar?groups=1&path={MEDIA.decode()}more/2.avi")
    assert [short(group["keep"]) for group in below] == ["more/2.mkv"]
