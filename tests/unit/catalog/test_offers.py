"""Which rows the workers may have, in which order, and when the next ones are due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediawatchd.catalog import offers, wanting
from mediawatchd.catalog.offers import Cursor
from mediawatchd.model import (
    ASKED,
    LIVE,
    PHASH,
    PROBE,
    QUICK_HASH,
    SECOND,
    WALKED,
    Away,
    Failed,
    Place,
    Problem,
    Task,
    away_of,
)
from tests.catalogs import file, inode_of

if TYPE_CHECKING:
    from tests.catalogs import Catalog


def due(
    catalog: Catalog, kind: int = QUICK_HASH, priority: int = LIVE, *, after: Cursor | None = None, limit: int = 100
) -> tuple[list[Task], Cursor]:
    now_ns = round(catalog.now * SECOND)
    wanted = offers.Wanted(frozenset([1, 2, 3]), frozenset(), limit)
    return offers.due(catalog.connection, kind, priority, wanted, after=after or Cursor(), now_ns=now_ns)


def names(catalog: Catalog, kind: int = QUICK_HASH, priority: int = LIVE) -> list[bytes]:
    return [task.path.removeprefix(b"/media/") for task in due(catalog, kind, priority)[0]]


def next_due(catalog: Catalog) -> float | None:
    time = offers.next_due_ns(catalog.connection, round(catalog.now * SECOND))
    return None if time is None else time / SECOND


def settling(catalog: Catalog) -> int:
    return offers.settling(catalog.connection, round(catalog.now * SECOND))


def test_a_task_says_all_that_a_worker_needs(catalog: Catalog) -> None:
    catalog.look(b"\xff/", file(b"a.mkv"), priority=WALKED)
    row = catalog.row(b"\xff/a.mkv")
    tasks, _ = due(catalog, priority=WALKED)
    assert tasks == [Task(row.id, b"/media/\xff/a.mkv", row.stamp, "video", QUICK_HASH, 1, catalog.disk, WALKED)]


def test_what_lies_on_a_disk_that_is_away_is_not_offered(catalog: Catalog) -> None:
    usb = catalog.filesystem("usb")
    catalog.look(b"drive/", file(b"here.mkv"))
    catalog.look(b"drive/usb/", file(b"away.mkv"), place=Place(usb, 3))
    wanted = offers.Wanted(frozenset([1]), frozenset(), 100, [Away(b"/media/drive/", usb)])
    tasks, _ = offers.due(catalog.connection, QUICK_HASH, LIVE, wanted, after=Cursor(), now_ns=1_000 * SECOND)
    assert [task.path for task in tasks] == [b"/media/drive/here.mkv"]


def test_thousands_of_disks_that_are_away_can_be_asked_for(catalog: Catalog) -> None:
    disks = [catalog.filesystem(f"disk{number}") for number in range(3)]
    names = [b"%04d\xff'" % number for number in range(0, 4_000, 2)]
    away = {Away(b"/media/" + name + b"/", disks[number % 2]) for number, name in enumerate(names)}
    away |= {Away(b"/media/0000\xff'/in/it/", disks[0]), Away(b"/media/0000\xff'/and/", disks[1])}
    shown = {
        (b"0000\xff'", disks[0]): False,
        (b"0000\xff'/in", disks[0]): False,
        (b"0000\xff'/in/it/deep", disks[0]): False,
        (b"0000\xff'/zz", disks[0]): False,
        (b"0000\xff'/and", disks[1]): False,
        (b"0000\xff'/an", disks[1]): True,
        (b"0000\xff'0", disks[0]): True,
        (b"1000\xff'", disks[0]): False,
        (b"1002\xff'", disks[0]): True,
        (b"1002\xff'/x", disks[1]): False,
        (b"1003\xff'", disks[1]): True,
        (b"1006\xff'", disks[2]): True,
        (b"3998\xff'", disks[1]): False,
        (b"3998\xff", disks[1]): True,
        (b"9", disks[1]): True,
        (b"a", catalog.disk): True,
    }
    for number, (path, disk) in enumerate(shown):
        catalog.look(path + b"/", file(b"a.mkv"), place=Place(disk, 100 + number))
        found = away_of(away, b"/media/" + path + b"/", disk)
        assert (found is not None) != shown[path, disk], path
    wanted = offers.Wanted(frozenset([1]), frozenset(), 100, away)
    tasks, _ = offers.due(catalog.connection, QUICK_HASH, LIVE, wanted, after=Cursor(), now_ns=1_000 * SECOND)
    expected = {b"/media/" + path + b"/a.mkv" for (path, _), there in shown.items() if there}
    assert {task.path for task in tasks} == expected


def test_what_is_not_ripe_is_not_offered(catalog: Catalog) -> None:
    catalog.look(b"", file(b"now.mkv"), file(b"later.mkv", settle=5), file(b"last.mkv", settle=30))
    assert names(catalog) == [b"now.mkv"]
    assert (next_due(catalog), settling(catalog)) == (105, 2)
    catalog.now = 105
    assert names(catalog) == [b"now.mkv", b"later.mkv"]
    assert (next_due(catalog), settling(catalog)) == (130, 1)
    catalog.now = 130
    assert (next_due(catalog), settling(catalog)) == (None, 0)


def test_what_has_been_due_longest_comes_first(catalog: Catalog) -> None:
    catalog.look(b"", file(b"b.mkv"), at=100)
    catalog.look(b"", file(b"a.mkv"), file(b"c.mkv"), at=90)
    assert names(catalog) == [b"a.mkv", b"c.mkv", b"b.mkv"]


def test_each_priority_is_a_queue_of_its_own(catalog: Catalog) -> None:
    for priority in (ASKED, WALKED, LIVE):
        catalog.look(b"", file(b"%d.mkv" % priority), priority=priority)
    assert [names(catalog, priority=priority) for priority in offers.PRIORITIES] == [
        [b"0.mkv"], [b"1.mkv"], [b"2.mkv"]
    ]  # fmt: skip


def test_a_probe_waits_for_the_quick_hash(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    assert names(catalog, PROBE) == []
    catalog.hash(b"a.mkv")
    assert (names(catalog), names(catalog, PROBE)) == ([], [b"a.mkv"])
    catalog.probe(b"a.mkv")
    assert names(catalog, PROBE) == []


def test_with_the_probe_goes_what_is_wanted_of_the_file(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"), file(b"b.mkv"))
    for name in (b"a.mkv", b"b.mkv"):
        catalog.hash(name)
    catalog.run(lambda tx: wanting.ask(tx, [catalog.row(b"b.mkv").id], again=False))
    assert [task.lacks for task in due(catalog, PROBE)[0]] == [PROBE, PROBE | PHASH]


def test_the_cursor_goes_through_all_of_them_once(catalog: Catalog) -> None:
    wanted = [b"%02d.mkv" % number for number in range(25)]
    catalog.look(b"", *(file(name) for name in wanted[:13]), at=90)
    catalog.look(b"", *(file(name) for name in wanted[13:]), at=95)
    seen: list[bytes] = []
    after = Cursor()
    while tasks := due(catalog, after=after, limit=4)[0]:
        seen += [task.path.removeprefix(b"/media/") for task in tasks]
        after = due(catalog, after=after, limit=4)[1]
    assert seen == wanted
    assert due(catalog, after=after)[1] == after


def test_missing_and_hidden_files_are_not_offered(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"), file(b"b.mkv"), file(b"c.mkv"))
    catalog.miss(b"", b"a.mkv")
    with catalog.transaction() as tx:
        tx.connection.execute("UPDATE media_files SET hidden = 1 WHERE name = ?", (b"b.mkv",))
        tx.totals.recount(tx.connection, 1)
    assert names(catalog) == [b"c.mkv"]


def test_held_files_are_not_offered_until_they_return(catalog: Catalog) -> None:
    """They are not there to be read: each attempt would end in another look, for ever."""
    wanted = [b"%02d.mkv" % number for number in range(60)]
    catalog.look(b"", *(file(name) for name in wanted))
    catalog.miss(b"", *wanted)
    assert catalog.counts()["held"] == 60
    assert names(catalog) == []
    catalog.now += 1
    catalog.look(b"", file(wanted[0]))
    catalog.now += 60
    assert names(catalog) == [wanted[0]]


def test_a_failed_file_is_offered_when_its_wait_is_over(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    row = catalog.row(b"a.mkv")
    catalog.tell(Failed(row.id, row.stamp, QUICK_HASH, Problem("io", "no"), final=False))
    assert (names(catalog), next_due(catalog), settling(catalog)) == ([], 160, 0)
    catalog.now = 160
    assert names(catalog) == [b"a.mkv"]


def test_a_file_that_failed_for_good_is_not_offered(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.hash(b"a.mkv")
    row = catalog.row(b"a.mkv")
    catalog.tell(Failed(row.id, row.stamp, PROBE, Problem("decode", "no"), final=True))
    catalog.now = 1e6
    assert names(catalog, PROBE) == []


def test_the_next_due_time_is_that_of_any_kind_and_priority(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv", settle=30), priority=WALKED)
    catalog.look(b"", file(b"b.mkv"))
    catalog.hash(b"b.mkv")
    row = catalog.row(b"b.mkv")
    with catalog.transaction() as tx:
        tx.store(row, row._replace(due_ns=120 * SECOND))
    assert next_due(catalog) == 120


def test_the_order_of_the_queue_is_that_of_an_index(catalog: Catalog) -> None:
    """Sorting all that waits, each time that a queue is filled up, would cost a core."""
    catalog.look(b"", file(b"a.mkv", inode=inode_of(b"a")))
    statements: list[str] = []
    catalog.connection.set_trace_callback(statements.append)
    due(catalog)
    due(catalog, PROBE)
    catalog.connection.set_trace_callback(None)
    for statement in statements:
        plan = [row[3] for row in catalog.connection.execute("EXPLAIN QUERY PLAN " + statement)]
        assert not any("TEMP B-TREE" in step for step in plan), plan
