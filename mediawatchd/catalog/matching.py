"""Fingerprints that were not compared yet, those they are compared with, and the pairs that come of it.

`unmatched`, `matched` and `blobs` run on the thread of whoever asks, `store` on the writer's. What has a fingerprint
is compared whether or not its file is missing, hidden or on a root that is away: it may come back at any time, and
lists leave out what is not there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from mediawatchd.catalog.transaction import Transaction


class Pair(NamedTuple):
    """Two videos that are alike, and by what; `a_id` is the lower id. `b_is_part` is meant for what is contained.

    `offset_seconds`: where the first moment of a lies on the clock of b.
    """

    a_id: int
    b_id: int
    verdict: str
    distance: float
    matched_frames: int
    offset_seconds: float
    mirrored: bool
    cropped: bool
    b_is_part: bool


class Matched(NamedTuple):
    """A video that was compared with all others, and what it is like, each with the other's fingerprint.

    The fingerprints are those that were compared: where the catalog has others by now, nothing is stored.
    """

    file_id: int
    fingerprint: bytes
    alike: Sequence[tuple[Pair, bytes]]


_STORE = (
    "INSERT OR REPLACE INTO similar_pairs (a_id, b_id, verdict, distance, matched_frames, offset_seconds, mirrored, "
    "cropped, b_is_part, smaller_bytes) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, min(a.size, b.size) "
    "FROM media_files AS a JOIN media_files AS b WHERE a.id = ? AND b.id = ?"
)


def unmatched(connection: sqlite3.Connection, version: int, limit: int) -> list[tuple[int, bytes]]:
    """Videos that were not compared by this version of the score, with their fingerprints."""
    return connection.execute(
        "SELECT file_id, fingerprint FROM fingerprints INDEXED BY fingerprints_matched "
        "WHERE fingerprint IS NOT NULL AND matched < ? ORDER BY matched, file_id LIMIT ?",
        (version, limit),
    ).fetchall()


def count_unmatched(connection: sqlite3.Connection, version: int, most: int) -> int:
    """How many those are, counted no further than `most`."""
    count: int = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM fingerprints INDEXED BY fingerprints_matched "
        "WHERE fingerprint IS NOT NULL AND matched < ? LIMIT ?)",
        (version, most),
    ).fetchone()[0]
    return count


def matched(connection: sqlite3.Connection, version: int, after: int, limit: int) -> list[tuple[int, bytes]]:
    """Videos that were compared by this version, by rising id from the one behind `after` on."""
    return connection.execute(
        "SELECT file_id, fingerprint FROM fingerprints INDEXED BY fingerprints_matched "
        "WHERE fingerprint IS NOT NULL AND matched = ? AND file_id > ? ORDER BY file_id LIMIT ?",
        (version, after, limit),
    ).fetchall()


def blobs(connection: sqlite3.Connection, ids: Iterable[int]) -> list[tuple[int, bytes]]:
    """The fingerprints of these videos as they are now, without those that have none any more."""
    return connection.execute(
        "SELECT file_id, fingerprint FROM json_each(?) AS wanted CROSS JOIN fingerprints ON file_id = wanted.value "
        "WHERE fingerprint IS NOT NULL",
        (json.dumps(list(ids)),),
    ).fetchall()


def store(tx: Transaction, version: int, found: Iterable[Matched]) -> int:
    """Store what was found by this version of the score; returns how many pairs those are.

    A video whose fingerprint is another one by now stays unmatched. Of a pair whose other video has another one
    nothing is stored: that video is unmatched too, and finds the pair when its turn comes.
    """
    pairs = 0
    for file_id, fingerprint, alike in found:
        if not _has(tx, file_id, fingerprint):
            continue
        # What an earlier version of the score had found.
        tx.connection.execute("DELETE FROM similar_pairs WHERE a_id = ?", (file_id,))
        tx.connection.execute("DELETE FROM similar_pairs WHERE b_id = ?", (file_id,))
        for pair, other in alike:
            if _has(tx, pair.b_id if pair.a_id == file_id else pair.a_id, other):
                tx.connection.execute(_STORE, (*pair, pair.a_id, pair.b_id))
                pairs += 1
        tx.connection.execute("UPDATE fingerprints SET matched = ? WHERE file_id = ?", (version, file_id))
    return pairs


def _has(tx: Transaction, file_id: int, fingerprint: bytes) -> bool:
    return (
        tx.connection.execute(
            "SELECT 1 FROM fingerprints WHERE file_id = ? AND fingerprint = ?", (file_id, fingerprint)
        ).fetchone()
        is not None
    )
