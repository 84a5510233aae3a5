"""The counts that are carried along, against those of the rows themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediawatchd.catalog.directories import below
from mediawatchd.catalog.rows import FileRow
from mediawatchd.catalog.totals import FIELDS, Totals
from mediawatchd.model import FINGERPRINT, PERCEPTUAL_HASH, PROBE, QUICK_HASH
from tests.catalogs import file

if TYPE_CHECKING:
    from tests.catalogs import Catalog

BLANK = FileRow(
    1, 1, b"a.mkv", "video", 0, 0, 0, 0, 1, 0, 0, 0, FINGERPRINT, 0, 0,
    None, None, None, None, None, None, None, None, 0, None, 0, None, None, None, 0,
)  # fmt: skip


def counted(row: FileRow) -> dict[str, int]:
    totals = Totals()
    totals.add(1, row, +1)
    return {field: count for field, count in totals.of(1).items() if count}


def test_each_field_counts_what_its_name_says() -> None:
    assert counted(BLANK._replace(size=7)) == {"files": 1, "bytes": 7, "videos": 1}
    assert counted(BLANK._replace(media_type="vr")) == {"files": 1, "videos": 1}
    assert counted(BLANK._replace(media_type="audio")) == {"files": 1, "audio": 1}
    present = {"files": 1, "videos": 1}
    assert counted(BLANK._replace(quick_hash=b"x")) == {**present, "quick_hashed": 1}
    assert counted(BLANK._replace(lacks=FINGERPRINT | QUICK_HASH)) == {**present, "pending_quick_hash": 1}
    assert counted(BLANK._replace(lacks=FINGERPRINT | PROBE)) == {**present, "pending_probe": 1}
    assert counted(BLANK._replace(lacks=FINGERPRINT | PERCEPTUAL_HASH)) == present, "nobody has asked for it"
    assert counted(BLANK._replace(wanted=PERCEPTUAL_HASH)) == {**present, "pending_phash": 1}
    assert counted(BLANK._replace(video_phash="x")) == {**present, "phashed": 1}
    assert counted(BLANK._replace(lacks=PERCEPTUAL_HASH)) == {**present, "phashed": 1}, "it has its fingerprint"
    assert counted(BLANK._replace(lacks=0, problem_lacks=FINGERPRINT)) == present, "there was an attempt, in vain"
    assert counted(BLANK._replace(lacks=0, media_type="audio")) == {"files": 1, "audio": 1}
    assert counted(BLANK._replace(problem="x")) == {**present, "problems": 1}
    assert counted(BLANK._replace(absent_ns=1, held=1)) == {**present, "absent": 1, "held": 1}


def test_a_missing_row_counts_as_that_alone() -> None:
    assert counted(BLANK._replace(size=7, quick_hash=b"x", problem="x", missing_since=1)) == {"missing": 1}


def test_a_hidden_row_and_one_below_no_root_do_not_count() -> None:
    assert counted(BLANK._replace(hidden=1)) == {}
    totals = Totals()
    totals.add(None, BLANK, +1)
    assert totals._counts == {}


def test_what_is_counted_in_can_be_counted_out() -> None:
    totals = Totals()
    row = BLANK._replace(size=7, quick_hash=b"x", lacks=PROBE, wanted=FINGERPRINT, problem="x", absent_ns=1, held=1)
    totals.add(1, row, +1)
    totals.add(1, row, -1)
    assert set(totals.of(1).values()) == {0}


def test_only_what_was_stored_is_left_after_loading_anew(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    with catalog.rolled_back() as tx:
        catalog.observing.apply(tx, [catalog.report(b"", file(b"b.mkv"))])
        assert tx.totals.of(1)["files"] == 2
    assert catalog.totals.of(1)["files"] == 1


def test_a_recount_gives_what_was_carried_along(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"), file(b"b.mkv"), file(b"c.flac", media_type="audio"))
    catalog.know(b"a.mkv")
    catalog.miss(b"", b"b.mkv")
    carried = catalog.counts()
    with catalog.transaction() as tx:
        tx.totals._counts[1] = [99] * len(FIELDS)
        tx.totals.recount(tx.connection, 1)
    assert catalog.counts() == carried


def test_carrying_moves_what_is_below_a_range_of_paths(catalog: Catalog) -> None:
    catalog.configure(b"/media/", b"/media2/")
    catalog.look(b"films/", file(b"a.mkv", 10))
    catalog.look(b"films2/", file(b"b.mkv", 100))
    with catalog.transaction() as tx:
        tx.totals.carry(tx.connection, below(b"/media/films/"), 1, 1)
        assert tx.totals.of(1)["bytes"] == 110
        tx.totals.carry(tx.connection, below(b"/media/films/"), 1, 2)
        assert (tx.totals.of(1)["bytes"], tx.totals.of(2)["bytes"]) == (100, 10)
        tx.connection.execute("UPDATE directories SET root_id = 2 WHERE path = ?", (b"/media/films/",))
        catalog.directories.clear()


def test_whether_anything_is_missing_is_known_over_all_roots(catalog: Catalog) -> None:
    catalog.configure(b"/media/", b"/media2/")
    catalog.look(b"", file(b"a.mkv"))
    catalog.look(b"/media2/", file(b"b.mkv"))
    assert not catalog.totals.remembers_missing()
    catalog.miss(b"/media2/", b"b.mkv")
    assert catalog.totals.remembers_missing()
    catalog.look(b"/media2/", file(b"b.mkv"))
    assert not catalog.totals.remembers_missing()
