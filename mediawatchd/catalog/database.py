"""The catalog's file: opened, locked, brought up to date, replaced when damaged, closed.

Opened and closed by the thread that builds the daemon; between the two the writing connection belongs to the writer
thread, and readers to whoever borrows them. It never deletes a database: one that is damaged is moved aside, one
that is newer or somebody else's is refused untouched.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, unquote_to_bytes

from mediawatchd.catalog import legacy, schema
from mediawatchd.catalog.clock import CatalogClock
from mediawatchd.catalog.connection import checkpoint, connect, file_size, is_busy, is_corrupt, is_full
from mediawatchd.catalog.legacy_layout import is_legacy
from mediawatchd.catalog.lock import LockFile
from mediawatchd.catalog.readers import Readers
from mediawatchd.catalog.salvage import salvage
from mediawatchd.errors import CatalogLocked, CatalogTooNew, CatalogUnreadable
from mediawatchd.paths import printable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

_log = logging.getLogger(__name__)

_FOLDER_MODE = 0o750
_FILE_MODE = 0o640
"""Of a file that is made here, whatever the umask; SQLite gives the WAL the mode of the database."""

SQLITE_VERSION = sqlite3.sqlite_version
_Kind = Literal["new", "legacy", "catalog"]


class _Damaged(sqlite3.DatabaseError):
    """A check has found what SQLite itself would meet sooner or later."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


class Database:
    """One catalog. `notices` says in sentences what was done to it at `open`, for `status` and the log."""

    clock: CatalogClock

    def __init__(self, path: bytes | Path) -> None:
        self._path = os.fsencode(path)
        self.notices: list[str] = []
        self._suspect = False
        self._salvage_from: bytes | None = None
        self._writer: sqlite3.Connection | None = None

    def open(self) -> None:
        """Lock, then check, create, upgrade or replace as need be; may take seconds.

        Raises CatalogLocked, CatalogTooNew or CatalogUnreadable; nothing is left open then.
        """
        # Through a symbolic link to it, another daemon would take another lock.
        self._path = os.path.realpath(self._path)
        self._make_folder()
        self._lock = LockFile(self._path + b".lock")
        self._lock.take()
        try:
            self._writer = self._open(self._lock.notes)
            self.clock = CatalogClock.load(self._writer)
        except BaseException:
            self._close_writer()
            self._lock.release(**self._lock.notes)
            raise
        self._lock.note()
        self._readers = Readers(self._path)
        for notice in self.notices:
            _log.warning("the catalog was changed at the start: %s", notice)

    def close(self) -> None:
        """Close everything; what readers still have is interrupted. The writer thread has ended before."""
        if self._writer is None:
            return
        self._readers.close()
        with suppress(sqlite3.Error):
            checkpoint(self._writer)
        self._close_writer()
        self._lock.release(**({"suspect": "yes"} if self._suspect else self._seal()))

    def writer(self) -> sqlite3.Connection:
        """The one connection that writes, in autocommit mode; for the writer thread alone."""
        assert self._writer is not None, "the catalog is not open"
        return self._writer

    def reader(self) -> AbstractContextManager[sqlite3.Connection]:
        """Lends a read-only connection to the calling thread; for short use."""
        return self._readers.borrow()

    def checkpoint(self, connection: sqlite3.Connection) -> bool:
        """Empty the WAL into the database, synced; for the thread and connection that write.

        False when a reader still needs part of it, which then stays. Does not wait for readers.
        """
        return checkpoint(connection)

    def suspect(self) -> None:
        """SQLite has met damage while at work: the next `open` looks at every page."""
        self._suspect = True

    def sizes(self) -> dict[str, int]:
        """Bytes on disk of the database, the WAL and its index: keys db, wal, shm."""
        return {
            "db": file_size(self._path),
            "wal": file_size(self._path + b"-wal"),
            "shm": file_size(self._path + b"-shm"),
        }

    def _make_folder(self) -> None:
        folder = os.path.dirname(self._path)
        name = printable(folder)
        try:
            if not os.path.isdir(folder):
                os.makedirs(folder, _FOLDER_MODE, exist_ok=True)
                os.chmod(folder, _FOLDER_MODE)
        except OSError as exc:
            raise CatalogUnreadable(f"The catalog's folder {name} cannot be made: {exc.strerror}.") from exc
        # SQLite could open the database all the same, and fail at its first write.
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            raise CatalogUnreadable(f"The catalog's folder {name} cannot be written.")

    def _open(self, notes: dict[str, str]) -> sqlite3.Connection:
        if "salvage" in notes:
            # The last start was cut off between moving a damaged catalog aside and reading it.
            self._salvage_from = unquote_to_bytes(notes["salvage"])
        try:
            try:
                return self._connect(notes)
            except sqlite3.DatabaseError as exc:
                if not is_corrupt(exc):
                    raise
                self._move_aside(exc)
            return self._connect({})
        except (sqlite3.Error, OSError) as exc:
            raise self._refusal(exc) from exc

    def _connect(self, notes: dict[str, str]) -> sqlite3.Connection:
        kind = self._examine(notes)
        if kind == "new":
            _create(self._path)
        connection = connect(self._path, mode="rw")
        try:
            connection.execute("PRAGMA cache_size = -65536")  # for as long as it has much to write
            self._bring_up_to_date(connection, kind, notes)
            _configure(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _examine(self, notes: dict[str, str]) -> _Kind:
        """What is there, and whether it is sound, found out without changing a byte of it.

        Raises sqlite3.DatabaseError for one that is damaged.
        """
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return "new"
        name = printable(self._path)
        if not stat.S_ISREG(status.st_mode):
            raise CatalogUnreadable(f"The catalog {name} is not a regular file.")
        if not os.access(self._path, os.R_OK | os.W_OK, effective_ids=True):
            raise CatalogUnreadable(f"The catalog {name} cannot be written.")
        if status.st_size == 0:
            return "new"
        # With a WAL or a journal the file alone is not the whole database.
        wal, journal = file_size(self._path + b"-wal") > 0, file_size(self._path + b"-journal") > 0
        connection = connect(self._path, mode="rw" if journal else "ro", immutable=not (wal or journal))
        try:
            # These two are read from the header: a newer version's tables may be beyond this SQLite.
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if application == schema.APPLICATION_ID:
                if version > schema.latest():
                    raise CatalogTooNew(
                        f"The catalog {name} is of version {version}; this program knows up to {schema.latest()}."
                    )
                if "closed" not in notes or notes["closed"] != self._seal().get("closed"):
                    # After a kill or a power cut a look at the structure is enough. A file that somebody else has
                    # changed, or in which damage was met, has its indexes compared with its tables too.
                    thorough = "closed" in notes or "suspect" in notes
                    self._check(connection, "integrity_check" if thorough else "quick_check")
                return "catalog"
            if is_legacy(connection):
                # It may break the rules of its own tables without being damaged.
                self._check(connection, "quick_check", tolerated=("ok", "NULL value in"))
                return "legacy"
            if connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
                return "new"
        except UnicodeDecodeError as exc:
            # An error of SQLite's quotes a name that the damage hit, and Python cannot decode the message.
            raise _Damaged("a name in it is not text") from exc
        finally:
            connection.close()
        raise CatalogUnreadable(
            f"The database {name} is not a catalog.", hint="Name another db_path; the file was not touched."
        )

    def _check(self, connection: sqlite3.Connection, pragma: str, tolerated: tuple[str, ...] = ("ok",)) -> None:
        """Read every page. Not done to a file that is the one that was closed in order."""
        with open(self._path, "rb", buffering=0) as file:
            # The check goes from page to page in the order of keys, which is slow on a disk that turns.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
        connection.execute("PRAGMA ignore_check_constraints = ON")
        # A finding names tables and indexes, and the damage may have hit those names.
        connection.text_factory = lambda text: text.decode(errors="backslashreplace")
        for (finding,) in connection.execute(f"PRAGMA {pragma}(1000000)"):
            if not finding.startswith(tolerated):
                raise _Damaged(finding.splitlines()[-1])

    def _bring_up_to_date(self, connection: sqlite3.Connection, kind: _Kind, notes: dict[str, str]) -> None:
        now = int(time.time())
        if kind == "new":
            if notes and self._salvage_from is None:
                self.notices.append("The catalog that had been here is gone; a new one is being built from disk.")
            with schema.transaction(connection):
                for version in range(1, schema.latest() + 1):
                    schema.apply(connection, version)
                if self._salvage_from is not None:
                    rows = salvage(self._salvage_from, connection, now=now)
                    self.notices.append(
                        f"{rows} perceptual hashes were salvaged from {printable(self._salvage_from)}; "
                        "each counts when its file was read again."
                    )
        elif kind == "legacy":
            self.notices += legacy.upgrade(connection, now=now)
        # Only now: an upgrade that is cut off must leave the file as the old program wrote it.
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise CatalogUnreadable(f"The catalog {printable(self._path)} is where SQLite cannot keep a WAL.")
        for version in schema.upgrade(connection):
            _log.info("the catalog's schema was brought up to date: version=%d", version)
        # A version that is only in the WAL would be missed by whoever reads the header.
        checkpoint(connection)

    def _move_aside(self, error: sqlite3.DatabaseError) -> None:
        stem = self._path + datetime.now(UTC).strftime(".corrupt-%Y-%m-%dT%H%M%SZ").encode()
        aside, number = stem, 1
        while os.path.lexists(aside):
            number += 1
            aside = stem + b"-%d" % number
        # Noted before it is done: a kill from here on leaves no catalog, or an empty one, and the next start salvages.
        self._lock.note(salvage=quote(aside))
        self._salvage_from = aside
        # The database first: without it the others do nothing.
        os.rename(self._path, aside)
        for suffix in (b"-journal", b"-wal", b"-shm"):
            with suppress(FileNotFoundError):
                os.rename(self._path + suffix, aside + suffix)
        self.notices.append(
            f"The catalog was damaged ({error}); it was moved to {printable(aside)} and is being rebuilt from disk."
        )

    def _refusal(self, error: sqlite3.Error | OSError) -> CatalogUnreadable | CatalogLocked:
        name = printable(self._path)
        if isinstance(error, sqlite3.Error) and is_busy(error):
            return CatalogLocked(
                f"The catalog {name} is locked by another program.",
                hint="Close the program that has the database open.",
            )
        if isinstance(error, sqlite3.Error) and is_full(error):
            return CatalogUnreadable(
                f"There is no space left for the catalog {name}.", hint="Free some space on its disk."
            )
        return CatalogUnreadable(f"The catalog {name} cannot be opened: {error}.")

    def _seal(self) -> dict[str, str]:
        """Which file it was that was closed in order; nothing when the WAL could not be emptied."""
        if file_size(self._path + b"-wal") or file_size(self._path + b"-journal"):
            return {}
        status = os.stat(self._path)
        return {"closed": f"{status.st_size} {status.st_mtime_ns}"}

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _create(path: bytes) -> None:
    """An empty file, which SQLite takes for an empty database; a WAL that has lost its database it removes."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _FILE_MODE)
    except FileExistsError:
        return
    try:
        os.fchmod(descriptor, _FILE_MODE)
    finally:
        os.close(descriptor)


def _configure(connection: sqlite3.Connection) -> None:
    for pragma in (
        "synchronous = NORMAL",
        "foreign_keys = ON",
        "wal_autocheckpoint = 10000",
        "cache_size = -16384",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")
