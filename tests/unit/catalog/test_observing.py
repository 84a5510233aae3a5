"""What a report means for the rows: new, changed, unchanged, moved, restored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog.legacy_values import UNKNOWN_TIME, rounded_ns
from mediawatchd.catalog.transaction import Look
from mediawatchd.model import (
    FINGERPRINT,
    LIVE,
    PERCEPTUAL_HASH,
    PROBE,
    QUICK_HASH,
    SECOND,
    WALKED,
    Changed,
    Failed,
    Place,
    Problem,
    Report,
    Stamp,
)
from tests.catalogs import SETTLE, WALL, digest, file, inode_of

if TYPE_CHECKING:
    from mediawatchd.catalog.rows import FileRow
    from mediawatchd.catalog.transaction import Transaction
    from tests.catalogs import Catalog

EVERYTHING = QUICK_HASH | PROBE | PERCEPTUAL_HASH | FINGERPRINT
PROBED = "SELECT count(*) FROM video_metadata"


def told(tx: Transaction) -> list[tuple[str, bytes | None]]:
    return [(event.event, event.path) for event in tx.events]


def upgraded(catalog: Catalog, *, mtime_ns: int, **columns: object) -> FileRow:
    """A row as the upgrade of an older catalog leaves it: a time in microseconds, nothing else of the stamp."""
    catalog.look(b"films/", file(b"a.mkv"))
    row = catalog.know(b"films/a.mkv", "a")
    with catalog.transaction() as tx:
        tx.store(row, row._replace(mtime_ns=mtime_ns, ctime_ns=None, inode=None, links=None, fact_ns=0, **columns))
    return catalog.row(b"films/a.mkv")


# New


def test_a_new_file_is_a_row_at_once_that_lacks_everything(catalog: Catalog) -> None:
    tx = catalog.look(b"films/", file(b"a.mkv", 1_234, mtime=7, ctime=8, inode=9, links=2, settle=5))
    row = catalog.row(b"films/a.mkv")
    assert row.stamp == Stamp(1_234, 7, 8, 9, 2)
    assert (row.media_type, row.lacks, row.quick_hash) == ("video", EVERYTHING, None)
    assert (row.fact_ns, row.due_ns, row.priority) == (100 * SECOND, 105 * SECOND, LIVE)
    assert row.first_seen == WALL + 100
    assert told(tx) == [("added", b"/media/films/a.mkv")]
    assert catalog.counts() == {
        "files": 1, "bytes": 1_234, "videos": 1, "pending_quick_hash": 1, "pending_probe": 1
    }  # fmt: skip


def test_a_song_lacks_nothing_that_only_a_video_has(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.flac", media_type="audio"), priority=WALKED)
    row = catalog.row(b"a.flac")
    assert (row.lacks, row.priority) == (QUICK_HASH | PROBE, WALKED)
    assert catalog.counts() == {
        "files": 1, "bytes": 1_000, "audio": 1, "pending_quick_hash": 1, "pending_probe": 1
    }  # fmt: skip


def test_a_second_report_of_a_new_directory_adds_to_the_first(catalog: Catalog) -> None:
    """A big directory is reported in parts: the quick way for new directories must end with the first."""
    catalog.look(b"films/", file(b"a.mkv"))
    catalog.look(b"films/", file(b"a.mkv"), file(b"b.mkv"))
    assert sorted(catalog.present()) == [b"films/a.mkv", b"films/b.mkv"]


def test_a_name_that_is_no_text_and_one_with_wildcards_are_names_like_others(catalog: Catalog) -> None:
    names = [b"\xff.mkv", b"50%_off.mkv", b"new\nline.mkv"]
    catalog.look(b"\xfe/", *(file(name) for name in names))
    assert sorted(catalog.present()) == sorted(b"\xfe/" + name for name in names)
    assert catalog.value("SELECT name_is_text FROM media_files WHERE name = ?", names[0]) == 0
    assert catalog.value("SELECT name_is_text FROM media_files WHERE name = ?", names[1]) == 1


def test_reports_for_a_root_that_left_the_configuration_are_not_taken(catalog: Catalog) -> None:
    catalog.configure(b"/other/")
    tx = catalog.look(b"/media/films/", file(b"a.mkv"), root=1)
    assert catalog.present() == {}
    assert tx.events == []


def test_what_the_first_walk_adds_is_told_to_listeners_but_is_no_history(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    assert catalog.value("SELECT count(*) FROM history") == 0
    catalog.connection.execute("UPDATE roots SET walks = 1")
    catalog.configure(b"/media/")
    catalog.look(b"", file(b"b.mkv"))
    assert catalog.connection.execute("SELECT event, path FROM history").fetchall() == [("added", b"/media/b.mkv")]


# Unchanged


def test_an_unchanged_file_costs_no_write(catalog: Catalog) -> None:
    catalog.look(b"films/", file(b"a.mkv"))
    before = catalog.know(b"films/a.mkv")
    catalog.now += 50
    changes = catalog.connection.total_changes
    with catalog.transaction() as tx:
        catalog.observing.apply(tx, [catalog.report(b"films/", file(b"a.mkv", settle=5))])
        assert catalog.connection.total_changes == changes
    assert catalog.row(b"films/a.mkv") == before
    assert tx.events == []


def test_another_hint_makes_a_file_that_waits_for_its_hash_wait_anew(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv", settle=30))
    catalog.now += 20
    catalog.look(b"", file(b"a.mkv", settle=5))
    assert catalog.row(b"a.mkv").due_ns == 125 * SECOND
    catalog.now += 1
    catalog.look(b"", file(b"a.mkv", settle=30), priority=WALKED)
    assert catalog.row(b"a.mkv").due_ns == 125 * SECOND, "a walk is no sign that something was written"


# Changed


@pytest.mark.parametrize("change", [{"size": 1_001}, {"mtime": 1_001}, {"size": 999, "mtime": 2, "inode": 5}])
def test_other_size_or_time_is_other_content(catalog: Catalog, change: dict[str, int]) -> None:
    catalog.look(b"films/", file(b"a.mkv"))
    before = catalog.know(b"films/a.mkv")
    catalog.now += 50
    tx = catalog.look(b"films/", file(b"a.mkv", settle=5, **change))  # type: ignore[arg-type]  # none is a name
    row = catalog.row(b"films/a.mkv")
    assert row.id == before.id
    assert row.stamp == file(b"a.mkv", **change).stamp  # type: ignore[arg-type]  # none is a name
    assert (row.quick_hash, row.former_quick_hash, row.hashed_at, row.video_phash) == (None, None, None, None)
    assert (row.lacks, row.due_ns) == (EVERYTHING, 155 * SECOND)
    assert (row.first_seen, row.fact_ns) == (before.first_seen, 150 * SECOND)
    assert catalog.value(PROBED) == 0
    assert catalog.value("SELECT duration FROM media_files") is None
    assert told(tx) == [("changed", b"/media/films/a.mkv")]


def test_a_file_that_changes_has_no_problem_any_more(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.hash(b"a.mkv")
    row = catalog.row(b"a.mkv")
    catalog.tell(Failed(row.id, row.stamp, PROBE, Problem("decode", "broken"), final=True))
    assert catalog.counts()["problems"] == 1
    catalog.look(b"", file(b"a.mkv", 5))
    assert catalog.row(b"a.mkv").problem is None
    assert "problems" not in catalog.counts()


def test_a_restless_file_is_looked_at_ever_later_up_to_five_minutes(catalog: Catalog) -> None:
    waits = []
    catalog.look(b"", file(b"a.mkv", 0, settle=SETTLE))
    for size in range(1, 12):
        catalog.now += 1
        catalog.look(b"", file(b"a.mkv", size, settle=SETTLE))
        waits.append(catalog.row(b"a.mkv").due_ns / SECOND - catalog.now)
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300, 300, 300, 300]
    catalog.hash(b"a.mkv")
    catalog.look(b"", file(b"a.mkv", 100, settle=SETTLE))
    assert catalog.row(b"a.mkv").due_ns / SECOND - catalog.now == SETTLE, "it came to rest in between"


def test_a_file_that_grows_before_its_first_hash_is_not_told_as_changed(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv", 1))
    assert catalog.look(b"", file(b"a.mkv", 2)).events == []


def test_a_file_written_to_while_its_hash_is_retaken_is_told_as_changed(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.know(b"a.mkv")
    catalog.look(b"", file(b"a.mkv", ctime=2_000))
    tx = catalog.look(b"", file(b"a.mkv", 5, ctime=3_000, settle=5))
    assert told(tx) == [("changed", b"/media/a.mkv")]
    assert catalog.row(b"a.mkv").due_ns == 105 * SECOND


def test_a_file_replaced_after_many_failures_does_not_wait_as_a_restless_one(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    row = catalog.row(b"a.mkv")
    for _ in range(8):
        catalog.tell(Failed(row.id, row.stamp, QUICK_HASH, Problem("io", "no"), final=False))
    catalog.look(b"", file(b"a.mkv", 5, settle=5))
    assert catalog.row(b"a.mkv").due_ns == 105 * SECOND


# Older facts


def test_a_fact_older_than_the_last_one_is_dropped(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv", 2), at=100)
    catalog.look(b"", file(b"a.mkv", 1), at=99)
    assert catalog.row(b"a.mkv").size == 2
    catalog.look(b"", file(b"a.mkv", 3), at=100)
    assert catalog.row(b"a.mkv").size == 3


def test_a_dropped_fact_is_looked_for_again(catalog: Catalog) -> None:
    """The later fact was told of another path, from where the row came; the file was never found before a walk."""
    catalog.look(b"", file(b"a.mkv"))
    catalog.now = 200
    catalog.look(b"", file(b"a.mkv", size=5))
    tx = catalog.look(b"", file(b"a.mkv", size=7), at=150)
    assert tx.looks == [Look(1, b"/media/", b"a.mkv", 0)]
    assert catalog.row(b"a.mkv").size == 5


def test_an_older_absence_is_dropped(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"), at=100)
    catalog.look(b"", absent=[b"a.mkv"], at=99)
    assert catalog.row(b"a.mkv").absent_ns is None


def test_a_sight_older_than_the_absence_does_not_bring_a_file_back_as_another(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.now = 110
    catalog.miss(b"", b"a.mkv")
    catalog.look(b"", file(b"a.mkv"), at=119)
    assert catalog.present() == {}
    assert catalog.value("SELECT count(*) FROM media_files") == 1


def test_a_sight_after_the_absence_but_before_its_commit_restores_the_row(catalog: Catalog) -> None:
    """What counts is when something was seen, not when it was written."""
    catalog.look(b"", file(b"a.mkv"))
    before = catalog.know(b"a.mkv")
    catalog.look(b"", absent=[b"a.mkv"], at=110)
    catalog.now = 130
    catalog.look(b"", absent=[b"a.mkv"], at=125)
    catalog.look(b"", file(b"a.mkv"), at=126)
    assert catalog.present() == {b"a.mkv": before.id}


# Only the change time, the inode or the number of links


@pytest.mark.parametrize("change", [{"ctime": 2_000}, {"inode": 77}, {"links": 2}])
def test_when_only_the_rest_of_the_stamp_moved_the_hash_is_retaken_and_everything_kept(
    catalog: Catalog, change: dict[str, int]
) -> None:
    catalog.look(b"", file(b"a.mkv"))
    before = catalog.know(b"a.mkv", "content")
    catalog.now += 50
    tx = catalog.look(b"", file(b"a.mkv", settle=5, **change))  # type: ignore[arg-type]  # none is a name
    row = catalog.row(b"a.mkv")
    assert row.stamp == file(b"a.mkv", **change).stamp  # type: ignore[arg-type]  # none is a name
    assert (row.lacks, row.quick_hash, row.former_quick_hash) == (QUICK_HASH, None, digest("content"))
    assert row.due_ns == 155 * SECOND
    assert row.video_phash == before.video_phash
    assert catalog.value("SELECT video_phash FROM files") is None, "not shown before it is known to hold"
    assert tx.events == []

    tx = catalog.hash(b"a.mkv", "content")
    row = catalog.row(b"a.mkv")
    assert (row.lacks, row.quick_hash, row.former_quick_hash) == (0, digest("content"), None)
    assert row.video_phash == before.video_phash
    assert catalog.value("SELECT video_phash FROM files") == before.video_phash
    assert catalog.value(PROBED) == 1
    assert tx.events == []


def test_when_the_retaken_hash_differs_nothing_of_the_old_content_is_kept(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.know(b"a.mkv", "old")
    catalog.look(b"", file(b"a.mkv", ctime=2_000))
    tx = catalog.hash(b"a.mkv", "new")
    row = catalog.row(b"a.mkv")
    assert (row.lacks, row.quick_hash) == (EVERYTHING & ~QUICK_HASH, digest("new"))
    assert (row.former_quick_hash, row.video_phash) == (None, None)
    assert catalog.value(PROBED) == 0
    assert told(tx) == [("changed", b"/media/a.mkv")]


def test_a_second_chmod_before_the_hash_is_retaken_keeps_the_hash_to_compare_with(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.know(b"a.mkv", "content")
    catalog.look(b"", file(b"a.mkv", ctime=2_000))
    catalog.look(b"", file(b"a.mkv", ctime=3_000))
    assert catalog.row(b"a.mkv").former_quick_hash == digest("content")


def test_a_file_whose_change_time_moves_before_its_first_hash_settles_anew(catalog: Catalog) -> None:
    """Ripe means two equal stamps the settle time apart."""
    catalog.look(b"", file(b"a.mkv", settle=5))
    catalog.now += 4
    catalog.look(b"", file(b"a.mkv", ctime=2_000, settle=5))
    assert catalog.row(b"a.mkv").due_ns == 109 * SECOND


def test_a_chmod_lets_a_file_be_read_that_could_not_be(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    row = catalog.row(b"a.mkv")
    catalog.tell(Failed(row.id, row.stamp, QUICK_HASH, Problem("permission", "no"), final=False))
    catalog.look(b"", file(b"a.mkv", ctime=2_000, settle=5))
    assert catalog.row(b"a.mkv").due_ns == 105 * SECOND, "not only after the retry's minute"


def test_inodes_that_mean_nothing_are_not_compared(catalog: Catalog) -> None:
    """On file systems that make inodes up the observer leaves them out."""
    catalog.look(b"", file(b"a.mkv", inode=None))
    before = catalog.know(b"a.mkv")
    assert before.inode is None
    catalog.look(b"", file(b"a.mkv", inode=None))
    assert catalog.row(b"a.mkv") == before


def test_a_file_that_now_lies_where_inodes_mean_nothing_has_none(catalog: Catalog) -> None:
    """Else each look would find a difference, and each hash another inode."""
    catalog.look(b"", file(b"a.mkv", inode=7))
    catalog.know(b"a.mkv")
    catalog.look(b"", file(b"a.mkv", inode=None))
    row = catalog.row(b"a.mkv")
    assert row.inode is None
    assert row.quick_hash is not None, "an inode that is not compared is no difference"


# Upgraded rows

DISK_NS = 1_600_000_000_123_456_789
STORED_NS = rounded_ns(DISK_NS)


def test_an_upgraded_row_with_the_same_microseconds_adopts_the_stamp_and_is_not_hashed(catalog: Catalog) -> None:
    before = upgraded(catalog, mtime_ns=STORED_NS)
    tx = catalog.look(b"films/", file(b"a.mkv", mtime=DISK_NS, ctime=5, inode=6, settle=5))
    row = catalog.row(b"films/a.mkv")
    assert row.stamp == Stamp(1_000, DISK_NS, 5, 6, 1)
    assert row._replace(mtime_ns=0, ctime_ns=0, inode=0, links=0, fact_ns=0) == before._replace(
        mtime_ns=0, ctime_ns=0, inode=0, links=0, fact_ns=0
    )
    assert row.lacks == 0
    assert tx.events == []


@pytest.mark.parametrize("change", [{"size": 1_001, "mtime": DISK_NS}, {"mtime": DISK_NS + 1_000}])
def test_an_upgraded_row_with_another_size_or_time_is_changed(catalog: Catalog, change: dict[str, int]) -> None:
    upgraded(catalog, mtime_ns=STORED_NS)
    tx = catalog.look(b"films/", file(b"a.mkv", **change))  # type: ignore[arg-type]  # none is a name
    row = catalog.row(b"films/a.mkv")
    assert (row.lacks, row.quick_hash, row.video_phash) == (EVERYTHING, None, None)
    assert told(tx) == [("changed", b"/media/films/a.mkv")]


def test_an_upgraded_row_that_lacks_only_the_hash_is_only_hashed(catalog: Catalog) -> None:
    before = upgraded(catalog, mtime_ns=STORED_NS, quick_hash=None, hashed_at=None, lacks=QUICK_HASH)
    catalog.look(b"films/", file(b"a.mkv", mtime=DISK_NS, ctime=5, inode=6))
    row = catalog.row(b"films/a.mkv")
    assert (row.lacks, row.video_phash) == (QUICK_HASH, before.video_phash)
    catalog.hash(b"films/a.mkv")
    assert catalog.row(b"films/a.mkv").lacks == 0
    assert catalog.value(PROBED) == 1


def test_an_upgraded_row_without_a_time_is_compared_by_its_hash(catalog: Catalog) -> None:
    hashless = {"quick_hash": None, "former_quick_hash": digest("a"), "lacks": QUICK_HASH}
    before = upgraded(catalog, mtime_ns=UNKNOWN_TIME, **hashless)
    catalog.look(b"films/", file(b"a.mkv", mtime=DISK_NS))
    catalog.hash(b"films/a.mkv", "a")
    row = catalog.row(b"films/a.mkv")
    assert (row.lacks, row.video_phash) == (0, before.video_phash)


# Moves of files


def test_a_renamed_file_keeps_everything(catalog: Catalog) -> None:
    catalog.look(b"films/", file(b"a.mkv"))
    before = catalog.know(b"films/a.mkv")
    catalog.now += 50
    tx = catalog.look(b"films/", catalog.moved(b"films/a.mkv", here=b"b.mkv", settle=5))
    row = catalog.row(b"films/b.mkv")
    assert catalog.present() == {b"films/b.mkv": before.id}
    assert (row.quick_hash, row.video_phash, row.lacks) == (before.quick_hash, before.video_phash, 0)
    assert (row.first_seen, row.ctime_ns, row.fact_ns) == (before.first_seen, 1_001, 150 * SECOND)
    assert catalog.value(PROBED) == 1
    (event,) = tx.events
    assert (event.event, event.path, event.former) == ("moved", b"/media/films/b.mkv", b"/media/films/a.mkv")


def test_a_file_moved_into_a_new_directory_keeps_its_row(catalog: Catalog) -> None:
    catalog.look(b"films/", file(b"a.mkv"), file(b"b.mkv"))
    before = catalog.know(b"films/a.mkv")
    catalog.look(b"films/new/", file(b"c.mkv"), catalog.moved(b"films/a.mkv", here=b"a.mkv"))
    assert catalog.present()[b"films/new/a.mkv"] == before.id
    assert len(catalog.present()) == 3


def test_a_file_moved_to_another_root_takes_its_numbers_along(catalog: Catalog) -> None:
    catalog.configure(b"/media/", b"/media2/")
    catalog.look(b"", file(b"a.mkv"))
    before = catalog.know(b"a.mkv")
    catalog.look(b"/media2/", catalog.moved(b"a.mkv", here=b"a.mkv"))
    assert catalog.present() == {b"/media2/a.mkv": before.id}
    assert catalog.counts(1) == {}
    assert catalog.counts(2) == {"files": 1, "bytes": 1_000, "videos": 1, "quick_hashed": 1, "phashed": 1}


def test_a_missing_file_found_elsewhere_by_its_inode_keeps_its_row(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    before = catalog.know(b"a.mkv")
    catalog.miss(b"", b"a.mkv")
    catalog.look(b"later/", catalog.moved(b"a.mkv", here=b"b.mkv"))
    assert catalog.present() == {b"later/b.mkv": before.id}
    assert catalog.missing() == []


def test_a_file_renamed_over_another_keeps_its_id_and_the_other_is_missing(catalog: Catalog) -> None:
    catalog.look(b"", file(b"Film.mkv", 1), file(b"Film.new.mkv", 2))
    old, new = catalog.know(b"Film.mkv"), catalog.know(b"Film.new.mkv")
    tx = catalog.look(b"", catalog.moved(b"Film.new.mkv", here=b"Film.mkv"), absent=[b"Film.new.mkv"])
    assert catalog.present() == {b"Film.mkv": new.id}
    gone = catalog.remembered(b"Film.mkv")
    assert (gone.id, gone.quick_hash, gone.video_phash) == (old.id, old.quick_hash, old.video_phash)
    assert told(tx) == [("moved", b"/media/Film.mkv"), ("missing", b"/media/Film.mkv")]
    assert tx.events[1].detail == "overwritten"


def test_a_file_renamed_over_one_of_equal_size_and_time_is_told_from_it_by_its_inode(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"), file(b"b.mkv"))
    a, b = catalog.know(b"a.mkv"), catalog.know(b"b.mkv")
    catalog.look(b"", catalog.moved(b"a.mkv", here=b"b.mkv"), catalog.moved(b"b.mkv", here=b"a.mkv"))
    assert catalog.present() == {b"a.mkv": b.id, b"b.mkv": a.id}


def swapped(catalog: Catalog) -> tuple[int, int]:
    catalog.look(b"one/", file(b"a.mkv", 1))
    catalog.look(b"two/", file(b"b.mkv", 2))
    return catalog.know(b"one/a.mkv").id, catalog.know(b"two/b.mkv").id


def test_two_names_that_swap_in_one_report_swap_paths(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv", 1), file(b"b.mkv", 2))
    a, b = catalog.know(b"a.mkv").id, catalog.know(b"b.mkv").id
    tx = catalog.look(b"", catalog.moved(b"a.mkv", here=b"b.mkv"), catalog.moved(b"b.mkv", here=b"a.mkv"))
    assert catalog.present() == {b"a.mkv": b, b"b.mkv": a}
    assert catalog.missing() == []
    assert [event.event for event in tx.events] == ["moved", "moved"]


def test_three_names_that_rotate_in_one_report_rotate_paths(catalog: Catalog) -> None:
    catalog.look(b"", *(file(name, size) for size, name in enumerate([b"a.mkv", b"b.mkv", b"c.mkv"])))
    a, b, c = (catalog.know(name).id for name in (b"a.mkv", b"b.mkv", b"c.mkv"))
    catalog.look(b"", *(catalog.moved(x, here=y) for x, y in [(b"a.mkv", b"b.mkv"), (b"b.mkv", b"c.mkv")]),
                 catalog.moved(b"c.mkv", here=b"a.mkv"))  # fmt: skip
    assert catalog.present() == {b"a.mkv": c, b"b.mkv": a, b"c.mkv": b}


def test_two_names_that_swap_in_two_reports_of_one_call_swap_paths(catalog: Catalog) -> None:
    a, b = swapped(catalog)
    reports = [
        catalog.report(b"one/", catalog.moved(b"two/b.mkv", here=b"a.mkv")),
        catalog.report(b"two/", catalog.moved(b"one/a.mkv", here=b"b.mkv")),
    ]
    tx = catalog.observe(*reports)
    assert catalog.present() == {b"one/a.mkv": b, b"two/b.mkv": a}
    assert [event.event for event in tx.events] == ["moved", "moved"]


def test_two_names_that_swap_in_two_calls_of_one_batch_swap_paths(catalog: Catalog) -> None:
    """Both looks are older than the commit in which the first of them overwrites a row."""
    a, b = swapped(catalog)
    reports = [
        catalog.report(b"one/", catalog.moved(b"two/b.mkv", here=b"a.mkv"), at=101),
        catalog.report(b"two/", catalog.moved(b"one/a.mkv", here=b"b.mkv"), at=102),
    ]
    catalog.now = 103
    with catalog.transaction() as tx:
        for report in reports:
            catalog.observing.apply(tx, [report])
    assert catalog.present() == {b"one/a.mkv": b, b"two/b.mkv": a}
    assert catalog.missing() == []


def test_a_hard_link_is_a_path_of_its_own(catalog: Catalog) -> None:
    """The observer names no former row while the old path still holds the inode."""
    catalog.look(b"", file(b"a.mkv", inode=7))
    a = catalog.know(b"a.mkv").id
    catalog.look(b"", file(b"a.mkv", inode=7, links=2, ctime=2_000), file(b"b.mkv", inode=7, links=2, ctime=2_000))
    assert sorted(catalog.present()) == [b"a.mkv", b"b.mkv"]
    assert catalog.present()[b"a.mkv"] == a


@pytest.mark.parametrize("change", [{"size": 5}, {"mtime_ns": 5}, {"inode": 5}])
def test_an_inode_given_out_again_is_no_move(catalog: Catalog, change: dict[str, int]) -> None:
    catalog.look(b"", file(b"a.mkv"))
    a = catalog.know(b"a.mkv").id
    found = catalog.moved(b"a.mkv", here=b"b.mkv")
    catalog.look(b"", found._replace(stamp=found.stamp._replace(**change)))
    assert catalog.present()[b"a.mkv"] == a
    assert catalog.row(b"b.mkv").lacks == EVERYTHING


def test_an_inode_of_another_file_system_is_no_move(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    other = Place(catalog.filesystem("other"), inode_of(b"/media/usb/"))
    catalog.look(b"usb/", catalog.moved(b"a.mkv", here=b"a.mkv"), place=other)
    assert sorted(catalog.present()) == [b"a.mkv", b"usb/a.mkv"]


def test_a_row_that_has_left_the_path_where_it_was_missed_is_looked_for_again(catalog: Catalog) -> None:
    """The observer proposes from what it has read; the rows may be further.

    A file renamed in one root and then exchanged with one of another became the changed content of that one's row.
    """
    catalog.look(b"", file(b"a.mkv"), file(b"c.mkv"))
    before = [catalog.know(b"a.mkv"), catalog.know(b"c.mkv")]
    stale = catalog.moved(b"a.mkv", here=b"c.mkv")
    catalog.look(b"", catalog.moved(b"a.mkv", here=b"b.mkv"))
    tx = catalog.look(b"", stale)
    assert catalog.present() == {b"b.mkv": before[0].id, b"c.mkv": before[1].id}
    assert catalog.row(b"c.mkv") == before[1]
    assert tx.looks == [Look(1, b"/media/", b"c.mkv", 0)]
    tx = catalog.look(b"", catalog.moved(b"b.mkv", here=b"c.mkv"))
    assert catalog.present() == {b"c.mkv": before[0].id}
    assert tx.looks == []


def test_a_row_seen_later_than_the_look_that_missed_it_is_looked_for_again(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.now = 200
    catalog.look(b"", file(b"a.mkv", ctime=1_500))
    tx = catalog.look(b"", catalog.moved(b"a.mkv", here=b"b.mkv"), at=199)
    assert sorted(catalog.present()) == [b"a.mkv"]
    assert tx.looks == [Look(1, b"/media/", b"b.mkv", 0)]


@pytest.mark.parametrize("absence", ["overwritten", "absent", "missing"])
def test_a_row_missed_later_than_the_look_that_found_it_elsewhere_is_moved(catalog: Catalog, absence: str) -> None:
    """Two roots are looked at by two threads: one saw where the file is, then the other that it is not where it was."""
    catalog.look(b"", file(b"a.mkv"))
    a = catalog.know(b"a.mkv").id
    catalog.look(b"", file(b"b.mkv"))
    found = catalog.moved(b"a.mkv", here=b"c.mkv")
    catalog.now = 200
    if absence == "overwritten":
        catalog.look(b"", catalog.moved(b"b.mkv", here=b"a.mkv"))
    elif absence == "absent":
        catalog.look(b"", absent=[b"a.mkv"])
    else:
        catalog.miss(b"", b"a.mkv")
    catalog.look(b"", found, at=150)
    assert catalog.present()[b"c.mkv"] == a
    assert catalog.missing() == []


def test_a_row_that_was_deleted_meanwhile_is_not_moved(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    found = catalog.moved(b"a.mkv", here=b"b.mkv")
    catalog.look(b"", found._replace(former=found.former._replace(file_id=99)))  # type: ignore[union-attr]  # it has one
    assert sorted(catalog.present()) == [b"a.mkv", b"b.mkv"]


def test_a_move_ends_an_absence(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.look(b"", absent=[b"a.mkv"])
    assert catalog.counts()["absent"] == 1
    catalog.look(b"", catalog.moved(b"a.mkv", here=b"b.mkv"))
    assert "absent" not in catalog.counts()


def test_a_video_renamed_to_a_song_wants_nothing_that_only_a_video_has(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mp4"))
    catalog.hash(b"a.mp4")
    catalog.look(b"", catalog.moved(b"a.mp4", here=b"a.m4a")._replace(media_type="audio"))
    row = catalog.row(b"a.m4a")
    assert (row.media_type, row.lacks) == ("audio", PROBE)


# Back again


def test_a_file_back_with_the_same_stamp_has_its_row_again(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    before = catalog.know(b"a.mkv")
    catalog.now = 110
    catalog.miss(b"", b"a.mkv")
    catalog.now = 500
    tx = catalog.look(b"", file(b"a.mkv", settle=5))
    assert catalog.row(b"a.mkv") == before._replace(fact_ns=500 * SECOND)
    assert told(tx) == [("restored", b"/media/a.mkv")]
    assert catalog.value(PROBED) == 1


def test_a_file_back_with_another_change_time_is_hashed_again_and_keeps_the_rest(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    before = catalog.know(b"a.mkv", "content")
    catalog.miss(b"", b"a.mkv")
    catalog.now = 500
    catalog.look(b"", file(b"a.mkv", ctime=9_000, settle=5))
    row = catalog.row(b"a.mkv")
    assert (row.id, row.lacks, row.due_ns) == (before.id, QUICK_HASH, 505 * SECOND)
    catalog.hash(b"a.mkv", "content")
    assert catalog.row(b"a.mkv").video_phash == before.video_phash


def test_a_file_back_at_its_path_is_not_taken_for_a_link_of_it_that_is_missing_too(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv", inode=7, links=2), file(b"b.mkv", inode=7, links=2))
    a = catalog.know(b"a.mkv").id
    catalog.miss(b"", b"a.mkv", b"b.mkv")
    tx = catalog.look(b"", catalog.moved(b"b.mkv", here=b"a.mkv"))
    assert catalog.present() == {b"a.mkv": a}
    assert [event.event for event in tx.events] == ["restored"]


def test_another_file_at_the_path_of_a_missing_one_is_new(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    before = catalog.know(b"a.mkv")
    catalog.miss(b"", b"a.mkv")
    catalog.look(b"", file(b"a.mkv", 5))
    assert catalog.row(b"a.mkv").id != before.id
    assert catalog.remembered(b"a.mkv").quick_hash == before.quick_hash


def test_of_two_rows_remembered_at_a_path_the_one_with_the_content_is_restored(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv", 1))
    first = catalog.know(b"a.mkv")
    catalog.miss(b"", b"a.mkv")
    catalog.look(b"", file(b"a.mkv", 2))
    catalog.miss(b"", b"a.mkv")
    catalog.look(b"", file(b"a.mkv", 1))
    assert catalog.present() == {b"a.mkv": first.id}


def test_a_hidden_row_that_is_reported_is_shown_again(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    row = catalog.row(b"a.mkv")
    with catalog.transaction() as tx:
        tx.totals.add(1, row, -1)
        tx.connection.execute("UPDATE media_files SET hidden = 1")
    assert catalog.counts() == {}
    catalog.look(b"", file(b"a.mkv"))
    assert catalog.counts()["files"] == 1


def test_what_a_worker_found_changed_is_looked_at_again(catalog: Catalog) -> None:
    catalog.look(b"films/", file(b"a.mkv"))
    row = catalog.row(b"films/a.mkv")
    tx = catalog.tell(Changed(row.id, row.stamp, b"/media/films/a.mkv", None))
    ((root_id, directory, name, delay_ns),) = tx.looks
    assert (root_id, directory, name, delay_ns) == (1, b"/media/films/", b"a.mkv", 0)
    assert catalog.row(b"films/a.mkv").due_ns == (100 + SETTLE) * SECOND


def test_a_report_may_be_empty(catalog: Catalog) -> None:
    report: Report = catalog.report(b"films/")
    catalog.observe(report)
    assert b"films/" in catalog.directory_paths()


def test_a_link_that_is_remembered_from_before_its_bytes_changed_is_hashed_again(catalog: Catalog) -> None:
    """Of a file that was missing for a time, size and time do not tell that it is what it was."""
    catalog.look(b"", file(b"b.mkv", inode=5))
    catalog.hash(b"b.mkv", "old")
    catalog.now += 3_600
    catalog.look(b"", file(b"a.mkv", inode=5, links=2))
    catalog.hash(b"a.mkv", "old")
    catalog.miss(b"", b"a.mkv")
    remembered = catalog.former(b"a.mkv")
    catalog.look(b"", file(b"b.mkv", inode=5, ctime=2_000))
    catalog.hash(b"b.mkv", "new")
    catalog.look(b"", file(b"c.mkv", inode=5, ctime=3_000, links=2, former=remembered))
    row = catalog.row(b"c.mkv")
    assert (row.id, row.quick_hash, row.former_quick_hash) == (remembered.file_id, None, digest("old"))
    assert row.lacks & QUICK_HASH


def test_a_file_that_was_not_missing_in_between_moves_with_its_hash(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv", inode=5))
    catalog.hash(b"a.mkv", "same")
    catalog.look(b"", file(b"c.mkv", inode=5, ctime=3_000, former=catalog.former(b"a.mkv")))
    assert catalog.row(b"c.mkv").quick_hash == digest("same")
