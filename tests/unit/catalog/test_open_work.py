"""What a sync still waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog.open_work import OpenWork, open_work, unsettled
from mediawatchd.catalog.outcomes import ask_again
from mediawatchd.model import PROBE, QUICK_HASH, SECOND, Away, Failed, Place, Problem
from tests.catalogs import file

if TYPE_CHECKING:
    from tests.catalogs import Catalog

NOTHING = OpenWork(pending=False, absences=False)
PENDING = OpenWork(pending=True, absences=False)
ABSENCES = OpenWork(pending=False, absences=True)


def still_open(catalog: Catalog, *, until: float = 1_000, online: frozenset[int] = frozenset({1})) -> OpenWork:
    return open_work(catalog.connection, online, round(until * SECOND))


def done(catalog: Catalog, path: bytes) -> None:
    catalog.hash(path)
    catalog.probe(path)


def test_a_file_is_waited_for_until_its_hash_and_probe_are_done(catalog: Catalog) -> None:
    assert not still_open(catalog)
    catalog.look(b"", file(b"a.mkv", settle=5))
    assert still_open(catalog) == PENDING
    catalog.hash(b"a.mkv")
    assert still_open(catalog) == PENDING
    catalog.probe(b"a.mkv")
    assert still_open(catalog) == NOTHING


def test_what_changed_after_the_moment_is_not_waited_for(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"), at=100)
    assert still_open(catalog, until=99) == NOTHING
    assert still_open(catalog, until=100) == PENDING
    catalog.look(b"", file(b"a.mkv", 5), at=120)
    assert still_open(catalog, until=110) == NOTHING
    assert unsettled(catalog.connection, frozenset({1}), 110 * SECOND) == [b"/media/a.mkv"]
    assert unsettled(catalog.connection, frozenset({1}), 120 * SECOND) == []


def test_a_new_file_is_not_called_unsettled(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"), at=120)
    assert unsettled(catalog.connection, frozenset({1}), 110 * SECOND) == []


def test_a_root_that_is_not_online_is_not_waited_for(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.look(b"", file(b"a.mkv", 5))
    assert still_open(catalog, online=frozenset()) == NOTHING
    assert still_open(catalog, online=frozenset({2})) == NOTHING
    assert unsettled(catalog.connection, frozenset(), 0) == []


def test_a_disk_that_is_away_is_not_waited_for(catalog: Catalog) -> None:
    there = Place(catalog.filesystem("usb"), 70)
    catalog.look(b"drive/", file(b"a.mkv"), place=there)
    catalog.look(b"drive/", file(b"a.mkv", 5), place=there)
    where = Away(b"/media/drive/", there.filesystem_id)
    others = [where._replace(filesystem_id=catalog.disk), where._replace(path=b"/media/d/")]
    for away, expected in [(where, NOTHING), *((other, PENDING) for other in others)]:
        assert open_work(catalog.connection, frozenset({1}), 1_000 * SECOND, [away]) == expected
        assert bool(unsettled(catalog.connection, frozenset({1}), 0, [away])) == (expected == PENDING)


@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("lacks", [QUICK_HASH, PROBE])
def test_a_file_with_a_problem_is_not_waited_for(catalog: Catalog, lacks: int, final: bool) -> None:
    catalog.look(b"", file(b"a.mkv"))
    if lacks == PROBE:
        catalog.hash(b"a.mkv")
    row = catalog.row(b"a.mkv")
    catalog.tell(Failed(row.id, row.stamp, lacks, Problem("io", "no"), final=final))
    assert still_open(catalog) == (PENDING if lacks == QUICK_HASH and final else NOTHING)


@pytest.mark.parametrize("lacks", [QUICK_HASH, PROBE])
def test_a_file_with_a_problem_that_somebody_has_tried_again_is_waited_for(catalog: Catalog, lacks: int) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.hash(b"a.mkv")
    if lacks == QUICK_HASH:
        catalog.look(b"", file(b"a.mkv", ctime=5))
    for final in (True, False):
        row = catalog.row(b"a.mkv")
        catalog.tell(Failed(row.id, row.stamp, lacks, Problem("io", "no"), final=final))
        with catalog.transaction() as tx:
            ask_again(tx, [row.id])
        assert catalog.row(b"a.mkv").problem == "no"
        assert still_open(catalog) == PENDING
    row = catalog.row(b"a.mkv")
    catalog.tell(Failed(row.id, row.stamp, lacks, Problem("io", "no"), final=False))
    assert still_open(catalog) == NOTHING


def test_an_absence_is_waited_for_until_it_is_believed_or_refuted(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"), file(b"b.mkv"))
    done(catalog, b"a.mkv")
    done(catalog, b"b.mkv")
    catalog.look(b"", absent=[b"a.mkv", b"b.mkv"])
    assert still_open(catalog) == ABSENCES
    assert still_open(catalog, until=99) == NOTHING
    catalog.now += 10
    catalog.look(b"", file(b"b.mkv"), absent=[b"a.mkv"])
    assert still_open(catalog) == NOTHING


def test_an_absent_directory_is_waited_for(catalog: Catalog) -> None:
    catalog.look(b"films/")
    catalog.look(b"", gone=[b"films/"])
    assert still_open(catalog) == ABSENCES
    catalog.now += 10
    catalog.look(b"", gone=[b"films/"])
    assert still_open(catalog) == NOTHING


def test_an_absence_that_the_mounts_forbid_is_none(catalog: Catalog) -> None:
    catalog.look(b"usb/", place=Place(catalog.filesystem("usb"), 2))
    catalog.look(b"", gone=[b"usb/"])
    assert still_open(catalog) == NOTHING


def test_what_is_held_is_not_waited_for(catalog: Catalog) -> None:
    """Neither its absence, which a person decides on, nor its hash, which cannot be taken."""
    names = [b"%d.mkv" % number for number in range(60)]
    catalog.look(b"", *(file(name) for name in names))
    catalog.miss(b"", *names)
    assert catalog.counts()["held"] == 60
    assert still_open(catalog) == NOTHING


def test_missing_and_hidden_files_are_not_waited_for(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"), file(b"b.mkv"))
    catalog.miss(b"", b"a.mkv")
    assert still_open(catalog) == PENDING
    with catalog.transaction() as tx:
        tx.connection.execute("UPDATE media_files SET hidden = 1")
        tx.totals.recount(tx.connection, 1)
    assert still_open(catalog) == NOTHING
