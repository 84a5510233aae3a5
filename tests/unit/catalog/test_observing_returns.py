"""Files that are back, at their path or elsewhere, and what is remembered of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediawatchd.model import QUICK_HASH, SECOND
from tests.catalogs import digest, file
from tests.rows import PROBED, told

if TYPE_CHECKING:
    from tests.catalogs import Catalog


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
