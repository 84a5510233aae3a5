"""Rows as tests look at them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediawatchd.model import FINGERPRINT, PERCEPTUAL_HASH, PROBE, QUICK_HASH

if TYPE_CHECKING:
    from mediawatchd.catalog.transaction import Transaction


EVERYTHING = QUICK_HASH | PROBE | PERCEPTUAL_HASH | FINGERPRINT

PROBED = "SELECT count(*) FROM video_metadata"


def told(tx: Transaction) -> list[tuple[str, bytes | None]]:
    return [(event.event, event.path) for event in tx.events]
