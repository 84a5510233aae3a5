"""What a transaction collects for others, and what it stores at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediawatchd.catalog.transaction import get_state, set_state
from mediawatchd.model import SECOND, Event
from tests.catalogs import WALL, Catalog, file

if TYPE_CHECKING:
    from pathlib import Path


def history(catalog: Catalog) -> list[Event]:
    return [Event._make(row) for row in catalog.connection.execute("SELECT * FROM history ORDER BY seq")]


def test_an_event_is_told_and_kept_with_its_number_and_time(catalog: Catalog) -> None:
    with catalog.transaction() as tx:
        tx.tell("moved", 1, b"/media/b", former=b"/media/\xff", detail="directory")
        tx.tell("job", None, None, detail="scan 1 done")
    assert (
        tx.events
        == history(catalog)
        == [
            Event(1, WALL + 100, "moved", b"/media/b", b"/media/\xff", "directory"),
            Event(2, WALL + 100, "job", None, None, "scan 1 done"),
        ]
    )
    assert get_state(catalog.connection, "event_seq") == 2


def test_numbers_go_on_from_one_transaction_to_the_next(catalog: Catalog) -> None:
    for _ in range(3):
        with catalog.transaction() as tx:
            tx.tell("root", 1, None)
    assert [event.seq for event in history(catalog)] == [1, 2, 3]


def test_the_numbers_of_a_transaction_that_was_rolled_back_are_given_again(catalog: Catalog) -> None:
    with catalog.rolled_back() as tx:
        tx.tell("root", 1, None)
    with catalog.transaction() as tx:
        tx.tell("root", 1, None)
    assert [event.seq for event in history(catalog)] == [1]


def test_what_a_first_walk_adds_has_no_number_when_nobody_listens(catalog: Catalog) -> None:
    catalog.listened = False
    tx = catalog.look(b"", file(b"a.mkv"))
    assert (tx.events, history(catalog)) == ([], [])
    catalog.listened = True
    assert [event.seq for event in catalog.look(b"", file(b"b.mkv")).events] == [1]
    assert history(catalog) == []


def test_what_is_missing_during_the_first_walk_is_kept(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv"))
    catalog.miss(b"", b"a.mkv")
    assert [event.event for event in history(catalog)] == ["missing"]


def test_the_catalogs_time_is_stored_with_each_commit(catalog: Catalog) -> None:
    catalog.now = 777
    catalog.run(lambda tx: None)
    assert get_state(catalog.connection, "clock_ns") == 777 * SECOND


def test_what_a_worker_did_is_counted_by_its_result(catalog: Catalog) -> None:
    with catalog.transaction() as tx:
        tx.count("hashed")
        tx.count("hashed", 5)
        tx.count("failed")
    assert tx.results == {"hashed": 6, "failed": 1}


def test_state_is_any_value_by_name(catalog: Catalog) -> None:
    for value in (1, "text", b"\xff", None):
        set_state(catalog.connection, "key", value)
        assert get_state(catalog.connection, "key") == value
    assert get_state(catalog.connection, "other") is None


def test_a_path_is_that_of_the_directory_and_the_name(catalog: Catalog) -> None:
    catalog.look(b"films/", file(b"a.mkv"))
    row = catalog.row(b"films/a.mkv")
    with catalog.transaction() as tx:
        assert tx.path(row) == b"/media/films/a.mkv"
        assert tx.directory(row).path == b"/media/films/"


def test_a_catalog_on_disk_is_the_same_as_one_in_memory(tmp_path: Path) -> None:
    """What these tests are made with is the real thing."""
    catalog = Catalog(str(tmp_path / "catalog.db"))
    catalog.look(b"", file(b"a.mkv"))
    assert list(catalog.present()) == [b"a.mkv"]
    catalog.connection.close()
