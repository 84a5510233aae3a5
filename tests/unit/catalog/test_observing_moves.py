"""Files that are found under another path: moved, swapped, linked, or not the same after all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog.transaction import Look
from mediawatchd.model import PROBE, SECOND, Place
from tests.catalogs import file, inode_of
from tests.rows import EVERYTHING, PROBED, told

if TYPE_CHECKING:
    from tests.catalogs import Catalog


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
