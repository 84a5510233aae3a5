"""Too many absences at once to be believed: held, until they return or somebody confirms them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog import missing
from mediawatchd.catalog.open_work import open_work
from mediawatchd.model import SECOND
from tests.catalogs import POLICY, Catalog, file, inode_of
from tests.gone import ENOUGH, fill, online

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediawatchd.catalog.transaction import Transaction


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
