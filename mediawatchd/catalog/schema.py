"""The schema's versions: numbered files, each applied with its record in one transaction.

Runs in the thread that opens the database. The record is `user_version`, which SQLite writes in the same
transaction as the tables; `application_id` says whose tables they are.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

APPLICATION_ID = int.from_bytes(b"mwdc", "big")


@cache
def scripts() -> tuple[str, ...]:
    """The migrations in order; the first makes version 1."""
    folder = resources.files("mediawatchd.catalog.migrations")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    for number, file in enumerate(files, 1):
        assert int(file.name.partition("_")[0]) == number, f"a migration is missing before {file.name}"
    return tuple(file.read_text(encoding="utf-8") for file in files)


def latest() -> int:
    return len(scripts())


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; takes the write lock at once."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Some errors (disk full, I/O) have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def apply(connection: sqlite3.Connection, version: int) -> None:
    """Bring the schema from the version before to `version`, inside the caller's transaction."""
    for statement in _statements(scripts()[version - 1]):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")


def upgrade(connection: sqlite3.Connection) -> list[int]:
    """Apply what is newer than the database, each version in a transaction of its own; returns those versions."""
    (present,) = connection.execute("PRAGMA user_version").fetchone()
    versions = list(range(present + 1, latest() + 1))
    for version in versions:
        with transaction(connection):
            apply(connection, version)
    return versions


def _statements(script: str) -> Iterator[str]:
    """`executescript` would commit what is open, so the statements are executed one by one."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
