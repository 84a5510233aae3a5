"""Which videos are waited for to be hashed perceptually, and how far the videos of a job's scope have come.

The functions that take a transaction run on the writer thread, a piece at a time; the others only read. Which rows
are wanted is stored with them, so a job that a crash cut off finds its place, and the feeder reads these rows alone.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from mediawatchd.catalog.jobs import Tally, covers, within
from mediawatchd.catalog.reach import within_reach
from mediawatchd.catalog.rows import file_by_id
from mediawatchd.model import ASKED, PROBE, QUICK_HASH

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence

    from mediawatchd.catalog.transaction import Transaction
    from mediawatchd.model import Away

_VIDEOS = (
    "FROM directories AS d JOIN media_files AS f ON f.directory_id = d.id "
    "LEFT JOIN fingerprints AS g INDEXED BY fingerprints_hashed ON g.file_id = f.id "
    "WHERE NOT d.gone AND f.missing_since IS NULL AND NOT f.hidden AND f.media_type <> 'audio' "
)


def unfinished(
    connection: sqlite3.Connection, scope: Sequence[bytes], phash: int, *, since: float | None
) -> array[int]:
    """The ids of the videos of a scope at which a job has something to do.

    They lack something of `phash`, or had a problem, or were hashed at the Unix time `since` or before, if given.
    """
    where, values = within(scope)
    rows = connection.execute(
        f"SELECT f.id {_VIDEOS} AND ({where}) "
        "AND (f.lacks & ? OR f.problem IS NOT NULL OR (? IS NOT NULL AND coalesce(g.hashed_at, 0) <= ?))",
        (*values, phash, since, since),
    )
    return array("q", (row[0] for row in rows))


def lacking(connection: sqlite3.Connection, phash: int) -> array[int]:
    """The ids of all videos, whatever their state, that lack something of `phash` and have not failed for good."""
    rows = connection.execute(
        "SELECT id FROM media_files WHERE media_type <> 'audio' AND lacks & ? & ~wanted "
        "AND (problem IS NULL OR lacks & problem_lacks)",
        (phash,),
    )
    return array("q", (row[0] for row in rows))


def wanted(connection: sqlite3.Connection) -> array[int]:
    """The ids of all rows that are waited for, in the order in which they are offered. Reads every row."""
    rows = connection.execute("SELECT id FROM media_files WHERE wanted ORDER BY priority, due_ns, id")
    return array("q", (row[0] for row in rows))


def ask(tx: Transaction, file_ids: Sequence[int], *, again: bool) -> None:
    """A person asks: videos are offered for what they lack, and with `again` for what they have too.

    What they had failed at is tried anew, be it the quick hash or the probe that comes first.
    """
    phash = tx.policy.phash
    for file_id in file_ids:
        row = file_by_id(tx.connection, file_id)
        if row is None or row.media_type == "audio":
            continue
        new = row
        if row.problem_lacks is not None:
            new = row.without_problem()._replace(lacks=row.lacks | row.problem_lacks, due_ns=tx.now_ns, attempts=0)
        new = new._replace(wanted=row.wanted | (phash if again else new.lacks & phash))
        if not (row.wanted or new.lacks & (QUICK_HASH | PROBE)):
            new = new._replace(priority=ASKED)
        tx.store(row, new)


def want(tx: Transaction, file_ids: Sequence[int]) -> None:
    """The configuration asks: videos are offered for what they lack, after all else."""
    for file_id in file_ids:
        row = file_by_id(tx.connection, file_id)
        if row is not None:
            priority = row.priority if row.lacks & (QUICK_HASH | PROBE) else ASKED
            tx.store(row, row._replace(wanted=row.wanted | row.lacks & tx.wants(row.media_type), priority=priority))


def let_go(tx: Transaction, file_ids: Sequence[int], *, ended: int | None = None) -> None:
    """Let go of what neither the configuration nor a job wants of these rows any more; `ended` is one that does not."""
    scopes = [
        path
        for (scope,) in tx.connection.execute(
            "SELECT scope FROM jobs WHERE kind = 'phash' AND state IN ('queued', 'running') AND id IS NOT ?", (ended,)
        )
        for path in scope.split(b"\0")[:-1]
    ]
    for file_id in file_ids:
        row = file_by_id(tx.connection, file_id)
        if row is not None:
            asked = tx.policy.phash if covers(scopes, tx.path(row)) else row.lacks & tx.wants(row.media_type)
            tx.store(row, row._replace(wanted=row.wanted & asked))


def tally(
    connection: sqlite3.Connection,
    scope: Sequence[bytes],
    online: frozenset[int],
    away: Collection[Away] = (),
    *,
    since: float,
    fact_ns: int,
) -> Tally:
    """Count the videos of a scope. Reads every row of it.

    Waited for is what is wanted on a disk that is there, has met no problem and is not held, and either has not changed
    since the catalog time `fact_ns`, or only moved: its quick hash is of the Unix time `since` or before. Written is
    what was hashed perceptually after `since`.
    """
    where, values = within(scope)
    row = connection.execute(
        "SELECT count(*), coalesce(sum(waiting), 0), "
        "coalesce(sum(NOT waiting AND problem IS NULL AND coalesce(hashed_at, 0) > ?), 0), "
        "coalesce(sum(NOT waiting AND problem IS NOT NULL), 0), coalesce(sum(iif(waiting, 0, size)), 0) FROM ("
        "SELECT f.size, f.problem, g.hashed_at, "
        "f.wanted <> 0 AND f.problem IS NULL AND NOT f.held "
        "AND (f.fact_ns <= ? OR f.lacks & 1 = 0 AND f.hashed_at <= ?) "
        f"AND {within_reach(online, away)} AS waiting {_VIDEOS} AND ({where}))",
        (since, fact_ns, since, *values),
    ).fetchone()
    return Tally._make(row)
