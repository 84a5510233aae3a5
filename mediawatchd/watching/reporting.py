"""A keeper's way to the writer. Waiting for the writer is not hanging on a disk: the keeper's heartbeat says so."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mediawatchd.catalog.transaction import Transaction
    from mediawatchd.catalog.writer import Writer
    from mediawatchd.model import DirectoryMove, Report
    from mediawatchd.telemetry.heartbeat import Heartbeat

log = logging.getLogger(__name__)

T = TypeVar("T")


class Reporting:
    """Used by one keeper's thread. All methods block while the writer is behind, or its disk is full."""

    def __init__(self, *, writer: Writer, heart: Heartbeat) -> None:
        self._writer = writer
        self._heart = heart

    def beat(self) -> None:
        """The disk still shows one thing after the other."""
        self._heart.beat()

    def reports(self, reports: Sequence[Report]) -> None:
        with self._heart.idle():
            self._writer.reports(reports)

    def moves(self, moves: Sequence[DirectoryMove]) -> None:
        """Returns when the moves are committed: what is in the directories is compared only then.

        Moves that the catalog cannot take are left out: then what is in the directories is found file by file.
        """
        with self._heart.idle():
            try:
                self._writer.moves(moves).result()
            except Exception:
                log.exception("Directories that moved could not be written moves=%.500r", moves)

    def call(self, function: Callable[[Transaction], T]) -> T:
        """Run a function in the writer's next transaction; returns or raises what it does, after the commit."""
        with self._heart.idle():
            return self._writer.call(function).result()
