from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog import jobs as rows
from mediawatchd.errors import Refused
from mediawatchd.model import QUICK_HASH
from mediawatchd.work import jobs
from mediawatchd.work.jobs import Jobs
from mediawatchd.work.progress import job_fields
from mediawatchd.work.scan import Scan
from tests.parts import MEDIA, WITHIN, a_stamp, catalog
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mediawatchd.catalog.jobs import JobRow, Scope
    from tests.parts import Parts


class FakeWalked:
    def __init__(self, current: bytes) -> None:
        self.current = current


class FakeWalk:
    """A walk that ends when the test says so."""

    def __init__(self, path: bytes, is_cancelled: Callable[[], bool]) -> None:
        self.path = path
        self.is_cancelled = is_cancelled
        self.done = threading.Event()
        self.error: str | None = None
        self.walked = FakeWalked(path + b"somewhere/")

    def end(self, error: str | None = None) -> None:
        self.error = error
        self.done.set()


class Bench:
    """Jobs over a real catalog, with walks in the hands of the test."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.walks: list[FakeWalk] = []
        self.walked_at_once = False
        self.roots: tuple[bytes, ...] = (MEDIA,)
        self.jobs = Jobs(
            database=parts.database,
            writer=parts.writer,
            errands={
                "scan": partial(
                    Scan,
                    database=parts.database,
                    writer=parts.writer,
                    within_reach=lambda: parts.online,
                    away=frozenset,
                    walk=self._walk,
                    current_file=lambda: b"/media/read.mkv",
                )
            },
        )
        parts.listeners.append(lambda _committed: self.jobs.committed())

    def _walk(self, scope: Scope, is_cancelled: Callable[[], bool]) -> list[FakeWalk]:
        walks = [FakeWalk(path, is_cancelled) for path in scope if path.startswith(self.roots)]
        self.walks += walks
        if self.walked_at_once:
            for walk in walks:
                walk.end()
        return walks

    def start(self, *scope: bytes) -> JobRow:
        """A scan that has asked for its walks."""
        asked = len(self.walks)
        row = self.jobs.launch("scan", scope or (MEDIA,))
        wait_until(lambda: len(self.walks) > asked, within=WITHIN)
        return row

    def state(self, job: JobRow) -> str:
        return self.jobs.status(job.id).row.state

    def stored(self, job: JobRow) -> JobRow:
        with self.parts.database.reader() as connection:
            row = rows.job(connection, job.id)
        assert row is not None
        return row

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


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as made:
        yield made


def test_starting_a_job_waits_for_a_writer_that_tells_the_jobs_of_each_commit(one: Bench) -> None:
    # It held the lock that the writer takes at each commit, and both stood still.
    starting = ThreadPoolExecutor(1).submit(one.jobs.launch, "scan", (MEDIA,))
    assert starting.result(WITHIN).state == "queued"


def test_exactly_one_of_many_simultaneous_starts_wins(one: Bench) -> None:
    together = threading.Barrier(8)

    def start(_number: int) -> int | Refused:
        together.wait(WITHIN)
        try:
            return one.jobs.launch("scan", (MEDIA,)).id
        except Refused as refusal:
            return refusal

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(start, range(8)))
    winners = [answer for answer in answers if isinstance(answer, int)]
    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert len(winners) == 1
    assert len(refusals) == 7
    for refusal in refusals:
        assert (refusal.status, refusal.code, refusal.detail["job"]) == (409, "already_running", winners[0])
        assert refusal.detail["progress"]["id"] == winners[0]


def test_the_one_that_was_refused_may_start_when_the_first_has_ended(one: Bench) -> None:
    one.walked_at_once = True
    first = one.start()
    assert one.ended(first).state == "done"
    assert one.start().id > first.id


@pytest.mark.parametrize(
    ("running", "asked", "refused"),
    [
        ([b"/media/a/"], [b"/media/"], True),
        ([b"/media/"], [b"/media/a/b/"], True),
        ([b"/media/a/"], [b"/media/a/"], True),
        ([b"/media/a/", b"/media/c/"], [b"/media/b/", b"/media/c/d/"], True),
        ([b"/media/a/"], [b"/media/b/"], False),
        ([b"/media/a/"], [b"/media/a2/"], False),
    ],
)
def test_scans_overlap_where_one_scope_lies_in_the_other(
    one: Bench, running: list[bytes], asked: list[bytes], refused: bool
) -> None:
    one.start(*running)
    if refused:
        with pytest.raises(Refused, match="runs here already"):
            one.jobs.launch("scan", tuple(asked))
    else:
        one.jobs.launch("scan", tuple(asked))
        assert len(one.jobs.running()) == 2


def test_total_and_percent_are_null_until_the_walk_has_ended(one: Bench) -> None:
    one.parts.found(MEDIA, b"a.mkv", b"b.mkv")
    job = one.start()
    fields = job_fields(one.jobs.status(job.id))
    assert (fields["state"], fields["total"], fields["percent"]) == ("running", None, None)
    assert fields["current_file"] == "/media/somewhere/"
    one.walks[0].end()
    wait_until(lambda: one.jobs.status(job.id).row.total == 2, within=WITHIN)
    fields = job_fields(one.jobs.status(job.id))
    assert (fields["processed"], fields["percent"], fields["eta_seconds"]) == (0, 0.0, None)
    assert fields["current_file"] == "/media/read.mkv"


def test_a_job_of_nothing_is_done_whole(one: Bench) -> None:
    one.walked_at_once = True
    job = one.start()
    assert one.ended(job).state == "done"
    fields = job_fields(one.jobs.status(job.id))
    assert (fields["total"], fields["processed"], fields["percent"]) == (0, 0, 100.0)


def test_unchanged_hashed_failed_and_vanished_files_are_all_processed(one: Bench) -> None:
    unchanged, hashed, failing, vanishing, changing = one.parts.found(
        MEDIA, b"unchanged.mkv", b"hashed.mkv", b"failing.mkv", b"vanishing.mkv", b"changing.mkv"
    )
    one.parts.hashed(unchanged)
    # A second of the clock apart, in which hashes are dated.
    one.parts.call(
        lambda tx: tx.connection.execute(
            "UPDATE media_files SET hashed_at = hashed_at - 100 WHERE id = ?", (unchanged,)
        )
    )
    job = one.start()
    one.walks[0].end()
    wait_until(lambda: one.jobs.status(job.id).row.total == 5, within=WITHIN)
    one.parts.hashed(hashed)
    one.parts.failed(failing)
    one.parts.gone(vanishing)
    one.parts.found(MEDIA, b"changing.mkv", stamp=a_stamp(size=2000))
    assert changing == one.parts.row(b"/media/changing.mkv")["id"]
    ended = one.ended(job)
    assert (ended.state, ended.total, ended.processed) == ("done", 5, 5)
    assert (ended.written, ended.failed, ended.skipped) == (1, 1, 3)
    assert job_fields(one.jobs.status(job.id))["percent"] == 100.0


def test_a_failing_file_outside_the_scope_is_not_counted(one: Bench) -> None:
    one.walked_at_once = True
    one.parts.failed(*one.parts.found(b"/media/other/", b"a.mkv"))
    inside = one.parts.found(b"/media/here/", b"b.mkv")
    one.parts.hashed(*inside)
    ended = one.ended(one.start(b"/media/here/"))
    assert (ended.total, ended.failed) == (1, 0)


def test_files_found_after_the_walk_are_not_waited_for(one: Bench) -> None:
    hashed = one.parts.found(MEDIA, b"a.mkv")
    job = one.start()
    one.walks[0].end()
    wait_until(lambda: one.jobs.status(job.id).row.total == 1, within=WITHIN)
    one.parts.found(MEDIA, b"later.mkv")
    one.parts.hashed(*hashed)
    assert one.ended(job).total == 1


def test_files_on_a_root_that_went_offline_are_not_waited_for(one: Bench) -> None:
    one.parts.found(MEDIA, b"a.mkv")
    job = one.start()
    one.walks[0].end()
    wait_until(lambda: one.jobs.status(job.id).row.total == 1, within=WITHIN)
    one.parts.online = frozenset()
    assert one.ended(job).state == "done"


def test_a_scan_asks_again_for_what_had_a_problem(one: Bench) -> None:
    (failed,) = one.parts.found(MEDIA, b"broken.mkv")
    one.parts.failed(failed, reason="decode", final=True)
    assert not one.parts.row(b"/media/broken.mkv")["lacks"] & QUICK_HASH
    one.start()
    row = one.parts.row(b"/media/broken.mkv")
    assert row["lacks"] & QUICK_HASH
    assert row["due_ns"] <= one.parts.flush()


def test_a_job_cancelled_while_it_walks_ends_though_its_walk_has_not(one: Bench) -> None:
    job = one.start()
    assert one.jobs.cancel(job.id).row.state == "stopping"
    assert one.ended(job).state == "cancelled"
    assert one.walks[0].is_cancelled()
    assert not one.walks[0].done.is_set()


def test_a_job_whose_walks_end_as_it_is_cancelled_has_not_failed(one: Bench) -> None:
    job = one.start()
    one.jobs.cancel(job.id)
    one.walks[0].end("cancelled")
    assert (one.ended(job).state, one.ended(job).error) == ("cancelled", None)


def test_a_job_cancelled_while_it_hashes_keeps_what_is_done(one: Bench) -> None:
    first, _second = one.parts.found(MEDIA, b"a.mkv", b"b.mkv")
    job = one.start()
    one.walks[0].end()
    wait_until(lambda: one.jobs.status(job.id).row.total == 2, within=WITHIN)
    one.parts.hashed(first)
    wait_until(lambda: one.jobs.status(job.id).row.processed == 1, within=WITHIN)
    one.jobs.cancel(job.id)
    ended = one.ended(job)
    assert (ended.state, ended.total, ended.processed, ended.written) == ("cancelled", 2, 1, 1)
    assert ended.finished is not None
    assert one.stored(job) == ended


def test_a_job_that_has_ended_cannot_be_cancelled(one: Bench) -> None:
    one.walked_at_once = True
    job = one.start()
    one.ended(job)
    with pytest.raises(Refused) as refused:
        one.jobs.cancel(job.id)
    assert (refused.value.status, refused.value.code) == (409, "not_running")


def test_an_unknown_job(one: Bench) -> None:
    asked: list[Callable[[int], object]] = [one.jobs.status, one.jobs.cancel, lambda number: one.jobs.wait(number, 0)]
    for ask in asked:
        with pytest.raises(Refused) as refused:
            ask(77)
        assert (refused.value.status, refused.value.code) == (404, "not_found")


def test_waiting_ends_at_its_time_out_with_the_progress(one: Bench) -> None:
    job = one.start()
    with pytest.raises(Refused) as refused:
        one.jobs.wait(job.id, 0.01)
    assert (refused.value.status, refused.value.code) == (504, "timeout")
    assert refused.value.detail["progress"]["id"] == job.id  # type: ignore[index] - it is JSON
    assert one.state(job) == "running"


def test_a_job_whose_walks_all_failed_has_failed_and_says_why(one: Bench) -> None:
    one.roots = (b"/media/", b"/more/")
    job = one.start(b"/media/", b"/more/")
    one.walks[0].end("offline: the folder is not there")
    one.walks[1].end("error: permission denied")
    ended = one.ended(job)
    assert (ended.state, ended.error) == ("failed", "offline: the folder is not there; error: permission denied")


def test_a_job_with_one_good_walk_is_done_and_names_the_other(one: Bench) -> None:
    one.roots = (b"/media/", b"/more/")
    job = one.start(b"/media/", b"/more/")
    one.walks[0].end("offline: the folder is not there")
    one.walks[1].end()
    ended = one.ended(job)
    assert (ended.state, ended.error) == ("done", "offline: the folder is not there")


def test_a_job_of_which_no_folder_is_in_a_root_any_more_has_failed(one: Bench) -> None:
    one.roots = ()
    job = one.jobs.launch("scan", (MEDIA,))
    ended = one.ended(job)
    assert (ended.state, ended.error) == ("failed", "its folders lie in no configured root any more")


def test_a_job_that_meets_a_fault_of_ours_ends(one: Bench, caplog: pytest.LogCaptureFixture) -> None:
    one.roots = None  # type: ignore[assignment] - that is the fault
    ended = one.ended(one.jobs.launch("scan", (MEDIA,)))
    assert ended.state == "failed"
    assert ended.error
    assert "A job failed" in caplog.text


def test_jobs_are_listed_newest_first_with_the_running_ones_as_they_are(one: Bench) -> None:
    one.walked_at_once = True
    first = one.start()
    one.ended(first)
    one.walked_at_once = False
    second = one.start()
    assert [status.row.id for status in one.jobs.newest()] == [second.id, first.id]
    assert [status.row.state for status in one.jobs.newest()] == ["running", "done"]
    assert [status.row.id for status in one.jobs.running()] == [second.id]


def test_a_job_goes_on_after_a_restart_and_its_total_is_unknown_until_it_has_walked_again(tmp_path: Path) -> None:
    with bench(tmp_path) as before:
        hashed, _pending = before.parts.found(MEDIA, b"a.mkv", b"b.mkv")
        job = before.start()
        before.walks[0].end()
        before.parts.hashed(hashed)
        wait_until(lambda: before.jobs.status(job.id).row.processed == 1, within=WITHIN)
        halfway = before.jobs.status(job.id).row
        before.parts.call(lambda tx: rows.save(tx, halfway))  # as it is every few seconds
    with bench(tmp_path) as after:
        wait_until(lambda: after.walks, within=WITHIN)
        again = after.jobs.status(job.id).row
        assert (again.state, again.total, again.processed) == ("running", None, 0)
        assert again.scope == (MEDIA,)
        after.walks[0].end()
        wait_until(lambda: after.jobs.status(job.id).row.total == 2, within=WITHIN)
        after.parts.hashed(after.parts.row(b"/media/b.mkv")["id"])
        ended = after.ended(job)
        assert (ended.state, ended.processed, ended.written) == ("done", 2, 2)


def test_a_job_cancelled_as_the_daemon_ends_does_not_come_back(tmp_path: Path) -> None:
    with bench(tmp_path) as before:
        job = before.start()
        before.jobs.cancel(job.id)
    with bench(tmp_path) as after:
        assert after.jobs.running() == []
        assert after.state(job) == "cancelled"


def test_a_job_that_was_being_cancelled_at_a_crash_does_not_come_back(tmp_path: Path) -> None:
    with catalog(tmp_path) as parts:
        row = parts.call(lambda tx: rows.create(tx, "scan", (MEDIA,)))
        parts.call(lambda tx: rows.save(tx, row._replace(state="stopping")))
    with bench(tmp_path) as after:
        assert after.ended(row).state == "cancelled"
        assert after.walks == []


def test_each_change_of_a_job_is_told_and_its_progress_is_not(one: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each save of the progress was an event in the history: thousands of "running" for a job of hours.
    monkeypatch.setattr(jobs, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.01)
    told: list[str | None] = []
    one.parts.listeners.append(
        lambda committed: told.extend(event.detail for event in committed.events if event.event == "job")
    )
    file = one.parts.found(MEDIA, b"a.mkv")
    one.walked_at_once = True
    job = one.start()
    wait_until(lambda: one.stored(job).total == 1, within=WITHIN)
    one.parts.hashed(*file)
    one.ended(job)
    assert told == [f"scan {job.id} running", f"scan {job.id} done: 1 hashed, 0 skipped, 0 failed, of 1"]
