"""Rows of jobs, and how far the files of a scope have come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog import jobs
from mediawatchd.catalog.jobs import JobRow, Tally
from mediawatchd.catalog.outcomes import ask_again
from mediawatchd.model import PROBE, QUICK_HASH, SECOND, Failed, Problem
from tests.catalogs import WALL, file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mediawatchd.model import JobState
    from tests.catalogs import Catalog

STRANGE = b"\xff 50%_\n/"


def create(catalog: Catalog, *scope: bytes) -> JobRow:
    row = catalog.run(lambda tx: jobs.create(tx, "scan", scope))
    assert isinstance(row, JobRow)
    return row


def end(catalog: Catalog, row: JobRow, state: JobState = "done") -> None:
    catalog.run(lambda tx: jobs.save(tx, row._replace(state=state, finished=WALL + 200.0)))


def tally(
    catalog: Catalog, *scope: bytes, online: Sequence[int] = (1,), since: float = WALL, until: float = 1_000
) -> Tally:
    return jobs.tally(
        catalog.connection, scope or (b"/media/",), frozenset(online), since=since, fact_ns=round(until * SECOND)
    )


def fail(catalog: Catalog, path: bytes, lacks: int = QUICK_HASH, *, final: bool = False) -> None:
    row = catalog.row(path)
    catalog.tell(Failed(row.id, row.stamp, lacks, Problem("io", "no"), final))


# Rows


@pytest.mark.parametrize("scope", [(b"/media/",), (b"/media/films/", b"/media/a.mkv"), (b"/media/" + STRANGE,), ()])
def test_a_job_reads_back_as_it_was_made(catalog: Catalog, scope: tuple[bytes, ...]) -> None:
    made = create(catalog, *scope)
    assert made == JobRow(1, "scan", "queued", scope, False, None, 0, 0, 0, 0, 0, WALL + 100, None, None)
    assert jobs.job(catalog.connection, 1) == made
    assert jobs.job(catalog.connection, 2) is None


def test_a_job_is_saved_whole_but_for_what_never_changes(catalog: Catalog) -> None:
    made = catalog.run(lambda tx: jobs.create(tx, "phash", (b"/media/",), force=True))
    assert isinstance(made, JobRow)
    changed = made._replace(
        state="failed", total=9, processed=8, written=3, skipped=4, failed=1, bytes_done=77, finished=5.5, error="no"
    )
    catalog.run(lambda tx: jobs.save(tx, changed._replace(kind="scan", scope=(), force=False, started=0.0)))
    assert jobs.job(catalog.connection, made.id) == changed


def test_the_newest_jobs_come_first(catalog: Catalog) -> None:
    ids = [create(catalog, b"/media/").id for _ in range(5)]
    assert [row.id for row in jobs.newest(catalog.connection, 3)] == ids[:-4:-1]


@pytest.mark.parametrize(("state", "goes_on"), [
    ("queued", True), ("running", True), ("stopping", True), ("done", False), ("failed", False), ("cancelled", False)
])  # fmt: skip
def test_what_was_under_way_at_a_crash_is_found_again(catalog: Catalog, state: JobState, goes_on: bool) -> None:
    row = create(catalog, b"/media/")
    catalog.run(lambda tx: jobs.save(tx, row._replace(state=state)))
    assert [found.id for found in jobs.unfinished(catalog.connection)] == ([row.id] if goes_on else [])


def test_only_the_newest_thousand_are_kept_but_none_under_way_is_dropped(catalog: Catalog) -> None:
    first, second = create(catalog, b"/media/"), create(catalog, b"/media/")
    end(catalog, second)
    with catalog.transaction() as tx:
        for _ in range(jobs.KEPT_JOBS):
            jobs.create(tx, "scan", (b"/media/",))
    assert jobs.job(catalog.connection, first.id) is not None
    assert jobs.job(catalog.connection, second.id) is None
    assert create(catalog, b"/media/").id == jobs.KEPT_JOBS + 3, "numbers are never given twice"


# The tally


def test_what_waits_was_written_failed_or_was_left_alone(catalog: Catalog) -> None:
    names = [b"waits.mkv", b"written.mkv", b"failed.mkv", b"old.mkv", b"again.mkv"]
    catalog.look(b"", *(file(name, 10**number) for number, name in enumerate(names)))
    catalog.hash(b"old.mkv")
    catalog.now = 200
    catalog.hash(b"written.mkv")
    fail(catalog, b"failed.mkv")
    catalog.now = 300
    catalog.look(b"", file(b"again.mkv", 50_000))
    assert tally(catalog, since=WALL + 200, until=250) == Tally(5, 1, 1, 1, 10 + 100 + 1_000 + 50_000)
    catalog.hash(b"waits.mkv")
    assert tally(catalog, since=WALL + 200, until=250)[:4] == (5, 0, 2, 1)


def test_what_had_failed_is_waited_for_when_somebody_has_it_tried_again(catalog: Catalog) -> None:
    """Else a scan counts as failed what it is about to hash."""
    catalog.look(b"", file(b"a.mkv"))
    fail(catalog, b"a.mkv")
    assert tally(catalog)[1:4] == (0, 0, 1)
    catalog.run(lambda tx: ask_again(tx, [catalog.row(b"a.mkv").id]))
    assert tally(catalog)[1:4] == (1, 0, 0)
    fail(catalog, b"a.mkv")
    assert tally(catalog)[1:4] == (0, 0, 1)


def test_what_has_failed_is_counted_while_no_root_is_there(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    fail(catalog, b"a.mkv")
    catalog.run(lambda tx: ask_again(tx, [catalog.row(b"a.mkv").id]))
    assert tally(catalog, online=())[:4] == (1, 0, 0, 1)


def test_what_cannot_be_hashed_now_is_not_waited_for(catalog: Catalog) -> None:
    """Else a job would never end."""
    catalog.look(b"", file(b"a.mkv"))
    assert tally(catalog).pending == 1
    assert tally(catalog, online=()).pending == 0
    assert tally(catalog, online=(2, 3)).pending == 0


def test_held_and_missing_and_hidden_files_are_not_waited_for(catalog: Catalog) -> None:
    names = [b"%d.mkv" % number for number in range(60)]
    catalog.look(b"", *(file(name) for name in names))
    catalog.miss(b"", *names)
    assert tally(catalog)[:2] == (60, 0)
    catalog.look(b"", *(file(name) for name in names))
    catalog.now += 10
    catalog.miss(b"", *names[:2])
    with catalog.transaction() as tx:
        tx.connection.execute("UPDATE media_files SET hidden = 1 WHERE name = ?", (b"9.mkv",))
        tx.totals.recount(tx.connection, 1)
    assert tally(catalog)[:2] == (57, 57)


def test_a_retaken_hash_is_waited_for_although_the_probe_has_failed(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.hash(b"a.mkv")
    fail(catalog, b"a.mkv", PROBE, final=True)
    assert tally(catalog)[1:4] == (0, 1, 0)
    catalog.look(b"", file(b"a.mkv", ctime=5))
    assert tally(catalog).pending == 1


def test_a_scope_is_a_range_of_directories_and_single_files(catalog: Catalog) -> None:
    for directory in (b"", b"films/", b"films/new/", b"films2/", b"films 2/"):
        catalog.look(directory, file(b"a.mkv"), file(b"b.mkv"))
    assert tally(catalog).total == 10
    assert tally(catalog, b"/media/films/").total == 4
    assert tally(catalog, b"/media/films/a.mkv").total == 1
    assert tally(catalog, b"/media/films/", b"/media/films/new/", b"/media/films/a.mkv").total == 4, "counted once"
    assert tally(catalog, b"/media/films/new/", b"/media/b.mkv").total == 3
    assert tally(catalog, b"/media/none/", b"/media/none.mkv").total == 0


def test_wildcards_and_bytes_that_are_no_text_are_taken_as_they_are(catalog: Catalog) -> None:
    for directory in (STRANGE, b"\xff 50x_\n/", b"\xff 50%y\n/"):
        catalog.look(directory, file(b"a%.mkv"), file(b"ab.mkv"), file(b"a\xfe.mkv"))
    assert tally(catalog, b"/media/" + STRANGE).total == 3
    assert tally(catalog, b"/media/" + STRANGE + b"a%.mkv").total == 1
    assert tally(catalog, b"/media/" + STRANGE + b"a\xfe.mkv").total == 1


def test_files_with_a_problem_are_found_in_the_scope(catalog: Catalog) -> None:
    catalog.look(b"films/", file(b"a.mkv"), file(b"b.mkv"), file(b"c.mkv"))
    catalog.look(b"other/", file(b"a.mkv"))
    for path in (b"films/a.mkv", b"films/c.mkv", b"other/a.mkv"):
        fail(catalog, path)
    wanted = catalog.row(b"films/a.mkv").id
    catalog.miss(b"films/", b"c.mkv")
    assert jobs.problems(catalog.connection, (b"/media/films/",)) == [wanted]
    assert jobs.problems(catalog.connection, (b"/media/films/b.mkv",)) == []
