"""Phash jobs over a real catalog; the test is the decode process."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.catalog import jobs as rows
from mediawatchd.catalog.transaction import Policy
from mediawatchd.errors import Refused
from mediawatchd.model import FINGERPRINT, PHASH, PerceptuallyHashed, Probe, Probed, Task
from mediawatchd.work import phash
from mediawatchd.work.jobs import Jobs
from mediawatchd.work.phash import PhashRun, Standing
from tests.parts import MEDIA, WITHIN, a_stamp, catalog
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mediawatchd.catalog.jobs import JobRow
    from tests.parts import Parts

POLICY = Policy(0, None, 50, 7 * 86_400 * 10**9)


class Bench:
    """Jobs over a real catalog, with what the configuration says and what is decoded in the hands of the test."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.policy = POLICY
        self.withdrawn: list[Callable[[Task], bool]] = []
        self.jobs = Jobs(
            database=parts.database,
            writer=parts.writer,
            errands={
                "phash": partial(
                    PhashRun,
                    database=parts.database,
                    writer=parts.writer,
                    policy=lambda: self.policy,
                    within_reach=lambda: parts.online,
                    away=frozenset,
                    withdraw=self.withdrawn.append,
                    current_file=lambda: b"/media/decoded.mkv",
                )
            },
        )
        self.standing = Standing(database=parts.database, writer=parts.writer, withdraw=self.withdrawn.append)
        parts.listeners.append(lambda _committed: self.jobs.committed())

    def set_policy(self, policy: Policy) -> None:
        self.policy = policy
        self.parts.writer.set_policy(policy)

    def videos(self, *names: bytes, directory: bytes = MEDIA) -> list[int]:
        """Videos that are hashed and probed."""
        ids = self.parts.found(directory, *names)
        self.parts.hashed(*ids)
        self.outcomes(*(Probed(each, a_stamp(), Probe(None, 1.0, None, None, None, None)) for each in ids))
        return ids

    def phashed(self, *ids: int, lacks: int = PHASH) -> None:
        self.outcomes(*(PerceptuallyHashed(each, a_stamp(), lacks, "0", b"print") for each in ids))

    def outcomes(self, *outcomes: Any) -> None:
        self.parts.writer.outcomes(outcomes)
        self.parts.flush()

    def launch(self, *scope: bytes, force: bool = False, total: int) -> JobRow:
        """A job that has asked for everything."""
        row = self.jobs.launch("phash", scope or (MEDIA,), force=force)
        wait_until(lambda: self.jobs.status(row.id).row.total == total, within=WITHIN)
        return row

    def wanted(self) -> dict[int, int]:
        with self.parts.database.reader() as connection:
            return dict(connection.execute("SELECT id, wanted FROM media_files WHERE wanted ORDER BY id"))

    def now(self, job: JobRow) -> JobRow:
        return self.jobs.status(job.id).row

    def ended(self, job: JobRow) -> JobRow:
        return self.jobs.wait(job.id, WITHIN).row


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    with catalog(folder) as parts:
        made = Bench(parts)
        made.jobs.start()
        try:
            yield made
        finally:
            assert made.jobs.stop(WITHIN)
            assert made.standing.stop(WITHIN)


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as made:
        yield made


def test_hashed_already_hashed_now_and_failed_are_all_processed(one: Bench) -> None:
    done, pending, failing = one.videos(b"done.mkv", b"pending.mkv", b"failing.mkv")
    one.phashed(done)
    job = one.launch(total=3)
    assert one.wanted() == {pending: PHASH, failing: PHASH}
    assert (one.now(job).processed, one.now(job).skipped) == (1, 1)
    assert one.jobs.status(job.id).current_file == b"/media/decoded.mkv"
    one.phashed(pending)
    one.parts.failed(failing, lacks=PHASH, final=True)
    ended = one.ended(job)
    assert (ended.state, ended.total, ended.processed, ended.error) == ("done", 3, 3, None)
    assert (ended.written, ended.skipped, ended.failed) == (1, 1, 1)


def test_what_failed_for_now_is_not_tried_again_once_the_job_has_ended(one: Bench) -> None:
    (failing,) = one.videos(b"failing.mkv")
    job = one.launch(total=1)
    one.parts.failed(failing, lacks=PHASH)
    assert one.ended(job).failed == 1
    assert one.wanted() == {}


def test_more_than_one_piece(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phash, "AT_ONCE", 2)
    ids = one.videos(*(b"%d.mkv" % number for number in range(5)))
    job = one.launch(total=5)
    assert set(one.wanted()) == set(ids)
    one.jobs.cancel(job.id)
    assert one.ended(job).state == "cancelled"
    assert one.wanted() == {}


def test_forced_everything_is_hashed_again(one: Bench) -> None:
    ids = one.videos(b"a.mkv", b"b.mkv")
    one.phashed(*ids)
    job = one.launch(force=True, total=2)
    assert one.now(job).processed == 0
    one.phashed(*ids)
    ended = one.ended(job)
    assert (ended.written, ended.skipped, ended.force) == (2, 0, True)


def test_what_changes_or_comes_meanwhile_is_not_waited_for(one: Bench) -> None:
    changing, pending = one.videos(b"a.mkv", b"b.mkv")
    job = one.launch(total=2)
    one.parts.found(MEDIA, b"a.mkv", b"c.mkv", stamp=a_stamp(size=7))
    assert changing in one.wanted(), "it is hashed all the same while the job runs"
    one.phashed(pending)
    ended = one.ended(job)
    assert (ended.total, ended.written, ended.skipped) == (2, 1, 1)
    assert one.wanted() == {}


def test_cancelled_it_keeps_what_is_done_and_takes_the_rest_back(one: Bench) -> None:
    first, second = one.videos(b"a.mkv", b"b.mkv", directory=b"/media/films/")
    (other,) = one.videos(b"c.mkv", directory=b"/media/other/")
    kept = one.launch(b"/media/other/", total=1)
    job = one.launch(b"/media/films/", total=2)
    one.phashed(first)
    wait_until(lambda: one.now(job).written == 1, within=WITHIN)
    assert one.jobs.cancel(job.id).row.state == "stopping"
    (unwanted,) = one.withdrawn[:1]
    tasks = [
        Task(1, path, a_stamp(), "video", PHASH, 1, 1, 2) for path in (b"/media/films/b.mkv", b"/media/other/c.mkv")
    ]
    assert [unwanted(task) for task in tasks] == [True, False]
    ended = one.ended(job)
    assert (ended.state, ended.processed, ended.written, ended.total) == ("cancelled", 1, 1, 2)
    assert one.wanted() == {other: PHASH}
    assert len(one.withdrawn) > 1, "once more, for what the feeder had read before"
    one.phashed(other)
    assert one.ended(kept).state == "done"
    assert one.parts.row(b"/media/films/b.mkv")["lacks"] == PHASH
    assert second not in one.wanted()


def test_cancelled_it_leaves_what_the_configuration_wants_too(one: Bench) -> None:
    ids = one.videos(b"a.mkv")
    one.set_policy(replace(POLICY, phash_all=True))
    job = one.launch(total=1)
    one.jobs.cancel(job.id)
    assert one.ended(job).state == "cancelled"
    assert one.wanted() == {ids[0]: PHASH}
    assert one.withdrawn == []


def test_the_same_runs_already(one: Bench) -> None:
    one.videos(b"a.mkv", b"a.mkv2.mkv", directory=b"/media/films/")
    job = one.launch(b"/media/films/a.mkv", total=1)
    for scope in ((MEDIA,), (b"/media/films/",), (b"/media/films/a.mkv",)):
        with pytest.raises(Refused, match=f"phash {job.id} runs here already") as refused:
            one.jobs.launch("phash", scope)
        assert refused.value.detail["job"] == job.id
        assert refused.value.detail["progress"]["total"] == 1  # type: ignore[index] - it is JSON
    one.launch(b"/media/films/a.mkv2.mkv", total=1)


def test_roots_that_are_away_are_named_and_fail_a_job_that_has_no_other(one: Bench) -> None:
    one.parts.configure(MEDIA, b"/more/")
    (here,) = one.videos(b"a.mkv")
    one.parts.online = frozenset([one.parts.root_ids[MEDIA]])
    job = one.launch(MEDIA, b"/more/", total=1)
    one.phashed(here)
    assert (one.ended(job).state, one.ended(job).error) == ("done", "/more is not online")
    alone = one.ended(one.jobs.launch("phash", (b"/more/films/",)))
    assert (alone.state, alone.error) == ("failed", "/more is not online")
    nowhere = one.ended(one.jobs.launch("phash", (b"/none/",)))
    assert (nowhere.state, nowhere.error) == ("failed", "it lies in no configured root any more")


def test_taken_up_again_a_forced_one_does_not_do_again_what_it_had_done(tmp_path: Path) -> None:
    with bench(tmp_path) as before:
        ids = before.videos(b"a.mkv", b"b.mkv", b"c.mkv")
        before.phashed(*ids)
        job = before.launch(force=True, total=3)
        before.phashed(ids[0])
    with bench(tmp_path) as after:
        wait_until(lambda: after.now(job).total == 3, within=WITHIN)
        assert set(after.wanted()) == set(ids[1:])
        assert (after.now(job).processed, after.now(job).written) == (1, 1)
        after.phashed(*ids[1:])
        assert after.ended(job).written == 3


def test_a_cancel_that_was_cut_off_is_carried_out(tmp_path: Path) -> None:
    with bench(tmp_path) as before:
        before.videos(b"a.mkv")
        job = before.launch(total=1)
        row = before.now(job)
    with catalog(tmp_path) as parts:
        parts.call(lambda tx: rows.save(tx, row._replace(state="stopping")))
    with bench(tmp_path) as after:
        assert after.ended(job).state == "cancelled"
        assert after.wanted() == {}


# What the configuration wants


def applied(one: Bench) -> None:
    """Wait until the rows are in line with the policy."""
    one.standing.apply(one.policy)
    thread = one.standing._thread
    assert thread is not None
    thread.join(WITHIN)
    assert not thread.is_alive()


def test_switched_on_it_wants_what_is_known_already(one: Bench) -> None:
    done, pending = one.videos(b"a.mkv", b"b.mkv")
    one.phashed(done)
    applied(one)
    assert one.wanted() == {}
    one.set_policy(replace(POLICY, phash_all=True))
    applied(one)
    assert one.wanted() == {pending: PHASH}
    one.set_policy(replace(POLICY, phash=FINGERPRINT, phash_all=True))
    applied(one)
    assert one.wanted() == {pending: FINGERPRINT}


def test_switched_off_it_leaves_what_a_job_wants(one: Bench) -> None:
    one.set_policy(replace(POLICY, phash_all=True))
    (film,) = one.videos(b"a.mkv", directory=b"/media/films/")
    one.videos(b"b.mkv")
    assert len(one.wanted()) == 2
    one.launch(b"/media/films/", total=1)
    one.set_policy(POLICY)
    applied(one)
    assert one.wanted() == {film: PHASH}
    assert len(one.withdrawn) == 1, "what was offered already is dropped"


def test_unchanged_it_looks_at_nothing(one: Bench) -> None:
    applied(one)
    (film,) = one.videos(b"a.mkv")
    one.parts.call(lambda tx: tx.connection.execute("UPDATE media_files SET wanted = 12"))
    applied(one)
    assert one.wanted() == {film: 12}
