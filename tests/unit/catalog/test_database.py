from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
import threading
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog import schema
from mediawatchd.catalog.connection import is_corrupt
from mediawatchd.catalog.database import Database
from mediawatchd.errors import CatalogLocked, CatalogTooNew, CatalogUnreadable
from tests import legacy_catalog
from tests.legacy_catalog import file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> bytes:
    return bytes(tmp_path / "state" / "catalog.db")


@contextmanager
def opened(path: bytes) -> Iterator[Database]:
    database = Database(path)
    database.open()
    try:
        yield database
    finally:
        database.close()


def put(database: Database, key: str, value: object) -> None:
    database.writer().execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, value))


def get(database: Database, key: str) -> object:
    with database.reader() as reader:
        return reader.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()[0]


def snapshot(path: bytes) -> tuple[bytes, int, int]:
    with open(path, "rb") as source:
        content = source.read()
    status = os.stat(path)
    return content, status.st_mtime_ns, status.st_ino


def test_what_was_committed_is_there_at_the_next_start(path: bytes) -> None:
    with opened(path) as database:
        put(database, "key", b"\0value")
    with opened(path) as database:
        assert get(database, "key") == b"\0value"
        assert database.notices == []


def test_the_settings_that_the_promises_rest_on(path: bytes) -> None:
    with opened(path) as database:
        writer = database.writer()
        for pragma, value in (
            ("journal_mode", "wal"),
            ("synchronous", 1),
            ("foreign_keys", 1),
            ("wal_autocheckpoint", 10000),
            ("application_id", schema.APPLICATION_ID),
            ("user_version", schema.latest()),
        ):
            assert writer.execute(f"PRAGMA {pragma}").fetchone()[0] == value, pragma
        assert writer.isolation_level is None


def test_files_are_for_owner_and_group_whatever_the_umask(path: bytes) -> None:
    before = os.umask(0)
    try:
        with opened(path) as database:
            put(database, "key", 1)
            for suffix in (b"", b"-wal", b"-shm", b".lock"):
                assert stat.S_IMODE(os.stat(path + suffix).st_mode) == 0o640, suffix
        assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o750
    finally:
        os.umask(before)


def test_a_mode_that_a_person_gave_stays(path: bytes) -> None:
    with opened(path):
        os.chmod(path, 0o644)
    with opened(path):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o644


@pytest.mark.parametrize(
    "name", [b"a?b", b"a%20b", b"a#b", b"caf\xe9", b"a b&mode=rwc", "音楽".encode(), b"line\nbreak"]
)
def test_names_that_mean_something_in_an_address(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(bytes(tmp_path), name, name + b".db")
    with opened(path) as database:
        put(database, "key", 1)
        assert get(database, "key") == 1
        assert database.sizes()["wal"] > 0
    assert os.listdir(tmp_path) == [os.fsdecode(name)]
    assert sorted(os.listdir(os.path.dirname(path))) == [name + b".db", name + b".db.lock"]


def test_sizes(path: bytes) -> None:
    with opened(path) as database:
        assert database.sizes()["wal"] == 0
        put(database, "key", 1)
        assert database.sizes() == {
            "db": os.stat(path).st_size,
            "wal": os.stat(path + b"-wal").st_size,
            "shm": os.stat(path + b"-shm").st_size,
        }
        assert database.sizes()["wal"] > 0
    assert database.sizes()["wal"] == 0


def test_the_clock_goes_on_from_what_the_writer_stored(path: bytes) -> None:
    with opened(path) as database:
        assert database.clock.now_ns() < 10**15
        put(database, "clock_ns", 10**15)
    with opened(path) as database:
        assert database.clock.now_ns() > 10**15


class TestLock:
    def test_a_second_one_is_told_who_has_it(self, path: bytes) -> None:
        with opened(path) as database:
            put(database, "key", 1)
            with pytest.raises(CatalogLocked, match=f"process {os.getpid()} since 20"):
                Database(path).open()
            assert get(database, "key") == 1
        with opened(path):
            pass

    def test_a_link_to_the_catalog_is_the_same_catalog(self, path: bytes, tmp_path: Path) -> None:
        with opened(path):
            os.symlink(path, tmp_path / "other.db")
            with pytest.raises(CatalogLocked):
                Database(tmp_path / "other.db").open()

    @pytest.mark.parametrize("content", [b"", b"pid 1\nstarted 2024\n", b"\xff\x00garbage\n\n", b"closed 1 2\n" * 1000])
    def test_what_a_killed_daemon_left_locks_nobody_out(self, path: bytes, content: bytes) -> None:
        os.mkdir(os.path.dirname(path))
        with open(path + b".lock", "wb") as lock:
            lock.write(content)
        with opened(path) as database:
            put(database, "key", 1)

    def test_nothing_is_touched_before_the_lock_is_had(self, path: bytes) -> None:
        with opened(path):
            pass
        before = snapshot(path)
        with open(path + b".lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(CatalogLocked):
                Database(path).open()
            assert snapshot(path) == before

    def test_a_failed_start_lets_go_of_it(self, path: bytes) -> None:
        os.makedirs(path)
        with pytest.raises(CatalogUnreadable):
            Database(path).open()
        os.rmdir(path)
        with opened(path):
            pass


class TestReaders:
    def test_cannot_write(self, path: bytes) -> None:
        with opened(path) as database, database.reader() as reader:
            for statement in ("DELETE FROM state", "CREATE TABLE t (x)", "PRAGMA user_version = 9"):
                with pytest.raises(sqlite3.OperationalError, match="readonly"):
                    reader.execute(statement)

    def test_a_connection_is_lent_to_one_at_a_time_and_used_again(self, path: bytes) -> None:
        with opened(path) as database:
            with database.reader() as one, database.reader() as other:
                assert one is not other
            with database.reader() as again:
                assert again in (one, other)

    def test_a_transaction_left_open_ends(self, path: bytes) -> None:
        with opened(path) as database:
            put(database, "key", 1)
            with database.reader() as reader:
                reader.execute("BEGIN")
                reader.execute("SELECT * FROM state").fetchall()
            put(database, "key", 2)
            with database.reader() as again:
                assert again is reader
                assert again.execute("SELECT value FROM state WHERE key = 'key'").fetchone() == (2,)
            assert database.checkpoint(database.writer())

    def test_many_threads(self, path: bytes) -> None:
        failures: list[BaseException] = []
        with opened(path) as database:
            put(database, "key", 7)
            together = threading.Barrier(12)

            def read() -> None:
                try:
                    together.wait(10)
                    for _ in range(50):
                        assert get(database, "key") == 7
                except BaseException as exc:  # noqa: BLE001 - told by the main thread
                    failures.append(exc)

            threads = [threading.Thread(target=read) for _ in range(12)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            # SQLite keeps the descriptors of closed connections for the next ones: as many as there were at a time.
            descriptors = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_open(fd)]
            assert descriptors.count(os.fsdecode(path)) <= 13
        assert failures == []

    def test_closing_ends_what_still_reads(self, path: bytes) -> None:
        database = Database(path)
        database.open()
        reading, ended = threading.Event(), []

        def read() -> None:
            with suppress(sqlite3.OperationalError), database.reader() as reader:
                rows = reader.execute(
                    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
                )
                for _ in rows:
                    reading.set()
            ended.append(True)

        thread = threading.Thread(target=read)
        thread.start()
        assert reading.wait(10)
        database.close()
        thread.join(30)
        assert ended == [True]
        with pytest.raises(RuntimeError), database.reader():
            pass
        database.close()


class TestCheckpoint:
    def test_empties_the_wal(self, path: bytes) -> None:
        with opened(path) as database:
            put(database, "key", 1)
            assert database.checkpoint(database.writer())
            assert database.sizes()["wal"] == 0

    def test_does_not_wait_for_a_reader(self, path: bytes) -> None:
        with opened(path) as database:
            put(database, "key", 1)
            with database.reader() as reader:
                reader.execute("BEGIN")
                reader.execute("SELECT * FROM state").fetchall()
                put(database, "key", 2)
                assert not database.checkpoint(database.writer())
            assert database.checkpoint(database.writer())
            # The time-out for other programs holds again.
            assert database.writer().execute("PRAGMA busy_timeout").fetchone()[0] == 5000


class TestNewer:
    def make(self, path: bytes) -> None:
        with opened(path) as database:
            put(database, "key", 1)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA user_version = {schema.latest() + 1}")

    def test_is_refused_and_left_as_it_was(self, path: bytes) -> None:
        self.make(path)
        before = snapshot(path)
        with pytest.raises(CatalogTooNew, match=f"version {schema.latest() + 1}") as refusal:
            Database(path).open()
        assert refusal.value.exit_status == 78
        assert snapshot(path) == before
        assert sorted(os.listdir(os.path.dirname(path))) == [b"catalog.db", b"catalog.db.lock"]

    def test_is_recognised_when_only_its_wal_says_so(self, path: bytes, tmp_path: Path) -> None:
        with opened(path) as database:
            put(database, "key", 1)
            writer = database.writer()
            writer.execute(f"PRAGMA user_version = {schema.latest() + 1}")
            other = bytes(tmp_path / "copy.db")
            for suffix in (b"", b"-wal"):  # as a kill would leave it
                with open(path + suffix, "rb") as source, open(other + suffix, "wb") as copy:
                    copy.write(source.read())
        before = snapshot(other), snapshot(other + b"-wal")
        with pytest.raises(CatalogTooNew):
            Database(other).open()
        assert (snapshot(other), snapshot(other + b"-wal")) == before

    def test_tables_beyond_this_sqlite_do_not_hide_the_version(self, path: bytes) -> None:
        self.make(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            connection.execute(
                "UPDATE sqlite_master SET sql = 'CREATE TABLE state (x) OF THE FUTURE' WHERE name = 'state'"
            )
        with pytest.raises(CatalogTooNew):
            Database(path).open()


class TestRefusals:
    def test_somebody_elses_database(self, path: bytes) -> None:
        os.mkdir(os.path.dirname(path))
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE cookies (x)")
        before = snapshot(path)
        with pytest.raises(CatalogUnreadable, match="is not a catalog") as refusal:
            Database(path).open()
        assert "db_path" in refusal.value.hint
        assert snapshot(path) == before

    def test_a_database_that_another_program_has_locked(self, path: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mediawatchd.catalog.connection._BUSY_SECONDS", 0.0)
        os.mkdir(os.path.dirname(path))
        legacy_catalog.write(path, [file("/a")])
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(CatalogLocked, match="another program"):
                Database(path).open()
        with opened(path) as database:
            assert "upgraded" in database.notices[0]

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(CatalogUnreadable, match="cannot be made"):
            Database(tmp_path / "file" / "state" / "catalog.db").open()


class TestUpgrade:
    def test_a_media_analyzer_database_becomes_the_catalog(self, path: bytes) -> None:
        os.mkdir(os.path.dirname(path))
        legacy_catalog.write(path, [file("/films/a.mkv", id=7, rating=5)], columns=legacy_catalog.HASHES + ", rating")
        with opened(path) as database:
            with database.reader() as reader:
                assert reader.execute("SELECT id FROM media_files").fetchall() == [(7,)]
            assert database.writer().execute("PRAGMA foreign_keys").fetchone() == (1,)
            assert database.notices == [
                "A media_analyzer database was upgraded: 1 of 1 files were carried over.",
                "What the catalog has no place for is kept in legacy_media_files.",
            ]
        with opened(path) as database:
            assert database.notices == []

    def test_one_with_a_wal_of_its_own(self, path: bytes) -> None:
        os.mkdir(os.path.dirname(path))
        legacy_catalog.write(path, [file("/films/a.mkv")])
        with closing(sqlite3.connect(path, isolation_level=None)) as old:
            old.execute("PRAGMA journal_mode = WAL")
            old.execute("INSERT INTO media_files (file_path) VALUES ('/films/b.mkv')")
            with opened(path) as database, database.reader() as reader:
                assert reader.execute("SELECT count(*) FROM media_files").fetchone() == (2,)

    def test_a_version_between(self, path: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        with opened(path):
            pass
        later = (*schema.scripts(), "CREATE TABLE more (x TEXT) STRICT;\n-- done\nINSERT INTO more VALUES ('; \"');\n")
        monkeypatch.setattr(schema, "scripts", lambda: later)
        with opened(path) as database, database.reader() as reader:
            assert reader.execute("SELECT x FROM more").fetchone() == ('; "',)
            assert reader.execute("PRAGMA user_version").fetchone() == (len(later),)

    def test_a_version_that_fails_leaves_the_one_before(self, path: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        with opened(path):
            pass
        good = schema.scripts()
        monkeypatch.setattr(schema, "scripts", lambda: (*good, "CREATE TABLE more (x);\nCREATE TABLE state (x);\n"))
        with pytest.raises(CatalogUnreadable, match="already exists"):
            Database(path).open()
        monkeypatch.undo()
        with opened(path) as database, database.reader() as reader:
            assert reader.execute("SELECT name FROM sqlite_master WHERE name = 'more'").fetchall() == []


def test_corruption_is_told_from_other_errors(path: bytes, tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"no database" * 1000)
    with closing(sqlite3.connect(tmp_path / "text")) as connection:
        with pytest.raises(sqlite3.DatabaseError) as told:
            connection.execute("SELECT * FROM sqlite_master")
        assert is_corrupt(told.value)
    with closing(sqlite3.connect(":memory:")) as connection:
        with pytest.raises(sqlite3.OperationalError) as told_otherwise:
            connection.execute("SELECT * FROM nothing")
        assert not is_corrupt(told_otherwise.value)
    assert not is_corrupt(ValueError())
    assert not is_corrupt(sqlite3.ProgrammingError("no code"))


def _is_open(descriptor: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{descriptor}")
