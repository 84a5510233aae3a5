"""The thread that writes: batches, what goes wrong in them, and what callers are told. With a real database."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog import roots, writer
from mediawatchd.catalog.database import Database
from mediawatchd.catalog.known import directory as known_directory
from mediawatchd.catalog.totals import FIELDS, Totals
from mediawatchd.catalog.transaction import set_state
from mediawatchd.catalog.writer import Committed, Writer
from mediawatchd.model import LIVE, QUICK_HASH, SECOND, DirectoryMove, Failed, Found, Hashed, Place, Problem, Report
from mediawatchd.telemetry.heartbeat import Heartbeats
from tests.catalogs import POLICY, digest, file
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mediawatchd.catalog.transaction import Transaction

WITHIN = 20
MEDIA = b"/media/"


class Writing:
    """A started writer over a real database. `committed` is what it told the others, in order."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path)
        self.database.open()
        self.committed: list[Committed] = []
        self.heartbeats = Heartbeats()
        self.writer = Writer(
            database=self.database,
            clock=self.database.clock,
            policy=POLICY,
            heart=self.heartbeats.register("writer"),
            mounts_unchanged=lambda generation, path: True,
            online=lambda: frozenset({1}),
            away=frozenset,
            listened=lambda: True,
            committed=self.hear,
        )
        self.writer.start()
        self.call(lambda tx: roots.configure(tx, [MEDIA]))
        self.disk = self.call(lambda tx: roots.filesystem_id(tx, "disk", "ext4"))

    def hear(self, committed: Committed) -> None:
        self.committed.append(committed)

    def call(self, function: object) -> int:
        assert callable(function)
        result = self.writer.call(function).result(WITHIN)
        assert result is None or isinstance(result, int | dict)
        return result if isinstance(result, int) else 0

    def report(self, *found: Found, directory: bytes = MEDIA) -> Report:
        return Report(1, directory, Place(self.disk, 1), self.database.clock.now_ns(), LIVE, found)

    def names(self) -> list[bytes]:
        """What is committed."""
        with self.database.reader() as connection:
            return [name for (name,) in connection.execute("SELECT name FROM media_files ORDER BY name")]

    def row(self, name: bytes) -> tuple[int, bytes | None]:
        with self.database.reader() as connection:
            return connection.execute("SELECT id, quick_hash FROM media_files WHERE name = ?", (name,)).fetchone()

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is put in meanwhile comes in one batch: the writer is busy with the one before."""
        busy, go = threading.Event(), threading.Event()

        def wait(tx: Transaction) -> None:
            busy.set()
            assert go.wait(WITHIN)

        holding = self.writer.call(wait)
        assert busy.wait(WITHIN)
        try:
            yield
        finally:
            go.set()
        holding.result(WITHIN)

    def flush(self) -> None:
        self.call(lambda tx: None)

    def trouble(self) -> str | None:
        return self.writer.statistics().trouble

    def check(self) -> None:
        """The totals are those of the rows."""
        with self.database.reader() as connection:
            stored = roots.totals(connection).get(1, dict.fromkeys(FIELDS, 0))
            sums = ", ".join(f"coalesce(sum({field}), 0)" for field in FIELDS)
            assert tuple(stored.values()) == connection.execute(f"SELECT {sums} FROM contributions").fetchone()


@pytest.fixture
def writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writing]:
    monkeypatch.setattr(writer, "RETRY_SECONDS", (0.02,))
    monkeypatch.setattr(writer, "LINGER_SECONDS", 0.0)
    monkeypatch.setattr(writer, "CAPACITY", 1_000)
    writing = Writing(tmp_path / "catalog.db")
    try:
        yield writing
        assert writing.writer.stop(WITHIN)
        writing.check()
    finally:
        writing.writer.stop(WITHIN)
        writing.database.close()


@contextmanager
def locked(writing: Writing) -> Iterator[None]:
    """Another program has the database locked for writing."""
    writing.database.writer().execute("PRAGMA busy_timeout = 0")
    (path,) = {row[2] for row in writing.database.writer().execute("PRAGMA database_list")}
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def full(writing: Writing) -> Iterator[None]:
    """The database may not grow by a page."""
    connection = writing.database.writer()
    (most,) = connection.execute("PRAGMA max_page_count").fetchone()
    connection.execute("PRAGMA max_page_count = 1")  # SQLite makes that the present size
    yield
    connection.execute(f"PRAGMA max_page_count = {most}")


def many(writing: Writing, files: int = 2_000) -> Report:
    """More than fits into what is left of the last pages."""
    return writing.report(*(file(b"%05d.mkv" % number) for number in range(files)))


BAD = file(b"bad.mkv", 1 << 70)
"""SQLite has no such number."""


# Ordinary life


def test_reports_and_outcomes_are_written(writing: Writing) -> None:
    writing.writer.reports([writing.report(file(b"a.mkv"), file(b"b.mkv"))])
    writing.flush()
    file_id, _ = writing.row(b"a.mkv")
    writing.writer.outcomes([Hashed(file_id, file(b"a.mkv").stamp, digest("a"), 1_000)])
    writing.flush()
    assert writing.row(b"a.mkv") == (file_id, digest("a"))
    statistics = writing.writer.statistics()
    assert (statistics.discovered, statistics.results["hashed"], statistics.hashed_bytes) == (2, 1, 1_000)
    assert (statistics.queued, statistics.dropped, statistics.trouble) == (0, 0, None)


def test_a_call_has_its_result_after_the_commit(writing: Writing) -> None:
    def write(tx: Transaction) -> int:
        set_state(tx.connection, "paused", 1)
        return 7

    assert writing.call(write) == 7
    with writing.database.reader() as connection:
        assert connection.execute("SELECT value FROM state WHERE key = 'paused'").fetchone() == (1,)


def test_what_a_call_refuses_comes_to_the_caller_and_is_not_written(writing: Writing) -> None:
    def refuse(tx: Transaction) -> None:
        set_state(tx.connection, "paused", 1)
        raise LookupError("no")

    with writing.held():
        writing.writer.reports([writing.report(file(b"a.mkv"))])
        refused = writing.writer.call(refuse)
        writing.writer.reports([writing.report(file(b"b.mkv"))])
    with pytest.raises(LookupError, match="no"):
        refused.result(WITHIN)
    writing.flush()
    assert writing.names() == [b"a.mkv", b"b.mkv"]
    with writing.database.reader() as connection:
        assert connection.execute("SELECT count(*) FROM state WHERE key = 'paused'").fetchone() == (0,)


def test_moves_are_done_when_their_future_is(writing: Writing) -> None:
    writing.writer.reports([writing.report(file(b"a.mkv"), directory=b"/media/a/")])
    writing.flush()
    with writing.database.reader() as connection:
        directory = known_directory(connection, b"/media/a/")
    assert directory is not None
    move = DirectoryMove(1, directory.id, b"/media/a/", b"/media/b/", Place(writing.disk, 1), 1 << 62)
    writing.writer.moves([move]).result(WITHIN)
    with writing.database.reader() as connection:
        assert known_directory(connection, b"/media/b/") is not None


def test_others_are_told_after_the_commit_and_before_callers(writing: Writing) -> None:
    seen: list[list[bytes]] = []
    writing.writer._committed = lambda committed: seen.append(writing.names())
    with writing.held():
        writing.writer.reports([writing.report(file(b"a.mkv"))])
        called = writing.writer.call(lambda tx: len(seen))
    assert called.result(WITHIN) == 1, "told of the batch before, not yet of its own"
    assert seen == [[], [b"a.mkv"]]


def test_messages_are_applied_in_order(writing: Writing) -> None:
    with writing.held():
        for size in range(1, 50):
            writing.writer.reports([writing.report(file(b"a.mkv", size))])
    writing.flush()
    with writing.database.reader() as connection:
        assert connection.execute("SELECT size FROM media_files").fetchall() == [(49,)]


def test_events_are_numbered_on_over_a_restart(tmp_path: Path) -> None:
    numbers = []
    for name in (b"a.mkv", b"b.mkv", b"c.mkv"):
        writing = Writing(tmp_path / "catalog.db")
        try:
            writing.writer.reports([writing.report(file(name))])
            writing.flush()
            numbers += [event.seq for committed in writing.committed for event in committed.events]
            writing.check()
        finally:
            assert writing.writer.stop(WITHIN)
            writing.database.close()
    assert numbers == [1, 2, 3]


def test_a_changed_policy_holds_from_the_next_batch_on(writing: Writing) -> None:
    writing.writer.set_policy(POLICY.__class__(SECOND, None, 1, 1))
    assert writing.call(lambda tx: tx.policy.settle_ns) == SECOND


# What cannot be applied


def test_of_a_batch_with_one_bad_item_the_rest_is_written(writing: Writing) -> None:
    with writing.held():
        writing.writer.reports([writing.report(file(b"a.mkv"))])
        writing.writer.reports([
            writing.report(file(b"b.mkv"), BAD, file(b"c.mkv")),
            writing.report(file(b"e.mkv"), directory=b"/media/e/"),
        ])  # fmt: skip
        writing.writer.reports([writing.report(file(b"d.mkv"))])
        called = writing.writer.call(lambda tx: 5)
    assert called.result(WITHIN) == 5
    assert writing.names() == [b"a.mkv", b"b.mkv", b"c.mkv", b"d.mkv", b"e.mkv"]
    assert writing.writer.statistics().dropped == 1
    writing.check()


def test_absences_beside_a_bad_item_are_written_too(writing: Writing) -> None:
    writing.writer.reports([writing.report(file(b"a.mkv")), writing.report(file(b"b.mkv"), directory=b"/media/b/")])
    writing.writer.reports([
        writing.report(BAD)._replace(absent=(b"a.mkv",), absent_directories=(b"/media/b/",))
    ])  # fmt: skip
    writing.flush()
    with writing.database.reader() as connection:
        assert connection.execute("SELECT count(*) FROM media_files WHERE absent_ns > 0").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM directories WHERE absent_ns > 0").fetchone() == (1,)


def test_a_bad_outcome_is_dropped_and_its_file_is_given_back(writing: Writing) -> None:
    writing.writer.reports([writing.report(file(b"a.mkv"), file(b"b.mkv"))])
    writing.flush()
    (a, _), (b, _) = writing.row(b"a.mkv"), writing.row(b"b.mkv")
    bad = Failed(a, file(b"a.mkv").stamp, QUICK_HASH, Problem("io", "\ud800"), final=False)
    writing.writer.outcomes([bad, Hashed(b, file(b"b.mkv").stamp, digest("b"), 1)])
    writing.flush()
    assert writing.row(b"b.mkv") == (b, digest("b"))
    assert {a, b} <= {outcome.file_id for committed in writing.committed for outcome in committed.outcomes}
    assert writing.writer.statistics().dropped == 1


def test_a_batch_that_was_committed_is_not_applied_again_when_telling_of_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread ends, which ends the daemon with the cause."""
    died: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda died_of: died.append(died_of.exc_value))
    writing = Writing(tmp_path / "catalog.db")
    try:

        def fail(committed: Committed) -> None:
            raise LookupError

        applied: list[int] = []
        writing.writer._committed = fail
        writing.writer.call(lambda tx: applied.append(1))
        wait_until(lambda: died, within=WITHIN)
        assert isinstance(died[0], LookupError)
        assert applied == [1]
    finally:
        writing.writer.stop(WITHIN)
        writing.database.close()


# A disk or another program in the way


@pytest.mark.parametrize("hindrance", [locked, full])
def test_a_batch_that_cannot_be_written_is_tried_again_until_it_can(
    writing: Writing, hindrance: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(hindrance)
    with hindrance(writing):
        report = many(writing)
        writing.writer.reports([report])
        called = writing.writer.call(lambda tx: 5)
        wait_until(writing.trouble, within=WITHIN)
        assert not called.done()
        assert writing.names() == []
        # A wait for the disk is no hang; in between it tries.
        wait_until(lambda: not writing.heartbeats.stuck(1e9, 0.0), within=WITHIN)
    assert called.result(WITHIN) == 5
    assert len(writing.names()) == 2_000
    assert writing.trouble() is None
    assert writing.writer.statistics().dropped == 0
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"], "said once, not at each attempt"


def test_those_who_have_more_to_say_wait_while_it_cannot_be_written(writing: Writing) -> None:
    done = threading.Event()

    def speak() -> None:
        for number in range(30):
            names = (b"%d-%d.mkv" % (number, each) for each in range(100))
            writing.writer.reports([writing.report(*(file(name) for name in names))])
        done.set()

    with locked(writing):
        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        wait_until(lambda: writing.writer.statistics().queued >= writer.CAPACITY, within=WITHIN)
        assert not done.is_set()
        assert writing.writer.statistics().queued < writer.CAPACITY + 102
        assert not writing.writer.call(lambda tx: 1).done(), "a call is taken at once all the same"
    assert done.wait(WITHIN)
    thread.join(WITHIN)


def test_what_was_counted_in_an_attempt_is_not_counted_twice(writing: Writing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the database could not even be read after the attempt."""
    real, loads = Totals.load, []

    def load(totals: Totals, connection: sqlite3.Connection) -> None:
        loads.append(connection)
        if len(loads) == 1:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        real(totals, connection)

    monkeypatch.setattr(Totals, "load", load)
    with full(writing):
        writing.writer.reports([many(writing)])
        wait_until(lambda: len(loads) >= 3, within=WITHIN)
    writing.flush()
    assert len(writing.names()) == 2_000
    writing.check()


# Stopping


def test_what_is_queued_is_written_before_the_end(writing: Writing) -> None:
    with writing.held():
        for number in range(100):
            writing.writer.reports([writing.report(file(b"%05d.mkv" % number))])
        stopped: list[bool] = []
        thread = threading.Thread(target=lambda: stopped.append(writing.writer.stop(WITHIN)))
        thread.start()
    thread.join(WITHIN)
    assert stopped == [True]
    assert len(writing.names()) == 100


def test_after_the_end_callers_are_refused(writing: Writing) -> None:
    assert writing.writer.stop(WITHIN)
    with pytest.raises(RuntimeError, match="ended"):
        writing.writer.call(lambda tx: 1).result(WITHIN)
    writing.writer.reports([writing.report(file(b"a.mkv"))])
    assert writing.names() == []


def test_stopping_gives_up_a_batch_that_waits_and_tells_its_callers(writing: Writing) -> None:
    with locked(writing):
        writing.writer.reports([writing.report(file(b"a.mkv"))])
        first = writing.writer.call(lambda tx: 1)
        wait_until(writing.trouble, within=WITHIN)
        second = writing.writer.call(lambda tx: 2)
        assert writing.writer.stop(1.0)
        for future in (first, second):
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                future.result(0)
    assert writing.names() == []


def test_a_writer_that_hangs_does_not_hold_up_the_stop(writing: Writing) -> None:
    with writing.held():
        assert writing.writer.stop(0.1) is False


# The journal


def test_the_journal_is_emptied_and_a_failure_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full when the journal is emptied must not end the daemon."""
    monkeypatch.setattr(writer, "CHECKPOINT_SECONDS", 0.05)
    writing = Writing(tmp_path / "catalog.db")
    real = writing.database.checkpoint
    attempts: list[sqlite3.Connection] = []

    def checkpoint(connection: sqlite3.Connection) -> bool:
        attempts.append(connection)
        if len(attempts) == 1:
            raise sqlite3.OperationalError("database or disk is full")
        return real(connection)

    monkeypatch.setattr(writing.database, "checkpoint", checkpoint)
    try:
        writing.writer.reports([writing.report(file(b"a.mkv"))])
        wait_until(lambda: writing.names() and writing.database.sizes()["wal"] == 0, within=WITHIN)
        assert len(attempts) >= 2
    finally:
        assert writing.writer.stop(WITHIN)
        writing.database.close()
