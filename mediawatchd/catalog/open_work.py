"""What of the state at a moment is still open: for `sync`. Read only.

All of it is asked of the rows, by the catalog time of the last fact that changed each: what changed again after the
moment is younger, and is not waited for. Nor is what could not be read and waits to be tried again, or is held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog.offers import to_be_tried
from mediawatchd.catalog.reach import within_reach
from mediawatchd.model import PROBE, QUICK_HASH

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection

    from mediawatchd.model import Away

NAMED = 1_000


class OpenWork(NamedTuple):
    """Whether something waits for its hash or probe, and whether an absence waits to be believed."""

    pending: bool
    absences: bool

    def __bool__(self) -> bool:
        return self.pending or self.absences


def open_work(
    connection: sqlite3.Connection, online: frozenset[int], until_ns: int, away: Collection[Away] = ()
) -> OpenWork:
    """What was open at the catalog time `until_ns` on the disks that are there, and still is."""
    there = within_reach(online, away)
    pending = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM media_files AS f JOIN directories AS d ON d.id = f.directory_id "
        "WHERE f.lacks & 1 = 1 AND f.missing_since IS NULL AND NOT f.hidden AND NOT f.held "
        f"AND {to_be_tried(QUICK_HASH)} AND f.fact_ns <= ? AND {there}) "
        "OR EXISTS (SELECT 1 FROM media_files AS f JOIN directories AS d ON d.id = f.directory_id "
        "WHERE f.lacks & 3 = 2 AND f.missing_since IS NULL AND NOT f.hidden AND NOT f.held "
        f"AND {to_be_tried(PROBE)} AND f.fact_ns <= ? AND {there})",
        (until_ns, until_ns),
    ).fetchone()[0]
    absences = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM media_files AS f JOIN directories AS d ON d.id = f.directory_id "
        "WHERE f.absent_ns <= ? AND f.absent_ns IS NOT NULL AND f.missing_since IS NULL AND NOT f.held "
        f"AND NOT f.hidden AND {there}) "
        "OR EXISTS (SELECT 1 FROM directories AS d WHERE absent_ns <= ? AND absent_ns IS NOT NULL AND NOT gone "
        f"AND {there})",
        (until_ns, until_ns),
    ).fetchone()[0]
    return OpenWork(bool(pending), bool(absences))


def unsettled(
    connection: sqlite3.Connection, online: frozenset[int], since_ns: int, away: Collection[Away] = ()
) -> list[bytes]:
    """Paths that changed again after a moment, and wait for their hash; at most NAMED."""
    rows = connection.execute(
        "SELECT CAST(d.path || f.name AS BLOB) FROM media_files AS f JOIN directories AS d ON d.id = f.directory_id "
        "WHERE f.lacks & 1 = 1 AND f.missing_since IS NULL AND NOT f.hidden AND NOT f.held "
        "AND f.attempts > 0 AND coalesce(f.problem_lacks, 0) & 1 = 0 AND f.fact_ns > ? "
        f"AND {within_reach(online, away)} LIMIT ?",
        (since_ns, NAMED),
    )
    return [row[0] for row in rows.fetchall()]
