"""Rows of `jobs`, and how far the rows in a job's scope have come.

A scope is a tuple of paths: directories, which end with a slash, and files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog.directories import below, parent_path
from mediawatchd.catalog.offers import to_be_tried
from mediawatchd.catalog.reach import within_reach
from mediawatchd.model import QUICK_HASH

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence

    from mediawatchd.catalog.transaction import Transaction
    from mediawatchd.model import Away, JobKind, JobState

Scope = tuple[bytes, ...]
KEPT_JOBS = 1_000


class JobRow(NamedTuple):
    """A job as it is stored; times are Unix seconds."""

    id: int
    kind: JobKind
    state: JobState
    scope: Scope
    force: bool
    total: int | None
    processed: int
    written: int
    skipped: int
    failed: int
    bytes_done: int
    started: float
    finished: float | None
    error: str | None


class Tally(NamedTuple):
    """The present files of a scope: all, those still waited for, those hashed since a time, those with a problem."""

    total: int
    pending: int
    written: int
    failed: int
    bytes_done: int


_COLUMNS = ", ".join(JobRow._fields)


def create(tx: Transaction, kind: JobKind, scope: Scope, *, force: bool = False) -> JobRow:
    """A new job, queued; the oldest finished ones are forgotten."""
    row_id = tx.connection.execute(
        "INSERT INTO jobs (kind, state, scope, force, started) VALUES (?, 'queued', ?, ?, ?)",
        (kind, b"".join(path + b"\0" for path in scope), force, tx.time),
    ).lastrowid
    assert row_id is not None
    tx.connection.execute(
        "DELETE FROM jobs WHERE id <= ? AND state IN ('done', 'failed', 'cancelled')", (row_id - KEPT_JOBS,)
    )
    return JobRow(row_id, kind, "queued", scope, force, None, 0, 0, 0, 0, 0, tx.time, None, None)


def save(tx: Transaction, job: JobRow) -> None:
    values = job._asdict()
    for fixed in ("id", "kind", "scope", "force", "started"):
        del values[fixed]
    tx.connection.execute(
        f"UPDATE jobs SET {', '.join(f'{column} = ?' for column in values)} WHERE id = ?", (*values.values(), job.id)
    )


def newest(connection: sqlite3.Connection, limit: int) -> list[JobRow]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM jobs ORDER BY id DESC LIMIT ?", (limit,))
    return [_job(row) for row in rows.fetchall()]


def unfinished(connection: sqlite3.Connection) -> list[JobRow]:
    """Jobs that an earlier run left, oldest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM jobs WHERE state IN ('queued', 'running', 'stopping') ORDER BY id"
    )
    return [_job(row) for row in rows.fetchall()]


def job(connection: sqlite3.Connection, job_id: int) -> JobRow | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return _job(row) if row else None


def tally(
    connection: sqlite3.Connection,
    scope: Sequence[bytes],
    online: frozenset[int],
    away: Collection[Away] = (),
    *,
    since: float,
    fact_ns: int,
) -> Tally:
    """Count the files of a scope. Reads every row of it.

    Waited for is what lacks its quick hash on a disk that is there, is to be tried, is not held, and has not changed
    since the catalog time `fact_ns`. Written is what was hashed since the Unix time `since`.
    """
    where, values = within(scope)
    row = connection.execute(
        "SELECT count(*), coalesce(sum(waiting), 0), coalesce(sum(NOT waiting AND hashed_at >= ?), 0), "
        "coalesce(sum(NOT waiting AND problem_lacks = 1), 0), coalesce(sum(iif(waiting, 0, size)), 0) FROM ("
        "SELECT f.size, f.hashed_at, coalesce(f.problem_lacks, 0) AS problem_lacks, "
        f"f.lacks & 1 = 1 AND {to_be_tried(QUICK_HASH)} AND NOT f.held AND f.fact_ns <= ? "
        f"AND {within_reach(online, away)} AS waiting "
        "FROM directories AS d JOIN media_files AS f ON f.directory_id = d.id "
        f"WHERE NOT d.gone AND f.missing_since IS NULL AND NOT f.hidden AND ({where}))",
        (int(since), fact_ns, *values),
    ).fetchone()
    return Tally._make(row)


def problems(connection: sqlite3.Connection, scope: Sequence[bytes]) -> list[int]:
    """The ids of the present files of a scope that could not be hashed or probed."""
    where, values = within(scope)
    rows = connection.execute(
        "SELECT f.id FROM media_files AS f JOIN directories AS d ON d.id = f.directory_id "
        f"WHERE f.problem IS NOT NULL AND f.problem_lacks & 3 AND f.missing_since IS NULL AND ({where})",
        values,
    )
    return [row[0] for row in rows.fetchall()]


def covers(scope: Sequence[bytes], path: bytes) -> bool:
    """Whether a path, which ends with a slash if it is a directory, is in a scope."""
    return any(path == each or (each.endswith(b"/") and path.startswith(each)) for each in scope)


def within(scope: Sequence[bytes]) -> tuple[str, list[bytes]]:
    """SQL for "in the scope", on a directory `d` and a file `f`."""
    terms: list[str] = []
    values: list[bytes] = []
    for path in scope:
        if path.endswith(b"/"):
            terms.append("d.path >= ? AND d.path < ?")
            values += below(path)
        else:
            terms.append("d.path = ? AND f.name = ?")
            directory = parent_path(path)
            values += (directory, path[len(directory) :])
    return " OR ".join(f"({term})" for term in terms), values


def _job(row: tuple[object, ...]) -> JobRow:
    found = JobRow._make(row)
    blob: object = found.scope
    assert isinstance(blob, bytes)
    return found._replace(scope=tuple(blob.split(b"\0")[:-1]), force=bool(found.force))
