"""What videos look like, as it is stored: perceptual hashes, fingerprints, and the pairs found by these.

What takes a transaction runs on the writer thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediawatchd.model import FINGERPRINT

if TYPE_CHECKING:
    import sqlite3

    from mediawatchd.catalog.transaction import Transaction
    from mediawatchd.model import PerceptuallyHashed


def store(tx: Transaction, outcome: PerceptuallyHashed) -> None:
    """Store a fingerprint that was asked for, to be compared with the others, and that there was an attempt."""
    if outcome.lacks & FINGERPRINT:
        drop(tx, outcome.file_id)
    tx.connection.execute(
        "INSERT INTO fingerprints (file_id, hashed_at, fingerprint) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET hashed_at = excluded.hashed_at",
        (outcome.file_id, tx.time, outcome.fingerprint),
    )


def has_fingerprint(connection: sqlite3.Connection, file_id: int) -> bool:
    row = connection.execute(
        "SELECT fingerprint IS NOT NULL FROM fingerprints WHERE file_id = ?", (file_id,)
    ).fetchone()
    return bool(row and row[0])


def drop(tx: Transaction, file_id: int) -> None:
    """Forget the fingerprint, and what it was like: it belonged to other bytes, or another one takes its place."""
    tx.connection.execute("DELETE FROM fingerprints WHERE file_id = ?", (file_id,))
    tx.connection.execute("DELETE FROM similar_pairs WHERE a_id = ?", (file_id,))
    tx.connection.execute("DELETE FROM similar_pairs WHERE b_id = ?", (file_id,))
