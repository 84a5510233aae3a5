"""Absent, seen twice, missing: what must be true before a row is."""

from __future__ import annotations

from mediawatchd.catalog.open_work import open_work
from mediawatchd.catalog.transaction import Look
from mediawatchd.model import SECOND, Place
from tests.catalogs import WALL, Catalog, file, inode_of
from tests.gone import ENOUGH, fill, online, walk
from tests.rows import told

# Two looks


def test_one_look_is_not_enough_and_asks_for_another(catalog: Catalog) -> None:
    catalog.look(b"films/", file(b"a.mkv"))
    tx = catalog.look(b"films/", absent=[b"a.mkv"])
    assert b"films/a.mkv" in catalog.present()
    assert tx.looks == [Look(1, b"/media/films/", b"a.mkv", ENOUGH * SECOND)]
    assert tx.events == []
    assert catalog.counts()["absent"] == 1


def test_two_looks_that_are_too_near_are_not_enough(catalog: Catalog) -> None:
    catalog.look(b"films/", file(b"a.mkv"))
    catalog.look(b"films/", absent=[b"a.mkv"], at=100)
    tx = catalog.look(b"films/", absent=[b"a.mkv"], at=100 + ENOUGH - 1)
    assert b"films/a.mkv" in catalog.present()
    assert tx.looks == [Look(1, b"/media/films/", b"a.mkv", SECOND)]


def test_two_looks_far_enough_apart_make_a_row_missing_with_all_it_knows(catalog: Catalog) -> None:
    catalog.look(b"films/", file(b"a.mkv"))
    before = catalog.know(b"films/a.mkv")
    online(catalog, 50)
    walk(catalog)
    tx = catalog.miss(b"films/", b"a.mkv")
    row = catalog.remembered(b"films/a.mkv")
    assert (row.id, row.stamp, row.quick_hash) == (before.id, before.stamp, before.quick_hash)
    assert row.video_phash == before.video_phash
    assert catalog.value("SELECT count(*) FROM video_metadata") == 1
    assert (row.missing_since, row.missing_online_ns, row.missing_walks) == (WALL + 100 + ENOUGH, 50 * SECOND, 1)
    assert told(tx) == [("missing", b"/media/films/a.mkv")]
    assert catalog.counts() == {"missing": 1}


def test_looks_far_apart_in_time_but_written_together_are_two_looks(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.now = 200
    catalog.observe(
        catalog.report(b"", absent=[b"a.mkv"], at=110), catalog.report(b"", absent=[b"a.mkv"], at=110 + ENOUGH)
    )
    assert catalog.missing() == [b"a.mkv"]


def test_a_file_seen_between_two_looks_is_not_missing(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.look(b"", absent=[b"a.mkv"])
    catalog.now += 5
    catalog.look(b"", file(b"a.mkv"))
    assert "absent" not in catalog.counts()
    catalog.now += 6
    catalog.look(b"", absent=[b"a.mkv"])
    assert catalog.present()


def test_what_is_created_is_seen_before_what_is_absent(catalog: Catalog) -> None:
    """Else a rename would make the row missing before it is found under its new name."""
    catalog.look(b"", file(b"a.mkv"))
    a = catalog.know(b"a.mkv").id
    catalog.look(b"", absent=[b"a.mkv"])
    catalog.now += ENOUGH
    tx = catalog.observe(
        catalog.report(b"", absent=[b"a.mkv"]), catalog.report(b"new/", catalog.moved(b"a.mkv", here=b"a.mkv"))
    )
    assert catalog.present() == {b"new/a.mkv": a}
    assert [event.event for event in tx.events] == ["moved"]


def test_an_absence_of_a_file_that_nobody_knows_means_nothing(catalog: Catalog) -> None:
    tx = catalog.look(b"", absent=[b"a.mkv"], gone=[b"films/"])
    assert (tx.looks, tx.events) == ([], [])


# On a disk that is there


def test_no_absence_counts_after_the_mounts_have_changed(catalog: Catalog) -> None:
    catalog.look(b"films/", file(b"a.mkv"))
    catalog.look(b"films/", absent=[b"a.mkv"])
    catalog.look(b"", gone=[b"films/"])
    catalog.now += ENOUGH
    catalog.mounts_unchanged = False
    catalog.look(b"films/", absent=[b"a.mkv"])
    catalog.look(b"", gone=[b"films/"])
    assert catalog.missing() == []
    assert catalog.directory_paths(gone=True) == {}


def test_the_mounts_are_asked_about_by_the_look_that_was_made(catalog: Catalog) -> None:
    asked = []

    def unchanged(generation: int, path: bytes) -> bool:
        asked.append((generation, path))
        return True

    catalog.observing = type(catalog.observing)(mounts_unchanged=unchanged)
    catalog.look(b"films/", file(b"a.mkv"))
    catalog.observe(catalog.report(b"films/", absent=[b"a.mkv"])._replace(mounts=7))
    assert asked == [(7, b"/media/films/")]


def test_a_directory_of_another_file_system_is_not_gone_when_its_mount_point_is(catalog: Catalog) -> None:
    usb = Place(catalog.filesystem("usb"), 2)
    catalog.look(b"usb/", file(b"a.mkv"), place=usb)
    catalog.lose(b"usb/")
    assert b"usb/a.mkv" in catalog.present()
    assert not open_work(catalog.connection, frozenset({1}), 1_000 * SECOND).absences


def test_rows_on_another_file_system_below_an_absent_directory_stay(catalog: Catalog) -> None:
    usb = Place(catalog.filesystem("usb"), 2)
    catalog.look(b"films/", file(b"a.mkv"))
    catalog.look(b"films/usb/", file(b"b.mkv"), place=usb)
    catalog.lose(b"films/")
    assert catalog.missing() == [b"films/a.mkv"]
    assert list(catalog.present()) == [b"films/usb/b.mkv"]
    assert sorted(catalog.directory_paths()) == [b"", b"films/", b"films/usb/"], "what is there is in what is there"


# Directories


def test_an_absent_directory_takes_what_is_below_it_along(catalog: Catalog) -> None:
    fill(catalog, b"films/", 2)
    fill(catalog, b"films/new/", 2)
    fill(catalog, b"films2/", 1)
    tx = catalog.look(b"", gone=[b"films/"])
    assert tx.looks == [Look(1, b"/media/", b"films", ENOUGH * SECOND)]
    assert len(catalog.present()) == 5
    catalog.now += 1
    tx = catalog.look(b"", gone=[b"films/"])
    assert tx.looks == [Look(1, b"/media/", b"films", (ENOUGH - 1) * SECOND)]
    catalog.now += ENOUGH
    catalog.look(b"", gone=[b"films/"])
    assert list(catalog.present()) == [b"films2/00000.mkv"]
    assert sorted(catalog.directory_paths(gone=True)) == [b"films/", b"films/new/"]


def test_a_directory_seen_between_two_looks_is_not_gone(catalog: Catalog) -> None:
    fill(catalog, b"films/", 2)
    catalog.look(b"", gone=[b"films/"])
    catalog.now += 5
    fill(catalog, b"films/", 2)
    catalog.now += 6
    catalog.look(b"", gone=[b"films/"])
    assert len(catalog.present()) == 2


def test_a_directory_that_comes_back_has_its_files_again(catalog: Catalog) -> None:
    fill(catalog, b"films/", 2)
    before = catalog.present()
    directory = catalog.directory_paths()[b"films/"]
    catalog.lose(b"films/")
    catalog.now += 100
    tx = catalog.look(
        b"films/", *(file(name, inode=inode_of(b"films/" + name)) for name in [b"00000.mkv", b"00001.mkv"])
    )
    assert catalog.present() == before
    assert catalog.directory_paths()[b"films/"] == directory
    assert [event.event for event in tx.events] == ["restored", "restored"]


def test_an_absence_of_a_directory_that_was_never_seen_itself_comes_to_an_end(catalog: Catalog) -> None:
    """A parent that was made for its child's sake, or a row of an upgraded catalog, has no file system."""
    fill(catalog, b"films/new/", 2)
    assert catalog.value("SELECT filesystem_id FROM directories WHERE path = ?", b"/media/films/") is None
    catalog.lose(b"films/")
    assert catalog.present() == {}
    assert not open_work(catalog.connection, frozenset({1}), 1_000 * SECOND).absences


def test_a_directory_absent_with_nothing_in_it_is_gone(catalog: Catalog) -> None:
    catalog.look(b"films/")
    catalog.lose(b"films/")
    assert b"films/" not in catalog.directory_paths()
