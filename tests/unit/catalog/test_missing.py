"""When a file that is not there becomes missing, when too many are held, and when rows are purged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog import missing, roots
from mediawatchd.catalog.open_work import open_work
from mediawatchd.catalog.transaction import Look
from mediawatchd.model import SECOND, Place
from tests.catalogs import POLICY, SETTLE, WALL, Catalog, file, inode_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediawatchd.catalog.transaction import Transaction

DAY = 86_400
ENOUGH = 2 * SETTLE
"""Seconds between two looks after which an absence is believed."""


def told(tx: Transaction) -> list[tuple[str, bytes | None]]:
    return [(event.event, event.path) for event in tx.events]


def fill(catalog: Catalog, directory: bytes, files: int, *, first: int = 0) -> list[bytes]:
    names = [b"%05d.mkv" % number for number in range(first, first + files)]
    catalog.look(directory, *(file(name, inode=inode_of(directory + name)) for name in names))
    return names


def walk(catalog: Catalog, root_id: int = 1) -> None:
    record = roots.WalkRecord(catalog.root(root_id).path, "periodic", "complete", 1.0, 1, 1)
    catalog.run(lambda tx: roots.record_walk(tx, root_id, record))


def online(catalog: Catalog, seconds: float, root_id: int = 1) -> None:
    catalog.run(lambda tx: roots.add_online(tx, [root_id], round(seconds * SECOND)))


def purge(catalog: Catalog) -> object:
    return catalog.run(missing.purge)


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


# The breaker


@pytest.fixture
def hundred(catalog: Catalog) -> list[bytes]:
    return fill(catalog, b"films/", 100)


def hide_names(catalog: Catalog, names: list[bytes]) -> Transaction:
    return catalog.miss(b"films/", *names)


def hide_directory(catalog: Catalog, names: list[bytes]) -> Transaction:
    return catalog.lose(b"films/")


@pytest.mark.parametrize("lose", [hide_names, hide_directory])
def test_too_many_at_once_are_held(
    catalog: Catalog, hundred: list[bytes], lose: Callable[[Catalog, list[bytes]], Transaction]
) -> None:
    tx = lose(catalog, hundred)
    assert len(catalog.present()) == 100
    assert catalog.counts()["held"] == 100
    told = [(event.event, event.path, event.detail) for event in tx.events]
    assert told == [("held", b"/media/films/", "100 files gone at once")]
    assert not open_work(catalog.connection, frozenset({1}), 1_000 * SECOND).absences, "what is held does not block"


@pytest.mark.parametrize("lose", [hide_names, hide_directory])
def test_what_is_held_is_told_once(
    catalog: Catalog, hundred: list[bytes], lose: Callable[[Catalog, list[bytes]], Transaction]
) -> None:
    lose(catalog, hundred)
    catalog.now += 100
    tx = lose(catalog, hundred)
    assert tx.events == []
    assert catalog.counts()["held"] == 100
    assert not open_work(catalog.connection, frozenset({1}), 1_000 * SECOND).absences


def test_the_directories_above_held_files_stay(catalog: Catalog) -> None:
    fill(catalog, b"films/new/", 100)
    fill(catalog, b"films/old/", 0)
    catalog.lose(b"films/")
    assert catalog.counts()["held"] == 100
    assert sorted(catalog.directory_paths()) == [b"", b"films/", b"films/new/"]
    assert list(catalog.directory_paths(gone=True)) == [b"films/old/"]


def test_no_directory_waits_below_one_whose_files_are_held(catalog: Catalog) -> None:
    """`rm -r` deletes from the inside: what is seen absent first has no parent later to be looked for in."""
    fill(catalog, b"films/new/", 100)
    catalog.look(b"films/", gone=[catalog.absolute(b"films/new/")])
    catalog.lose(b"films/")
    assert catalog.counts()["held"] == 100
    assert not open_work(catalog.connection, frozenset({1}), 1_000 * SECOND).absences


@pytest.mark.parametrize("files", [50, 51])
def test_more_than_half_and_more_than_fifty_must_go_to_be_held(catalog: Catalog, files: int) -> None:
    names = fill(catalog, b"films/", 100)
    catalog.miss(b"films/", *names[:files])
    assert catalog.counts().get("held", 0) == (51 if files == 51 else 0)


def test_a_small_root_may_lose_all_its_files(catalog: Catalog) -> None:
    catalog.miss(b"films/", *fill(catalog, b"films/", 50))
    assert catalog.counts() == {"missing": 50}


def test_a_null_share_switches_the_breaker_off(catalog: Catalog, hundred: list[bytes]) -> None:
    catalog.policy = POLICY.__class__(POLICY.settle_ns, None, POLICY.hold_files, POLICY.keep_ns)
    catalog.miss(b"films/", *hundred)
    assert catalog.counts() == {"missing": 100}


def test_files_that_go_one_after_the_other_within_an_hour_are_held_too(catalog: Catalog, hundred: list[bytes]) -> None:
    catalog.miss(b"films/", *hundred[:30])
    catalog.now += 1_800
    catalog.miss(b"films/", *hundred[30:51])
    assert catalog.counts()["missing"] == 30
    assert catalog.counts()["held"] == 21


def test_what_went_more_than_an_hour_ago_does_not_count(catalog: Catalog, hundred: list[bytes]) -> None:
    catalog.miss(b"films/", *hundred[:30])
    catalog.now += 3_601
    catalog.miss(b"films/", *hundred[30:51])
    assert catalog.counts()["missing"] == 51


def test_the_first_of_many_absences_is_held_as_well(catalog: Catalog, hundred: list[bytes]) -> None:
    """A vanished disk is reported in pieces: the first ones must not slip through before the rest is seen."""
    catalog.look(b"films/", absent=hundred)
    catalog.now += ENOUGH
    catalog.look(b"films/", absent=hundred[:5])
    assert (len(catalog.present()), catalog.counts()["held"]) == (100, 5)


def test_the_first_of_many_absent_directories_is_held_as_well(catalog: Catalog) -> None:
    for directory in range(10):
        fill(catalog, b"%d/" % directory, 10)
    names = [b"%d/" % directory for directory in range(10)]
    catalog.look(b"", gone=names)
    catalog.now += ENOUGH
    catalog.look(b"", gone=names[:1])
    assert (len(catalog.present()), catalog.counts()["held"]) == (100, 10)


def test_files_lost_in_a_batch_that_is_rolled_back_do_not_count_for_the_breaker(
    catalog: Catalog, hundred: list[bytes]
) -> None:
    """A full disk makes a batch fail many times; each time it would have counted anew."""
    report = catalog.report(b"films/", absent=hundred[:30])
    catalog.observe(report)
    catalog.now += ENOUGH
    for _ in range(5):
        with catalog.rolled_back() as tx:
            catalog.observing.apply(tx, [report._replace(at_ns=round(catalog.now * SECOND))])
    catalog.look(b"films/", absent=hundred[:30])
    assert (catalog.counts()["missing"], catalog.counts().get("held")) == (30, None)


def test_files_lost_by_several_reports_of_one_batch_count_together(catalog: Catalog, hundred: list[bytes]) -> None:
    catalog.observe(*(catalog.report(b"films/", absent=hundred[start : start + 30]) for start in (0, 30)))
    catalog.run(lambda tx: tx.connection.execute("UPDATE media_files SET fact_ns = 0"))
    catalog.now += ENOUGH
    catalog.observe(*(catalog.report(b"films/", absent=hundred[start : start + 30]) for start in (0, 30)))
    assert catalog.counts()["held"] == 60


def test_confirming_makes_what_is_held_missing(catalog: Catalog, hundred: list[bytes]) -> None:
    online(catalog, 50)
    catalog.miss(b"films/", *hundred)
    with catalog.transaction() as tx:
        assert missing.confirm(tx, 1) == 100
    assert catalog.counts() == {"missing": 100}
    assert {event.detail for event in tx.events if event.event == "missing"} == {"confirmed by a person"}
    assert [(event.path, event.detail) for event in tx.events if event.event == "held"] == [
        (b"/media", "none any more")
    ]
    assert catalog.remembered(b"films/00000.mkv").missing_online_ns == 50 * SECOND


def test_confirming_one_root_leaves_the_others(catalog: Catalog, hundred: list[bytes]) -> None:
    catalog.configure(b"/media/", b"/media2/")
    fill(catalog, b"/media2/", 100)
    catalog.miss(b"films/", *hundred)
    catalog.miss(b"/media2/", *hundred)
    assert catalog.run(lambda tx: missing.confirm(tx, 2)) == 100
    assert (catalog.counts(1)["held"], catalog.counts(2)) == (100, {"missing": 100})


def test_confirming_does_not_touch_what_is_only_absent_so_far(catalog: Catalog, hundred: list[bytes]) -> None:
    catalog.look(b"films/", absent=hundred[:5])
    assert catalog.run(lambda tx: missing.confirm(tx, 1)) == 0
    assert len(catalog.present()) == 100


def test_files_that_were_held_and_confirmed_and_were_there_after_all_come_back(
    catalog: Catalog, hundred: list[bytes]
) -> None:
    before = catalog.present()
    catalog.miss(b"films/", *hundred)
    seen = catalog.report(b"films/", *(file(name, inode=inode_of(b"films/" + name)) for name in hundred))
    catalog.now += 1
    catalog.run(lambda tx: missing.confirm(tx, 1))
    catalog.observe(seen)
    assert catalog.present() == before


@pytest.mark.parametrize("lose", [hide_names, hide_directory])
def test_held_files_that_return_are_released(
    catalog: Catalog, hundred: list[bytes], lose: Callable[[Catalog, list[bytes]], Transaction]
) -> None:
    lose(catalog, hundred)
    catalog.now += 100
    catalog.look(b"films/", *(file(name, inode=inode_of(b"films/" + name)) for name in hundred[:60]))
    assert (catalog.counts()["held"], catalog.counts()["absent"]) == (40, 40)
    catalog.look(b"films/", *(file(name, inode=inode_of(b"films/" + name)) for name in hundred))
    assert not {"held", "absent"} & catalog.counts().keys()


def test_a_held_file_found_elsewhere_is_moved(catalog: Catalog, hundred: list[bytes]) -> None:
    a = catalog.present()[b"films/00000.mkv"]
    catalog.miss(b"films/", *hundred)
    catalog.look(b"", catalog.moved(b"films/00000.mkv", here=b"a.mkv"))
    assert catalog.present()[b"a.mkv"] == a
    assert catalog.counts()["held"] == 99


# The purge


@pytest.fixture
def gone(catalog: Catalog) -> int:
    """A row missing since 3 days of online time and 4 walks."""
    online(catalog, 3 * DAY)
    for _ in range(4):
        walk(catalog)
    catalog.look(b"films/", file(b"a.mkv"), file(b"b.mkv"))
    row_id = catalog.know(b"films/a.mkv").id
    catalog.miss(b"films/", b"a.mkv")
    return row_id


def test_a_row_is_purged_after_its_time_online_and_two_walks(catalog: Catalog, gone: int) -> None:
    online(catalog, 7 * DAY + 1)
    walk(catalog)
    walk(catalog)
    with catalog.transaction() as tx:
        assert missing.purge(tx) == 1
    assert [(event.event, event.path, event.detail) for event in tx.events] == [
        ("root", b"/media", "1 file forgotten: missing for longer than missing.keep_days")
    ]
    assert list(catalog.present()) == [b"films/b.mkv"]
    assert catalog.missing() == []
    assert catalog.value("SELECT count(*) FROM video_metadata") == 0
    assert "missing" not in catalog.counts()


def test_nothing_is_purged_before_its_time_online(catalog: Catalog, gone: int) -> None:
    online(catalog, 7 * DAY - 1)
    for _ in range(10):
        walk(catalog)
    catalog.now += 100 * DAY
    assert purge(catalog) == 0


def test_nothing_is_purged_before_two_walks(catalog: Catalog, gone: int) -> None:
    online(catalog, 100 * DAY)
    walk(catalog)
    assert purge(catalog) == 0


def test_a_walk_that_did_not_see_everything_does_not_count(catalog: Catalog, gone: int) -> None:
    online(catalog, 100 * DAY)
    for record in (
        roots.WalkRecord(b"/media/", "periodic", "cancelled", 1.0, 1, 1),
        roots.WalkRecord(b"/media/films/", "job", "complete", 1.0, 1, 1),
    ):
        for _ in range(2):
            catalog.run(lambda tx, record=record: roots.record_walk(tx, 1, record))
    assert purge(catalog) == 0
    assert catalog.value("SELECT count(*) FROM scans") == 8


def test_nothing_is_purged_on_a_root_that_left_the_configuration(catalog: Catalog, gone: int) -> None:
    online(catalog, 100 * DAY)
    walk(catalog)
    walk(catalog)
    catalog.configure(b"/other/")
    assert purge(catalog) == 0


def test_a_wrong_clock_purges_nothing(catalog: Catalog, gone: int) -> None:
    catalog.run(lambda tx: tx.connection.execute("UPDATE media_files SET missing_since = 0 WHERE id = ?", (gone,)))
    walk(catalog)
    walk(catalog)
    assert purge(catalog) == 0


def test_a_row_that_came_back_and_went_again_waits_anew(catalog: Catalog, gone: int) -> None:
    online(catalog, 6 * DAY)
    walk(catalog)
    walk(catalog)
    catalog.look(b"films/", file(b"a.mkv"))
    catalog.now += 10
    catalog.miss(b"films/", b"a.mkv")
    online(catalog, 6 * DAY)
    walk(catalog)
    walk(catalog)
    assert purge(catalog) == 0


def test_an_overwritten_row_is_purged_like_others(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv", 1), file(b"b.mkv", 2))
    catalog.look(b"", catalog.moved(b"a.mkv", here=b"b.mkv"))
    online(catalog, 7 * DAY + 1)
    walk(catalog)
    assert purge(catalog) == 0
    walk(catalog)
    assert purge(catalog) == 1


def test_a_root_made_wider_does_not_purge_with_the_hours_and_walks_of_another(catalog: Catalog) -> None:
    """A configured root that was narrowed and widened again has hours and walks of its own from before."""
    online(catalog, 400 * DAY)
    for _ in range(50):
        walk(catalog)
    catalog.configure(b"/media/films/")
    catalog.look(b"/media/films/", file(b"a.mkv"), root=2)
    catalog.miss(b"/media/films/", b"a.mkv")
    catalog.configure(b"/media/")
    assert catalog.missing() == [b"films/a.mkv"]
    assert purge(catalog) == 0
    online(catalog, 7 * DAY + 1)
    walk(catalog)
    walk(catalog)
    assert purge(catalog) == 1


def test_a_directory_moved_to_another_root_does_not_purge_with_its_hours_and_walks(catalog: Catalog) -> None:
    catalog.configure(b"/media/", b"/media2/")
    online(catalog, 400 * DAY, 2)
    for _ in range(50):
        walk(catalog, 2)
    catalog.look(b"films/", file(b"a.mkv"), file(b"b.mkv"))
    catalog.miss(b"films/", b"a.mkv")
    catalog.move_directories((b"films/", b"/media2/films/"))
    assert catalog.missing() == [b"/media2/films/a.mkv"]
    assert purge(catalog) == 0
