"""What the workers found, where it still applies."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog.outcomes import ask_again
from mediawatchd.model import (
    FINGERPRINT,
    PERCEPTUAL_HASH,
    PROBE,
    QUICK_HASH,
    SECOND,
    AudioStream,
    Changed,
    Failed,
    Hashed,
    Probe,
    Probed,
    Problem,
    VideoStream,
    Vr,
)
from tests.catalogs import PROBE as PROBED
from tests.catalogs import SETTLE, WALL, digest, file

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediawatchd.catalog.rows import FileRow
    from mediawatchd.catalog.transaction import Transaction
    from mediawatchd.model import Outcome, Reason
    from tests.catalogs import Catalog

VIDEO_ONLY = PERCEPTUAL_HASH | FINGERPRINT
MINUTE = 60
HOUR = 3_600


def fail(
    catalog: Catalog, path: bytes, lacks: int = QUICK_HASH, reason: Reason = "io", *, final: bool = False
) -> Transaction:
    row = catalog.row(path)
    return catalog.tell(Failed(row.id, row.stamp, lacks, Problem(reason, f"{reason}!"), final))


def wait_seconds(row: FileRow, catalog: Catalog) -> float:
    return row.due_ns / SECOND - catalog.now


# Hashes


@pytest.mark.parametrize("with_missing", [False, True])
def test_a_hash_is_stored_with_its_time(catalog: Catalog, with_missing: bool) -> None:
    """While something is missing, each hash is compared with that; else it is one statement."""
    catalog.look(b"", file(b"a.mkv"), file(b"gone.mkv"))
    if with_missing:
        catalog.miss(b"", b"gone.mkv")
    catalog.now = 200
    tx = catalog.hash(b"a.mkv", "content")
    row = catalog.row(b"a.mkv")
    assert (row.quick_hash, row.hashed_at, row.lacks) == (digest("content"), WALL + 200, PROBE | VIDEO_ONLY)
    assert ([each.file_id for each in tx.outcomes], +Counter(tx.results), tx.hashed_bytes) == (
        [row.id],
        {"hashed": 1},
        1_000,
    )
    assert catalog.counts()["quick_hashed"] == 1


def test_a_hash_ends_the_restlessness(catalog: Catalog) -> None:
    for size in range(5):
        catalog.look(b"", file(b"a.mkv", size, settle=5))
    assert catalog.row(b"a.mkv").attempts == 4
    catalog.hash(b"a.mkv")
    assert catalog.row(b"a.mkv").attempts == 0


def hashed(row: FileRow) -> Outcome:
    return Hashed(row.id, row.stamp, digest("x"), 1)


def probed(row: FileRow) -> Outcome:
    return Probed(row.id, row.stamp, PROBED)


def failed(row: FileRow) -> Outcome:
    return Failed(row.id, row.stamp, QUICK_HASH, Problem("io", "no"), final=False)


def changed(row: FileRow) -> Outcome:
    return Changed(row.id, row.stamp, b"/media/a.mkv", None)


OUTCOMES = [hashed, probed, failed, changed]


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("change", ["size", "mtime_ns", "ctime_ns", "inode", "links"])
def test_what_was_found_under_another_stamp_is_dropped(
    catalog: Catalog, outcome: Callable[[FileRow], Outcome], change: str
) -> None:
    catalog.look(b"", file(b"a.mkv"))
    row = catalog.row(b"a.mkv")
    tx = catalog.tell(outcome(row._replace(**{change: 99})))
    assert catalog.row(b"a.mkv") == row
    assert ([each.file_id for each in tx.outcomes], +Counter(tx.results), tx.looks) == ([row.id], {"changed": 1}, [])
    assert catalog.value("SELECT count(*) FROM video_metadata") == 0


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_what_was_found_of_a_missing_row_is_dropped(catalog: Catalog, outcome: Callable[[FileRow], Outcome]) -> None:
    catalog.look(b"", file(b"a.mkv"))
    row = catalog.row(b"a.mkv")
    catalog.miss(b"", b"a.mkv")
    before = catalog.by_id(row.id)
    tx = catalog.tell(outcome(row))
    assert catalog.by_id(row.id) == before
    assert ([each.file_id for each in tx.outcomes], +Counter(tx.results)) == ([row.id], {"vanished": 1})


def test_what_was_found_of_a_row_that_is_no_more_is_dropped(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    row = catalog.row(b"a.mkv")
    tx = catalog.tell(hashed(row._replace(id=99)))
    assert ([each.file_id for each in tx.outcomes], +Counter(tx.results)) == ([99], {"vanished": 1})


def test_a_hash_of_an_upgraded_row_that_was_adopted_meanwhile_is_dropped(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    row = catalog.row(b"a.mkv")
    tx = catalog.tell(hashed(row._replace(ctime_ns=None, inode=None, links=None)))
    assert +Counter(tx.results) == {"changed": 1}


def test_a_hidden_row_takes_its_hash_and_is_not_counted(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    row = catalog.row(b"a.mkv")
    with catalog.transaction() as tx:
        tx.connection.execute("UPDATE media_files SET hidden = 1")
        tx.totals.recount(tx.connection, 1)
    catalog.tell(hashed(row))
    assert catalog.row(b"a.mkv").quick_hash == digest("x")
    assert catalog.counts() == {}


# Recognised by content


@pytest.fixture
def gone(catalog: Catalog) -> FileRow:
    """A missing row, with all that can be known of it."""
    catalog.look(b"films/", file(b"a.mkv"))
    row = catalog.know(b"films/a.mkv", "content")
    catalog.miss(b"films/", b"a.mkv")
    catalog.now = 1_000
    return row


def test_a_new_file_with_the_content_of_a_missing_one_is_that_one(catalog: Catalog, gone: FileRow) -> None:
    catalog.look(b"new/", file(b"b.mkv", mtime=7, inode=8))
    new = catalog.row(b"new/b.mkv")
    tx = catalog.hash(b"new/b.mkv", "content")
    row = catalog.row(b"new/b.mkv")
    assert (row.id, row.first_seen, row.video_phash) == (gone.id, gone.first_seen, gone.video_phash)
    assert (row.stamp, row.lacks, row.fact_ns) == (new.stamp, 0, new.fact_ns)
    assert (row.missing_since, row.missing_online_ns, row.missing_walks) == (None, None, None)
    assert [(event.event, event.path, event.former) for event in tx.events] == [
        ("moved", b"/media/new/b.mkv", b"/media/films/a.mkv")
    ]
    assert catalog.value("SELECT count(*) FROM media_files") == 1
    assert catalog.value("SELECT count(*) FROM video_metadata") == 1
    assert [each.file_id for each in tx.outcomes] == [new.id]


def test_a_missing_file_is_recognised_in_another_root(catalog: Catalog, gone: FileRow) -> None:
    catalog.configure(b"/media/", b"/media2/")
    catalog.look(b"/media2/", file(b"b.mkv"))
    catalog.hash(b"/media2/b.mkv", "content")
    assert catalog.present() == {b"/media2/b.mkv": gone.id}
    assert (catalog.counts(1), catalog.counts(2)["files"]) == ({}, 1)


def test_of_two_missing_rows_with_one_content_none_is_recognised(catalog: Catalog, gone: FileRow) -> None:
    catalog.look(b"films/", file(b"copy.mkv"))
    catalog.now += 10
    with catalog.transaction() as tx:  # as if hashed while the first was still there
        row = catalog.row(b"films/copy.mkv")
        tx.store(row, row._replace(quick_hash=gone.quick_hash, lacks=0))
    catalog.miss(b"films/", b"copy.mkv")
    catalog.look(b"new/", file(b"b.mkv"))
    new = catalog.row(b"new/b.mkv").id
    catalog.hash(b"new/b.mkv", "content")
    assert catalog.present() == {b"new/b.mkv": new}
    assert len(catalog.missing()) == 2


def test_a_row_missing_from_a_root_that_is_offline_is_not_recognised(catalog: Catalog, gone: FileRow) -> None:
    """What is there cannot be seen; it may be missing no longer."""
    catalog.configure(b"/media/", b"/media2/")
    catalog.look(b"/media2/", file(b"b.mkv"))
    catalog.online = frozenset({2})
    catalog.hash(b"/media2/b.mkv", "content")
    assert catalog.missing() == [b"films/a.mkv"]


@pytest.mark.parametrize("other", [{"size": 1_001, "content": "content"}, {"size": 1_000, "content": "else"}])
def test_another_size_or_hash_is_another_file(catalog: Catalog, gone: FileRow, other: dict[str, object]) -> None:
    catalog.look(b"new/", file(b"b.mkv", other["size"]))  # type: ignore[arg-type]  # it is one
    catalog.hash(b"new/b.mkv", other["content"])
    assert catalog.missing() == [b"films/a.mkv"]


def test_hashes_that_begin_alike_are_told_apart(catalog: Catalog, gone: FileRow) -> None:
    """Only eight bytes are in the index."""
    assert gone.quick_hash is not None
    catalog.look(b"new/", file(b"b.mkv"))
    row = catalog.row(b"new/b.mkv")
    catalog.tell(Hashed(row.id, row.stamp, gone.quick_hash[:8] + bytes(24), 1))
    assert catalog.missing() == [b"films/a.mkv"]


def test_a_copy_is_no_move(catalog: Catalog) -> None:
    catalog.look(b"films/", file(b"a.mkv"), file(b"other.mkv"))
    a = catalog.know(b"films/a.mkv", "content").id
    catalog.miss(b"films/", b"other.mkv")
    catalog.look(b"new/", file(b"b.mkv"))
    catalog.hash(b"new/b.mkv", "content")
    assert catalog.present()[b"films/a.mkv"] == a
    assert len(catalog.present()) == 2


def test_a_file_whose_hash_is_only_retaken_does_not_become_a_missing_one(catalog: Catalog, gone: FileRow) -> None:
    catalog.look(b"films/", file(b"copy.mkv"))
    with catalog.transaction() as tx:
        row = catalog.row(b"films/copy.mkv")
        tx.store(row, row._replace(quick_hash=gone.quick_hash, lacks=0))
    catalog.look(b"films/", file(b"copy.mkv", ctime=5))
    catalog.hash(b"films/copy.mkv", "content")
    assert catalog.present() == {b"films/copy.mkv": row.id}


def test_a_recognised_song_is_no_video_any_more(catalog: Catalog, gone: FileRow) -> None:
    catalog.look(b"new/", file(b"a.m4a", media_type="audio"))
    catalog.hash(b"new/a.m4a", "content")
    row = catalog.row(b"new/a.m4a")
    assert (row.id, row.media_type) == (gone.id, "audio")


# Probes


def test_a_probe_is_stored_whole(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.hash(b"a.mkv")
    audio = AudioStream("aac", 2, 48_000, "t", "a", "b", "1/2")
    video = VideoStream("hevc", 3840, 1920, 59.94, 90, 10, "hdr10")
    tx = catalog.probe(b"a.mkv", Probe("mov", 1.5, 100, video, audio, None))
    assert +Counter(tx.results) == {"probed": 1}
    assert catalog.row(b"a.mkv").lacks == VIDEO_ONLY
    rows = catalog.connection.execute
    assert rows("SELECT container_format, duration, bitrate FROM media_files").fetchall() == [("mov", 1.5, 100)]
    assert rows("SELECT * FROM video_metadata").fetchall() == [(1, "hevc", 3840, 1920, 59.94, 90, 10, "hdr10")]
    assert rows("SELECT * FROM audio_metadata").fetchall() == [(1, "aac", 2, 48_000, "t", "a", "b", "1/2")]
    assert rows("SELECT * FROM vr_metadata").fetchall() == []


def test_a_second_probe_takes_the_place_of_the_first(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.probe(b"a.mkv", Probe("mov", 1.0, 1, PROBED.video, None, Vr("e", "s", 180, "name")))
    catalog.probe(b"a.mkv", Probe("avi", None, None, None, None, None))
    assert catalog.value("SELECT count(*) FROM vr_metadata") == 0
    assert catalog.value("SELECT count(*) FROM video_metadata") == 0
    assert catalog.value("SELECT container_format FROM media_files") == "avi"


def test_what_a_probe_says_decides_between_video_and_vr(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"), file(b"b.flac", media_type="audio"))
    vr = Vr("equirectangular", "sbs", 180, "name")
    catalog.probe(b"a.mkv", Probe("mov", 1.5, 100, None, None, vr))
    assert catalog.row(b"a.mkv").media_type == "vr"
    assert catalog.counts()["videos"] == 1
    catalog.probe(b"a.mkv", Probe("mov", 1.5, 100, None, None, None))
    assert catalog.row(b"a.mkv").media_type == "video"
    catalog.probe(b"b.flac", Probe("flac", 1.5, 100, None, None, None))
    assert catalog.row(b"b.flac").media_type == "audio"


# Problems


@pytest.mark.parametrize("reason", ["io", "permission"])
def test_a_problem_is_shown_counted_told_and_tried_again_after_a_minute(catalog: Catalog, reason: Reason) -> None:
    catalog.look(b"", file(b"a.mkv"))
    tx = fail(catalog, b"a.mkv", reason=reason)
    row = catalog.row(b"a.mkv")
    assert (row.problem, row.problem_reason, row.problem_lacks) == (f"{reason}!", reason, QUICK_HASH)
    assert row.problem_since == WALL + 100
    assert row.lacks & QUICK_HASH
    assert wait_seconds(row, catalog) == MINUTE
    assert catalog.counts()["problems"] == 1
    assert [(event.event, event.path, event.detail) for event in tx.events] == [
        ("problem", b"/media/a.mkv", f"{reason}!")
    ]


def test_the_wait_doubles_up_to_six_hours_and_the_problem_is_told_once(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    waits, events = [], []
    for _ in range(12):
        catalog.now += 1
        events += fail(catalog, b"a.mkv").events
        waits.append(wait_seconds(catalog.row(b"a.mkv"), catalog) / MINUTE)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]
    assert len(events) == 1
    assert catalog.row(b"a.mkv").problem_since == WALL + 101


def test_the_first_failure_of_a_restless_file_is_tried_again_after_a_minute(catalog: Catalog) -> None:
    for size in range(6):
        catalog.look(b"", file(b"a.mkv", size))
    fail(catalog, b"a.mkv")
    assert wait_seconds(catalog.row(b"a.mkv"), catalog) == MINUTE


def test_a_later_success_ends_the_problem(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    fail(catalog, b"a.mkv")
    catalog.hash(b"a.mkv")
    row = catalog.row(b"a.mkv")
    assert (row.problem, row.problem_reason, row.problem_lacks, row.problem_since) == (None, None, None, None)
    assert (row.attempts, row.lacks & QUICK_HASH) == (0, 0)


def test_a_success_of_one_kind_does_not_end_the_problem_of_another(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.hash(b"a.mkv")
    fail(catalog, b"a.mkv", PROBE, "decode", final=True)
    catalog.look(b"", file(b"a.mkv", ctime=2))
    catalog.hash(b"a.mkv")
    assert catalog.row(b"a.mkv").problem == "decode!"


def test_a_final_problem_is_not_tried_again_until_somebody_asks(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"), file(b"b.mkv"))
    for name in (b"a.mkv", b"b.mkv"):
        catalog.hash(name)
        fail(catalog, name, PROBE, "decode", final=True)
    row = catalog.row(b"a.mkv")
    assert row.lacks == VIDEO_ONLY
    catalog.now = 500
    catalog.run(lambda tx: ask_again(tx, [row.id]))
    asked = catalog.row(b"a.mkv")
    assert (asked.lacks, asked.due_ns, asked.attempts) == (PROBE | VIDEO_ONLY, 500 * SECOND, 0)
    assert asked.problem == "decode!", "shown until the next attempt has ended"
    assert catalog.row(b"b.mkv").lacks == VIDEO_ONLY
    catalog.probe(b"a.mkv")
    assert catalog.row(b"a.mkv").problem is None


def test_asking_again_ends_the_wait(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    for _ in range(9):
        fail(catalog, b"a.mkv")
    row = catalog.row(b"a.mkv")
    catalog.run(lambda tx: ask_again(tx, [row.id]))
    assert wait_seconds(catalog.row(b"a.mkv"), catalog) == 0
    fail(catalog, b"a.mkv")
    assert wait_seconds(catalog.row(b"a.mkv"), catalog) == MINUTE


def test_asking_again_for_what_has_no_problem_or_is_gone_changes_nothing(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"), file(b"b.mkv"))
    fail(catalog, b"b.mkv")
    rows = [catalog.row(b"a.mkv"), catalog.row(b"b.mkv")]
    catalog.miss(b"", b"b.mkv")
    before = catalog.by_id(rows[1].id)
    catalog.run(lambda tx: ask_again(tx, [99, *(row.id for row in rows)]))
    assert catalog.row(b"a.mkv") == rows[0]
    assert catalog.by_id(rows[1].id) == before


def test_a_passing_problem_does_not_make_a_final_one_forgotten(catalog: Catalog) -> None:
    """A row has one problem: the attempt that it was about must be made anew, or its failure is lost."""
    catalog.look(b"", file(b"a.mkv"))
    catalog.hash(b"a.mkv")
    fail(catalog, b"a.mkv", PROBE, "decode", final=True)
    catalog.look(b"", file(b"a.mkv", ctime=2))
    fail(catalog, b"a.mkv", QUICK_HASH, "io")
    catalog.hash(b"a.mkv")
    row = catalog.row(b"a.mkv")
    assert row.problem is None
    assert row.lacks & PROBE


def test_a_final_problem_of_the_hash_leaves_the_file_without_one(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    fail(catalog, b"a.mkv", QUICK_HASH, "io", final=True)
    row = catalog.row(b"a.mkv")
    assert (row.quick_hash, row.lacks & QUICK_HASH, row.problem) == (None, 0, "io!")


def test_a_failure_of_what_was_found_out_meanwhile_is_no_problem(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.hash(b"a.mkv")
    before = catalog.row(b"a.mkv")
    fail(catalog, b"a.mkv", QUICK_HASH)
    assert catalog.row(b"a.mkv") == before


# Changed while it was read


def test_a_file_that_changed_while_it_was_read_settles_again(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.now = 200
    tx = catalog.tell(changed(catalog.row(b"a.mkv")))
    assert wait_seconds(catalog.row(b"a.mkv"), catalog) == SETTLE
    assert len(tx.looks) == 1
    assert +Counter(tx.results) == {"changed": 1}
    assert "problems" not in catalog.counts()


def test_outcomes_are_taken_in_order(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    row = catalog.row(b"a.mkv")
    tx = catalog.tell(hashed(row), probed(row))
    assert catalog.row(b"a.mkv").lacks == VIDEO_ONLY
    assert [each.file_id for each in tx.outcomes] == [row.id, row.id]
