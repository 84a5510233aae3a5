"""What a report means to the catalog: new, changed, the same; and rows from an upgrade."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog.legacy_values import UNKNOWN_TIME, rounded_ns
from mediawatchd.catalog.transaction import Look
from mediawatchd.model import LIVE, PROBE, QUICK_HASH, SECOND, WALKED, Changed, Failed, Problem, Report, Stamp
from tests.catalogs import SETTLE, WALL, digest, file
from tests.rows import EVERYTHING, PROBED, told

if TYPE_CHECKING:
    from mediawatchd.catalog.rows import FileRow
    from tests.catalogs import Catalog


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


def test_a_sight_after_the_absence_but_before_its_commit_restores_the_row(catalog: Catalog) -> None:
    """What counts is when something was seen, not when it was written."""
    catalog.look(b"", file(b"a.mkv"))
    before = catalog.know(b"a.mkv")
    catalog.look(b"", absent=[b"a.mkv"], at=110)
    catalog.now = 130
    catalog.look(b"", absent=[b"a.mkv"], at=125)
    catalog.look(b"", file(b"a.mkv"), at=126)
    assert catalog.present() == {b"a.mkv": before.id}


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


def test_a_file_whose_change_time_moves_before_its_first_hash_settles_anew(catalog: Catalog) -> None:
    """Ripe means two equal stamps the settle time apart."""
    catalog.look(b"", file(b"a.mkv", settle=5))
    catalog.now += 4
    catalog.look(b"", file(b"a.mkv", ctime=2_000, settle=5))
    assert catalog.row(b"a.mkv").due_ns == 109 * SECOND


def test_a_sight_older_than_the_absence_does_not_bring_a_file_back_as_another(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.now = 110
    catalog.miss(b"", b"a.mkv")
    catalog.look(b"", file(b"a.mkv"), at=119)
    assert catalog.present() == {}
    assert catalog.value("SELECT count(*) FROM media_files") == 1
