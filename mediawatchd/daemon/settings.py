"""What the configuration means to the parts, in their words and units."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediawatchd.catalog.transaction import Policy
from mediawatchd.model import FINGERPRINT, PHASH, SECOND
from mediawatchd.watching.timetable import Pace

if TYPE_CHECKING:
    from mediawatchd.config import Config


def policy(config: Config) -> Policy:
    """What the writer decides by."""
    return Policy(
        settle_ns=round(config.watch.settle_seconds * SECOND),
        hold_share=config.missing.hold_share,
        hold_files=config.missing.hold_files,
        keep_ns=round(config.missing.keep_days * 86_400 * SECOND),
        phash=PHASH if config.hashing.video_phash else FINGERPRINT,
        phash_all=config.hashing.phash,
    )


def pace(config: Config) -> Pace:
    """How often the keepers look."""
    return Pace(
        interval_seconds=config.reconcile.interval_hours * 3600,
        network_interval_seconds=config.reconcile.network_interval_minutes * 60,
        settle_seconds=config.watch.settle_seconds,
    )


def watching(config: Config) -> tuple[object, ...]:
    """All that the keepers are built from."""
    return config.scan_dirs, config.file_extensions, config.ignore, config.watch, config.reconcile
