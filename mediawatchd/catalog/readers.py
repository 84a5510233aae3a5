"""The reading connections: a few, lent to whichever thread asks, for a short time.

A transaction that stays open keeps the WAL from being emptied (seen: 246 MB), so what is borrowed is given back
before anything slow is done with the rows.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mediawatchd.catalog.connection import connect

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

_KEPT = 4
"""Idle connections that are kept; more threads than that at a time open their own, at about 0.3 ms each."""


class Readers:
    """Lends read-only connections. Every method may be called from any thread."""

    def __init__(self, path: bytes) -> None:
        self._path = path
        self._lock = threading.Lock()  # guards the three below
        self._idle: list[sqlite3.Connection] = []
        self._lent: set[sqlite3.Connection] = set()
        self._closed = False

    @contextmanager
    def borrow(self) -> Iterator[sqlite3.Connection]:
        """A connection for the calling thread alone. Raises RuntimeError once the readers are closed."""
        connection = self._take()
        try:
            yield connection
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Close the idle ones and interrupt the others, whose borrowers close them as they give them back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for connection in self._lent:
                connection.interrupt()
        for connection in idle:
            connection.close()

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._closed:
                raise RuntimeError("the catalog is closed")
            connection = self._idle.pop() if self._idle else None
            if connection is not None:
                self._lent.add(connection)
                return connection
        connection = connect(self._path, mode="ro")
        try:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("PRAGMA cache_size = -2048")
            connection.execute("PRAGMA temp_store = MEMORY")
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._lent.add(connection)
        return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.rollback()
        finally:
            with self._lock:
                self._lent.discard(connection)
                kept = not self._closed and not connection.in_transaction and len(self._idle) < _KEPT
                if kept:
                    self._idle.append(connection)
            if not kept:
                connection.close()
