"""What videos look like, as it is stored: perceptual hashes, fingerprints, and the pairs found by these.

Used by the writer thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediawatchd.model import FINGERPRINT

if TYPE_CHECKING:
    from mediawatchd.catalog.transaction import Transaction
    from mediawatchd.model import PerceptuallyHashed


def store(tx: Transaction, outcome: PerceptuallyHashed) -> None:
    """Store a fingerprint that was asked for, to be compared with the others, and that there was an attempt."""
    if outcome.lacks & FINGERPRINT:
        drop(tx, outcome.file_id)
    tx.connection.execute(
        "INSERT INTO fingerprints (file_id, hashed_at, fingerprint) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET hashed_at = excluded.hashed_at",
        (outcome.file_id, int(tx.time), outcome.fingerprint),
    )


def drop(tx: Transaction, file_id: int) -> None:
    """Forget the fingerprint, and what it was like: it belonged to other bytes, or another one takes its place."""
    tx.connection.execute("DELETE FROM fingerprints WHERE file_id = ?", (file_id,))
    tx.connection.execute("DELETE FROM similar_pairs WHERE a_id = ?", (file_id,))
    tx.connection.execute("DELETE FROM similar_pairs WHERE b_id = ?", (file_id,))
