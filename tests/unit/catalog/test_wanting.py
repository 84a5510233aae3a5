"""Which videos a phash job or the configuration waits for, and how they are counted."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog import jobs, offers, wanting
from mediawatchd.catalog.jobs import Tally
from mediawatchd.model import (
    ASKED,
    FINGERPRINT,
    LIVE,
    MAX_INTEGER,
    PERCEPTUAL_HASH,
    PHASH,
    PROBE,
    QUICK_HASH,
    SECOND,
    Failed,
    Problem,
)
from tests.catalogs import POLICY, WALL, file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.catalogs import Catalog

ALL = (b"/",)


@pytest.fixture
def catalog(catalog: Catalog) -> Catalog:
    """Videos in two folders: one is hashed in every way, one as far as everything is, one not at all; and a song."""
    catalog.look(b"films/", file(b"done.mkv"), file(b"probed.mkv"), file(b"song.flac", media_type="audio"))
    catalog.look(b"other/", file(b"new.mkv", settle=5))
    for name in (b"films/done.mkv", b"films/probed.mkv", b"films/song.flac"):
        catalog.hash(name)
        catalog.probe(name)
    catalog.phash(b"films/done.mkv")
    return catalog


def names(catalog: Catalog, ids: Iterable[int]) -> list[bytes]:
    return [catalog.by_id(file_id).name for file_id in ids]


def unfinished(catalog: Catalog, *scope: bytes, phash: int = PHASH, since: float | None = None) -> list[bytes]:
    return sorted(names(catalog, wanting.unfinished(catalog.connection, scope or ALL, phash, since=since)))


def ask(catalog: Catalog, *scope: bytes, again: bool = False) -> None:
    since = math.inf if again else None
    ids = wanting.unfinished(catalog.connection, scope or ALL, catalog.policy.phash, since=since)
    catalog.run(lambda tx: wanting.ask(tx, ids, again=again))


def fail(catalog: Catalog, name: bytes, lacks: int, *, final: bool = True) -> None:
    row = catalog.row(name)
    catalog.tell(Failed(row.id, row.stamp, lacks, Problem("decode", "Broken."), final))


def offered(catalog: Catalog) -> list[tuple[bytes, int, int]]:
    """What a worker may have: name, what it is for, priority."""
    wanted = offers.Wanted(frozenset([1]), frozenset(), 100)
    return [
        (task.path.rpartition(b"/")[2], task.lacks, priority)
        for priority in offers.PRIORITIES
        for task in offers.due(
            catalog.connection, PHASH, priority, wanted, after=offers.START, now_ns=round(catalog.now * SECOND)
        )[0]
    ]


def tally(catalog: Catalog, *scope: bytes, since: float = WALL, fact_ns: int = MAX_INTEGER) -> Tally:
    online = frozenset([1]) if catalog.online is None else catalog.online
    return wanting.tally(catalog.connection, scope or ALL, online, since=since, fact_ns=fact_ns)


def test_a_job_has_something_to_do_at_videos_that_are_not_finished(catalog: Catalog) -> None:
    assert unfinished(catalog) == [b"new.mkv", b"probed.mkv"]
    assert unfinished(catalog, b"/media/other/") == [b"new.mkv"]
    assert unfinished(catalog, b"/media/films/probed.mkv") == [b"probed.mkv"]
    assert unfinished(catalog, b"/media/films/done.mkv", b"/media/films/song.flac") == []


def test_a_forced_one_at_what_was_not_hashed_since(catalog: Catalog) -> None:
    assert unfinished(catalog, since=math.inf) == [b"done.mkv", b"new.mkv", b"probed.mkv"]
    assert unfinished(catalog, since=WALL + 100) == [b"done.mkv", b"new.mkv", b"probed.mkv"]
    assert unfinished(catalog, since=WALL + 99.5) == [b"new.mkv", b"probed.mkv"]


def test_where_only_fingerprints_are_wanted_a_missing_string_is_nothing_to_do(catalog: Catalog) -> None:
    catalog.phash(b"films/probed.mkv", lacks=FINGERPRINT)
    assert unfinished(catalog, b"/media/films/", phash=FINGERPRINT) == []
    assert unfinished(catalog, b"/media/films/") == [b"probed.mkv"]


def test_what_is_asked_for_is_offered_after_its_probe_and_after_all_else(catalog: Catalog) -> None:
    ask(catalog)
    assert offered(catalog) == [(b"probed.mkv", PHASH, ASKED)]
    assert catalog.counts()["pending_phash"] == 2
    new = catalog.row(b"other/new.mkv")
    assert (new.wanted, new.priority, new.due_ns) == (PHASH, LIVE, 105 * SECOND), (
        "its quick hash is as urgent as it was"
    )
    assert names(catalog, wanting.wanted(catalog.connection)) == [b"new.mkv", b"probed.mkv"]
    catalog.now = 105
    catalog.hash(b"other/new.mkv")
    catalog.probe(b"other/new.mkv")
    assert offered(catalog) == [(b"new.mkv", PHASH, LIVE), (b"probed.mkv", PHASH, ASKED)]
    catalog.phash(b"films/probed.mkv")
    assert [name for name, _, _ in offered(catalog)] == [b"new.mkv"]


def test_asked_again_what_is_known_is_offered_too_and_stays_known(catalog: Catalog) -> None:
    ask(catalog, b"/media/films/", again=True)
    assert offered(catalog) == [(b"done.mkv", PHASH, ASKED), (b"probed.mkv", PHASH, ASKED)]
    row = catalog.row(b"films/done.mkv")
    assert (row.lacks, row.video_phash) == (0, "0123456789abcdef")
    catalog.phash(b"films/done.mkv")
    assert catalog.row(b"films/done.mkv").wanted == 0


def test_what_is_held_missing_or_not_there_is_not_offered(catalog: Catalog) -> None:
    ask(catalog)
    catalog.miss(b"films/", b"probed.mkv")
    assert offered(catalog) == []


def test_what_had_failed_is_tried_anew(catalog: Catalog) -> None:
    ask(catalog)
    fail(catalog, b"films/probed.mkv", PHASH)
    assert offered(catalog) == []
    assert tally(catalog, b"/media/films/").failed == 1
    catalog.now = 300
    ask(catalog)
    assert offered(catalog) == [(b"probed.mkv", PHASH, ASKED)]
    row = catalog.row(b"films/probed.mkv")
    assert (row.problem, row.due_ns) == (None, 300 * SECOND)


def test_a_probe_that_had_failed_is_tried_anew_first(catalog: Catalog) -> None:
    catalog.hash(b"other/new.mkv")
    fail(catalog, b"other/new.mkv", PROBE)
    ask(catalog)
    row = catalog.row(b"other/new.mkv")
    assert (row.lacks & (QUICK_HASH | PROBE), row.wanted, row.problem) == (PROBE, PHASH, None)
    assert b"new.mkv" not in [name for name, _, _ in offered(catalog)]
    fail(catalog, b"other/new.mkv", PROBE)
    assert catalog.row(b"other/new.mkv").wanted == 0, "there is nothing to be waited for"


def test_let_go_is_what_no_job_and_not_the_configuration_wants(catalog: Catalog) -> None:
    with catalog.transaction() as tx:
        one = jobs.create(tx, "phash", (b"/media/films/",))
        jobs.create(tx, "phash", (b"/media/other/",))
        jobs.create(tx, "scan", (b"/media/films/",))
    ask(catalog, again=True)
    ids = wanting.wanted(catalog.connection)
    assert len(ids) == 3
    catalog.run(lambda tx: wanting.let_go(tx, ids))
    assert list(wanting.wanted(catalog.connection)) == list(ids)
    catalog.run(lambda tx: wanting.let_go(tx, ids, ended=one.id))
    assert names(catalog, wanting.wanted(catalog.connection)) == [b"new.mkv"]
    with catalog.transaction() as tx:
        tx.connection.execute("UPDATE jobs SET state = 'done'")
        wanting.let_go(tx, ids)
    assert list(wanting.wanted(catalog.connection)) == []
    assert catalog.row(b"films/done.mkv").lacks == 0


def test_what_every_video_gets_is_not_let_go_of_but_for_what_none_gets_any_more(catalog: Catalog) -> None:
    ask(catalog, again=True)
    ids = wanting.wanted(catalog.connection)
    catalog.policy = replace(POLICY, phash=FINGERPRINT, phash_all=True)
    catalog.run(lambda tx: wanting.let_go(tx, ids))
    kept = {catalog.by_id(file_id).name: catalog.by_id(file_id).wanted for file_id in ids}
    assert kept == {b"new.mkv": FINGERPRINT, b"probed.mkv": FINGERPRINT, b"done.mkv": 0}


def test_the_configuration_wants_what_all_videos_lack_but_not_what_cannot_be_had(catalog: Catalog) -> None:
    catalog.hash(b"other/new.mkv")
    fail(catalog, b"other/new.mkv", PROBE)
    catalog.look(b"other/", file(b"gone.mkv"), file(b"retried.mkv"))
    catalog.miss(b"other/", b"gone.mkv")
    fail(catalog, b"other/retried.mkv", QUICK_HASH, final=False)
    catalog.policy = replace(POLICY, phash_all=True)
    ids = wanting.lacking(catalog.connection, PHASH)
    assert sorted(names(catalog, ids)) == [b"gone.mkv", b"probed.mkv", b"retried.mkv"]
    catalog.run(lambda tx: wanting.want(tx, ids))
    assert offered(catalog) == [(b"probed.mkv", PHASH, ASKED)]
    assert list(wanting.lacking(catalog.connection, PHASH)) == []


def test_videos_are_counted_and_nothing_else(catalog: Catalog) -> None:
    assert tally(catalog, b"/media/films/") == Tally(2, 0, 1, 0, 2_000)
    ask(catalog)
    assert tally(catalog, b"/media/films/") == Tally(2, 1, 1, 0, 1_000)
    assert tally(catalog, b"/media/films/", since=WALL + 100).written == 0, "it was hashed before the job began"
    assert tally(catalog) == Tally(3, 2, 1, 0, 1_000)


def test_what_cannot_be_had_now_or_has_changed_since_is_not_waited_for(catalog: Catalog) -> None:
    ask(catalog)
    assert tally(catalog, fact_ns=99 * SECOND).pending == 0
    catalog.online = frozenset()
    assert tally(catalog).pending == 0
    catalog.online = None
    fail(catalog, b"films/probed.mkv", PHASH, final=False)
    assert (tally(catalog).pending, tally(catalog).failed) == (1, 1)


def test_what_moves_while_a_job_waits_for_it_still_is(catalog: Catalog) -> None:
    """Else it is skipped, and then wanted by nobody."""
    catalog.look(b"", file(b"unprobed.mkv", inode=77))
    catalog.hash(b"unprobed.mkv")
    ask(catalog)
    began, begun_ns = WALL + catalog.now, round(catalog.now * SECOND)
    catalog.now += 10
    for former, path in ((b"films/probed.mkv", b"moved.mkv"), (b"unprobed.mkv", b"moved unprobed.mkv")):
        catalog.look(b"", catalog.moved(former, here=path))
        assert tally(catalog, b"/media/" + path, since=began, fact_ns=begun_ns).pending == 1


def test_what_is_new_or_changed_is_not_waited_for_though_it_is_wanted(catalog: Catalog) -> None:
    """Else a job would never end where files keep changing."""
    catalog.policy = replace(POLICY, phash_all=True)
    ask(catalog)
    began, begun_ns = WALL + catalog.now, round(catalog.now * SECOND)
    catalog.now += 10
    catalog.look(b"films/", file(b"probed.mkv", 5), file(b"new.mkv"))
    for name in (b"films/probed.mkv", b"films/new.mkv"):
        catalog.hash(name)
        catalog.probe(name)
        assert catalog.row(name).wanted == PHASH
        assert tally(catalog, b"/media/" + name, since=began, fact_ns=begun_ns).pending == 0


def test_a_string_is_waited_for_where_the_fingerprint_is_there(catalog: Catalog) -> None:
    catalog.phash(b"films/probed.mkv", lacks=FINGERPRINT)
    ask(catalog, b"/media/films/")
    assert offered(catalog) == [(b"probed.mkv", PERCEPTUAL_HASH, ASKED)]
