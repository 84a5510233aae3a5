"""Jobs: what a person started and can see, wait for and cancel.

Each running job has a thread of its own, which does nothing but ask for walks, wait for commits and count. Exactly
one of two starts over an overlapping scope wins. A job that was running when the daemon ended starts over; what it
had done is done, so it gets back to where it was quickly.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mediawatchd.catalog import jobs as rows
from mediawatchd.catalog.outcomes import ask_again
from mediawatchd.errors import Refused
from mediawatchd.work.progress import job_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mediawatchd.catalog.clock import CatalogClock
    from mediawatchd.catalog.database import Database
    from mediawatchd.catalog.jobs import JobRow, Scope
    from mediawatchd.catalog.transaction import Transaction
    from mediawatchd.catalog.writer import Writer
    from mediawatchd.model import JobState

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
SAVE_SECONDS = 5.0
COUNTING_SHARE = 20
"""A job spends no more than one part in so many of its time on counting its files."""


class Walked(Protocol):
    @property
    def current(self) -> bytes: ...


class Walk(Protocol):
    """A walk that was asked for: see `watching.walks.WalkRequest`."""

    @property
    def done(self) -> threading.Event: ...
    @property
    def error(self) -> str | None: ...
    @property
    def walked(self) -> Walked: ...


class JobStatus(NamedTuple):
    """A job as it is now; `eta_seconds` is None until it can be told."""

    row: JobRow
    current_file: bytes | None
    eta_seconds: float | None


class _Running:
    """One job under way; owned by its thread, read by all."""

    def __init__(self, row: JobRow) -> None:
        self.row = row
        self.cancelled = threading.Event()
        self.walks: Sequence[Walk] = ()
        self.hashing_since: tuple[float, int] | None = None


class Jobs:
    """`_progress` guards which jobs run, and is notified when any of them, or the catalog, gets on."""

    def __init__(
        self,
        *,
        database: Database,
        writer: Writer,
        clock: CatalogClock,
        online: Callable[[], frozenset[int]],
        walk: Callable[[Scope, Callable[[], bool]], Sequence[Walk]],
        current_file: Callable[[], bytes | None],
    ) -> None:
        self._database = database
        self._writer = writer
        self._clock = clock
        self._online = online
        self._walk = walk
        self._current_file = current_file
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
            if row.state == "stopping":
                self._save(row._replace(state="cancelled", finished=time.time()))
            else:
                log.info("A job is taken up again job=%d kind=%s", row.id, row.kind)
                self._begin(_Running(row))

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

    def start_scan(self, scope: Scope) -> JobRow:
        """Start a scan. Raises Refused with the running job when one overlaps."""
        with self._starting:
            with self._progress:
                for job in self._under_way_locked():
                    if job.row.kind == "scan" and _overlap(job.row.scope, scope):
                        raise Refused(
                            409,
                            "already_running",
                            f"job {job.row.id} already scans here",
                            hint="Wait for it or cancel it.",
                            detail={"job": job.row.id, "progress": job_fields(self._status(job))},
                        )
            row = self._writer.ask(lambda tx: rows.create(tx, "scan", scope))
            self._begin(_Running(row))
        return row

    def cancel(self, job_id: int) -> JobStatus:
        """Ask a job to end. Raises Refused when it is unknown or has ended."""
        with self._progress:
            job = self._running.get(job_id)
            if job is not None:
                job.row = job.row._replace(state="stopping")
                job.cancelled.set()
                self._progress.notify_all()
                return self._status(job)
        status = self.status(job_id)
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

    def _begin(self, job: _Running) -> None:
        with self._progress:
            self._running[job.row.id] = job
        threading.Thread(target=self._run, args=(job,), name=f"job-{job.row.id}", daemon=True).start()

    def _status(self, job: _Running) -> JobStatus:
        row = job.row
        walking = next((walk.walked.current for walk in job.walks if not walk.done.is_set()), None)
        eta_seconds = None
        if job.hashing_since is not None and row.total is not None:
            since, done_before = job.hashing_since
            done = row.processed - done_before
            if done > 0:
                eta_seconds = (row.total - row.processed) * (time.monotonic() - since) / done
        return JobStatus(row, walking or self._current_file(), eta_seconds)

    # What follows runs on the thread of the job.

    def _run(self, job: _Running) -> None:
        state: JobState = "failed"
        error: str | None = None
        try:
            with self._progress:
                if not job.cancelled.is_set():
                    # One that is taken up again counts anew; what it had hashed counts as hashed since its start.
                    job.row = job.row._replace(state="running", total=None, processed=0, written=0, skipped=0, failed=0)
            self._save(job.row)
            state, error = self._scan(job)
        except Exception as problem:  # a job must end, whatever happens to it
            log.exception("A job failed job=%d", job.row.id)
            error = str(problem)
        try:
            # What only the end of the daemon has ended goes on at its next start.
            if not self._stopping or job.row.state == "stopping" or state == "done":
                job.row = job.row._replace(state=state, error=error, finished=time.time())
                self._save(job.row)
        except Exception as problem:  # noqa: BLE001 - the daemon stops, or the disk of the catalog failed
            log.warning("How a job ended could not be written, it goes on at the next start error=%s", problem)
        finally:
            with self._progress:
                del self._running[job.row.id]
                if not self._stopping:
                    self._ended[job.row.kind, state] += 1
                self._progress.notify_all()

    def _scan(self, job: _Running) -> tuple[JobState, str | None]:
        scope = job.row.scope
        with self._database.reader() as connection:
            troubled = rows.problems(connection, scope)
        if troubled:
            self._writer.call(lambda tx: ask_again(tx, troubled)).result()
        job.walks = self._walk(scope, job.cancelled.is_set)
        for walk in job.walks:
            while not walk.done.wait(POLL_SECONDS):
                if self._stopping or job.cancelled.is_set():
                    return "cancelled", None
        errors = [walk.error for walk in job.walks if walk.error is not None]
        if job.cancelled.is_set():
            return "cancelled", None
        if len(errors) == len(job.walks):
            return "failed", "; ".join(errors) or "its folders lie in no configured root any more"
        # Everything found is in the catalog once this call is through.
        walked_ns = self._writer.call(lambda tx: tx.now_ns).result()
        if not self._count_until_hashed(job, walked_ns):
            return "cancelled", None
        return "done", "; ".join(errors) or None

    def _count_until_hashed(self, job: _Running, walked_ns: int) -> bool:
        """Follow the quick hashes of the scope to their end; False when cancelled."""
        saved = time.monotonic()
        while True:
            began = time.monotonic()
            with self._database.reader() as connection:
                tally = rows.tally(connection, job.row.scope, self._online(), since=job.row.started, fact_ns=walked_ns)
            self._update(job, tally)
            now = time.monotonic()
            if tally.pending == 0:
                return True
            if now - saved > SAVE_SECONDS:
                self._save(job.row)
                saved = now
            pause_until = now + max(POLL_SECONDS, COUNTING_SHARE * (now - began))
            with self._progress:
                self._progress.notify_all()
                while (left := pause_until - time.monotonic()) > 0 and not job.cancelled.is_set():
                    self._progress.wait(left)
            if job.cancelled.is_set():
                return False

    def _update(self, job: _Running, tally: rows.Tally) -> None:
        """Vanished files count as processed: the total is that of the walk's end and does not shrink."""
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
            job.hashing_since = job.hashing_since or (time.monotonic(), processed)

    def _save(self, row: JobRow) -> None:
        def save(tx: Transaction) -> None:
            rows.save(tx, row)
            tx.tell("job", None, None, detail=f"{row.kind} {row.id} {row.state}")

        self._writer.call(save).result()


def _overlap(one: Scope, other: Scope) -> bool:
    return any(a.startswith(b) or b.startswith(a) for a in one for b in other)
