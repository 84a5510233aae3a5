"""How the daemon is, in sentences: for `status`, for systemd, and for whoever asks whether it lives.

Any thread may ask; nothing here waits for a disk of a root.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mediawatchd.control.headline import headline
from mediawatchd.paths import printable, unslashed
from mediawatchd.watching.status import away_text
from mediawatchd.watching.unreadable import unreadable_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from mediawatchd.catalog.database import Database
    from mediawatchd.catalog.writer import Writer
    from mediawatchd.telemetry.heartbeat import Heartbeats
    from mediawatchd.watching.observers import Observers
    from mediawatchd.watching.roots import Roots

STUCK_SECONDS = 40.0
"""A thread that has been silent for so long is stuck: longer than any batch takes to commit."""


class Condition:
    """`observers` are others after a reload."""

    def __init__(
        self,
        *,
        database: Database,
        writer: Writer,
        roots: Roots,
        observers: Callable[[], Observers],
        heartbeats: Heartbeats,
    ) -> None:
        self._database = database
        self._writer = writer
        self._roots = roots
        self._observers = observers
        self._heartbeats = heartbeats

    def troubles(self) -> list[str]:
        """Why the daemon is degraded, as sentences; empty when it is not."""
        troubles = []
        writer = self._writer.statistics()
        if writer.trouble is not None:
            troubles.append(writer.trouble)
        watcher = self._observers().statistics()
        if watcher.degraded is not None:
            troubles.append(watcher.degraded)
        roots = [(printable(unslashed(status.path)), status) for status in self._roots.statuses()]
        troubles += [
            f"{name}: {status.message or status.watch}"
            for name, status in roots
            if status.state in {"error", "replaced"}
            # Polling because somebody chose it says nothing; for want of anything better it says why.
            or (status.state == "online" and (status.watch == "degraded" or status.message is not None))
        ]
        troubles += [f"{name}: {unreadable_text(status.unreadable)}" for name, status in roots if status.unreadable]
        troubles += [f"{name}: {away_text(place)}" for name, status in roots for place in status.away]
        return troubles + self.stuck_threads()

    def stuck_threads(self) -> list[str]:
        return [
            f"the thread {pulse.name} has been at one file for {pulse.silent_seconds:.0f} s"
            for pulse in self._heartbeats.stuck(time.monotonic(), STUCK_SECONDS)
        ]

    def headline(self, state: str) -> str:
        """One line for systemd to show."""
        try:
            with self._database.reader() as connection:
                totals = self._roots.totals(connection)
            return headline(state, self._roots.statuses(), totals, self.troubles())
        except Exception as error:  # noqa: BLE001 - a line of text is no reason to end
            return f"{state}; the catalog cannot be read: {error}"
