"""Connections to the catalog's file, and what SQLite's errors mean for it.

Used by whichever thread opens a connection. The path may hold any byte, so it goes to SQLite as a quoted
URI, never as text. Nothing here decides what becomes of a damaged file.
"""

from __future__ import annotations

import os
import sqlite3
from typing import Literal
from urllib.parse import quote

_BUSY_SECONDS = 5.0
"""How long a statement waits for another program that has the database locked."""

_PRIMARY = 0xFF
"""The part of SQLite's extended error codes that names the error."""


def connect(path: bytes, *, mode: Literal["rw", "ro"], immutable: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode, to be used by one thread at a time.

    The file must exist. `immutable` promises that nobody writes, and reads the file alone: no lock, no WAL,
    no file made beside it.
    """
    address = f"file://{quote(path)}?mode={mode}{'&immutable=1' if immutable else ''}"
    return sqlite3.connect(
        address,
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )


def is_corrupt(error: BaseException) -> bool:
    """Whether SQLite says that the file is damaged, or is no database."""
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    return isinstance(error, sqlite3.DatabaseError) and code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another program held the database for longer than a statement waits."""
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_full(error: sqlite3.Error) -> bool:
    """Whether there was no space left for what was to be written."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY == sqlite3.SQLITE_FULL


def file_size(path: bytes) -> int:
    """Bytes; 0 when there is no such file."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def checkpoint(connection: sqlite3.Connection) -> bool:
    """Bring the WAL into the database file, synced to disk, and empty it; for the writing connection.

    Never waits for a reader: what a reader's snapshot still needs stays for the next time, and the answer is False.
    """
    # Without a time-out TRUNCATE does what PASSIVE does when it meets a reader; with one it would stall the writer.
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {round(_BUSY_SECONDS * 1000)}")
    return not busy
