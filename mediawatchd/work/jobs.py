"""Jobs: what a person started and can see, wait for and cancel.

Each running job has a thread of its own, which does nothing but begin its errand, wait for commits and count. Exactly
one of two starts of a kind over an overlapping scope wins. A job that was running when the daemon ended starts over;
what it had done is done, so it gets back to where it was quickly.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Protocol

from mediawatchd.catalog import jobs as rows
from mediawatchd.errors import Refused
from mediawatchd.work.progress import JobStatus, job_fields

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from mediawatchd.catalog.database import Database
    from mediawatchd.catalog.jobs import JobRow, Scope
    from mediawatchd.catalog.transaction import Transaction
    from mediawatchd.catalog.writer import Writer
    from mediawatchd.model import JobKind, JobState

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
SAVE_SECONDS = 5.0
COUNTING_SHARE = 20
"""A job spends no more than one part in so many of its time on counting its files."""


class JobFailed(Exception):
    """Nothing of what a job is for can be done; the message says why."""


class Errand(Protocol):
    """What one job does. Its own thread calls it, but for `current_file` and `cancel`, which any may call."""

    def begin(self) -> str | None:
        """Have everything done that the job is for, and return what went wrong with a part of it.

        Returns as soon as the job is cancelled. Raises JobFailed.
        """

    def tally(self, connection: sqlite3.Connection, fact_ns: int) -> rows.Tally:
        """How far it is; what changed after the catalog time `fact_ns` is not waited for."""

    def current_file(self) -> bytes | None:
        """Where it is, for progress."""

    def cancel(self) -> None:
        """Somebody has cancelled it: what is under way for it alone is to end at once."""

    def finish(self) -> None:
        """It has ended for good, however it did."""


class _Running:
    """One job under way; owned by its thread, read by all."""

    def __init__(self, row: JobRow, errand: Callable[[JobRow, threading.Event], Errand]) -> None:
        self.row = row
        self.cancelled = threading.Event()
        self.errand = errand(row, self.cancelled)
        self.counting_since: tuple[float, int] | None = None
        self.told: JobState | None = None
        """The state that the history was told last."""


class Jobs:
    """`_progress` guards which jobs run, and is notified when any of them, or the catalog, gets on."""

    def __init__(
        self,
        *,
        database: Database,
        writer: Writer,
        errands: Mapping[JobKind, Callable[[JobRow, threading.Event], Errand]],
    ) -> None:
        self._database = database
        self._writer = writer
        self._errands = errands
        # Held by whoever starts a job, until it runs. Not the lock below: the writer takes that one at each commit.
        self._starting = threading.Lock()
        self._progress = threading.Condition()
        # Guarded by _progress:
        self._running: dict[int, _Running] = {}
        self._ended: Counter[tuple[str, str]] = Counter()
        self._stopping = False

    def start(self) -> None:
        """Take up the jobs that an earlier run left."""
        with self._database.reader() as connection:
            left = rows.unfinished(connection)
        for row in left:
            log.info("A job is taken up again job=%d kind=%s state=%s", row.id, row.kind, row.state)
            self._begin(row)

    def stop(self, timeout_seconds: float) -> bool:
        """Leave running jobs as they are, to be taken up at the next start."""
        with self._progress:
            self._stopping = True
            running = list(self._running.values())
            for job in running:
                job.cancelled.set()
            self._progress.notify_all()
            return self._progress.wait_for(lambda: not self._running, timeout_seconds)

    def committed(self) -> None:
        """The catalog got on."""
        with self._progress:
            self._progress.notify_all()

    def launch(self, kind: JobKind, scope: Scope, *, force: bool = False) -> JobRow:
        """Start a job. Raises Refused with the running one when it is of the same kind and overlaps."""
        with self._starting:
            with self._progress:
                for job in self._under_way_locked():
                    if job.row.kind == kind and _overlap(job.row.scope, scope):
                        raise Refused(
                            409,
                            "already_running",
                            f"{kind} {job.row.id} runs here already",
                            hint="Wait for it or cancel it.",
                            detail={"job": job.row.id, "progress": job_fields(self._status(job))},
                        )
            row = self._writer.ask(lambda tx: rows.create(tx, kind, scope, force=force))
            self._begin(row)
        return row

    def cancel(self, job_id: int) -> JobStatus:
        """Ask a job to end. Raises Refused when it is unknown or has ended."""
        with self._progress:
            job = self._running.get(job_id)
            if job is not None:
                job.row = job.row._replace(state="stopping")
                job.cancelled.set()
                self._progress.notify_all()
        status = self.status(job_id)
        if job is not None:
            job.errand.cancel()
            return status
        raise Refused(409, "not_running", f"job {job_id} is {status.row.state}", hint="Only running jobs can be ended.")

    def running(self) -> list[JobStatus]:
        """The jobs under way, newest first."""
        with self._progress:
            newest_first = sorted(self._under_way_locked(), key=lambda job: job.row.id, reverse=True)
            return [self._status(job) for job in newest_first]

    def ended(self) -> dict[tuple[str, str], int]:
        """How many jobs have ended since the start, by kind and state."""
        with self._progress:
            return dict(self._ended)

    def newest(self, limit: int = rows.KEPT_JOBS) -> list[JobStatus]:
        with self._database.reader() as connection:
            known = rows.newest(connection, limit)
        with self._progress:
            running = {job_id: self._status(job) for job_id, job in self._running.items()}
        return [running.get(row.id) or JobStatus(row, None, None) for row in known]

    def status(self, job_id: int) -> JobStatus:
        """One job. Raises Refused when there is none of that id."""
        with self._progress:
            if job_id in self._running:
                return self._status(self._running[job_id])
        with self._database.reader() as connection:
            row = rows.job(connection, job_id)
        if row is None:
            raise Refused(404, "not_found", f"there is no job {job_id}", hint="`mediawatchctl jobs` lists them.")
        return JobStatus(row, None, None)

    def wait(self, job_id: int, timeout_seconds: float) -> JobStatus:
        """Wait for the end of a job. Raises Refused after the time-out."""
        with self._progress:
            ended = self._progress.wait_for(lambda: job_id not in self._running or self._stopping, timeout_seconds)
        status = self.status(job_id)
        if not ended:
            raise Refused(
                504, "timeout", f"job {job_id} is still {status.row.state}", detail={"progress": job_fields(status)}
            )
        return status

    def _under_way_locked(self) -> list[_Running]:
        """One that has ended stays in `_running` until its end is in the catalog; it is in nobody's way."""
        return [job for job in self._running.values() if job.row.finished is None]

    def _begin(self, row: JobRow) -> None:
        job = _Running(row, self._errands[row.kind])
        if row.state == "stopping":
            job.cancelled.set()
        with self._progress:
            self._running[row.id] = job
        threading.Thread(target=self._run, args=(job,), name=f"job-{job.row.id}", daemon=True).start()

    def _status(self, job: _Running) -> JobStatus:
        row = job.row
        eta_seconds = None
        if job.counting_since is not None and row.total is not None:
            since, done_before = job.counting_since
            done = row.processed - done_before
            if done > 0:
                eta_seconds = (row.total - row.processed) * (time.monotonic() - since) / done
        return JobStatus(row, job.errand.current_file(), eta_seconds)

    # What follows runs on the thread of the job.

    def _run(self, job: _Running) -> None:
        state: JobState = "failed"
        error: str | None = None
        try:
            with self._progress:
                if not job.cancelled.is_set():
                    # One that is taken up again counts anew; what it had hashed counts as hashed since its start.
                    job.row = job.row._replace(state="running", total=None, processed=0, written=0, skipped=0, failed=0)
            self._save(job)
            state, error = self._carry_out(job)
        except JobFailed as failed:
            error = str(failed)
        except Exception as problem:  # a job must end, whatever happens to it
            log.exception("A job failed job=%d", job.row.id)
            error = str(problem)
        try:
            # What only the end of the daemon has ended goes on at its next start.
            if not self._stopping or job.row.state == "stopping" or state == "done":
                self._end(job, state, error)
        except Exception as problem:  # noqa: BLE001 - the daemon stops, or the disk of the catalog failed
            log.warning("How a job ended could not be written, it goes on at the next start error=%s", problem)
        finally:
            with self._progress:
                del self._running[job.row.id]
                if not self._stopping:
                    self._ended[job.row.kind, state] += 1
                self._progress.notify_all()

    def _carry_out(self, job: _Running) -> tuple[JobState, str | None]:
        error = None
        try:
            if not job.cancelled.is_set():
                error = job.errand.begin()
        except JobFailed:
            if not job.cancelled.is_set():  # what was cut off has not failed
                raise
        if job.cancelled.is_set():
            return "cancelled", None
        # Everything that was begun is in the catalog once this call is through.
        begun_ns = self._writer.call(lambda tx: tx.now_ns).result()
        return ("done", error) if self._count_until_done(job, begun_ns) else ("cancelled", None)

    def _end(self, job: _Running, state: JobState, error: str | None) -> None:
        if job.row.state == "stopping":
            self._save(job)  # it does not come back, even if the rest of this is cut off
        job.errand.finish()
        job.row = job.row._replace(state=state, error=error, finished=time.time())
        self._save(job)

    def _count_until_done(self, job: _Running, begun_ns: int) -> bool:
        """Follow the errand to its end; False when cancelled."""
        saved = time.monotonic()
        while True:
            began = time.monotonic()
            with self._database.reader() as connection:
                tally = job.errand.tally(connection, begun_ns)
            self._update(job, tally)
            now = time.monotonic()
            if tally.pending == 0:
                return True
            if now - saved > SAVE_SECONDS:
                self._save(job)
                saved = now
            pause_until = now + max(POLL_SECONDS, COUNTING_SHARE * (now - began))
            with self._progress:
                self._progress.notify_all()
                while (left := pause_until - time.monotonic()) > 0 and not job.cancelled.is_set():
                    self._progress.wait(left)
            if job.cancelled.is_set():
                return False

    def _update(self, job: _Running, tally: rows.Tally) -> None:
        """Vanished files count as processed: the total is that of the first count and does not shrink."""
        total = tally.total if job.row.total is None else job.row.total
        processed = total - min(tally.pending, total)
        failed = min(tally.failed, processed)
        written = min(tally.written, processed - failed)
        with self._progress:
            job.row = job.row._replace(
                total=total,
                processed=processed,
                written=written,
                failed=failed,
                skipped=processed - written - failed,
                bytes_done=tally.bytes_done,
            )
            job.counting_since = job.counting_since or (time.monotonic(), processed)

    def _save(self, job: _Running) -> None:
        row, told = job.row, job.told

        def save(tx: Transaction) -> None:
            rows.save(tx, row)
            if row.state != told:
                tx.tell("job", None, None, detail=_told(row))

        self._writer.call(save).result()
        job.told = row.state


def _told(row: JobRow) -> str:
    words = f"{row.kind} {row.id} {row.state}"
    if row.finished is None or row.total is None:
        return words
    return f"{words}: {row.written:,} hashed, {row.skipped:,} skipped, {row.failed:,} failed, of {row.total:,}"


def _overlap(one: Scope, other: Scope) -> bool:
    return any(rows.covers([a], b) or rows.covers([b], a) for a in one for b in other)
