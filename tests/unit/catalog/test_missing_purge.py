"""When what is missing is forgotten."""

from __future__ import annotations

import pytest

from mediawatchd.catalog import missing, roots
from tests.catalogs import Catalog, file
from tests.gone import DAY, online, walk


def purge(catalog: Catalog) -> object:
    return catalog.run(missing.purge)


@pytest.fixture
def gone(catalog: Catalog) -> int:
    """A row missing since 3 days of online time and 4 walks."""
    online(catalog, 3 * DAY)
    for _ in range(4):
        walk(catalog)
    catalog.look(b"films/", file(b"a.mkv"), file(b"b.mkv"))
    row_id = catalog.know(b"films/a.mkv").id
    catalog.miss(b"films/", b"a.mkv")
    return row_id


def test_a_row_is_purged_after_its_time_online_and_two_walks(catalog: Catalog, gone: int) -> None:
    online(catalog, 7 * DAY + 1)
    walk(catalog)
    walk(catalog)
    with catalog.transaction() as tx:
        assert missing.purge(tx) == 1
    assert [(event.event, event.path, event.detail) for event in tx.events] == [
        ("root", b"/media", "1 file forgotten: missing for longer than missing.keep_days")
    ]
    assert list(catalog.present()) == [b"films/b.mkv"]
    assert catalog.missing() == []
    assert catalog.value("SELECT count(*) FROM video_metadata") == 0
    assert "missing" not in catalog.counts()


def test_nothing_is_purged_before_its_time_online(catalog: Catalog, gone: int) -> None:
    online(catalog, 7 * DAY - 1)
    for _ in range(10):
        walk(catalog)
    catalog.now += 100 * DAY
    assert purge(catalog) == 0


def test_nothing_is_purged_before_two_walks(catalog: Catalog, gone: int) -> None:
    online(catalog, 100 * DAY)
    walk(catalog)
    assert purge(catalog) == 0


def test_a_walk_that_did_not_see_everything_does_not_count(catalog: Catalog, gone: int) -> None:
    online(catalog, 100 * DAY)
    for record in (
        roots.WalkRecord(b"/media/", "periodic", "cancelled", 1.0, 1, 1),
        roots.WalkRecord(b"/media/films/", "job", "complete", 1.0, 1, 1),
    ):
        for _ in range(2):
            catalog.run(lambda tx, record=record: roots.record_walk(tx, 1, record))
    assert purge(catalog) == 0
    assert catalog.value("SELECT count(*) FROM scans") == 8


def test_nothing_is_purged_on_a_root_that_left_the_configuration(catalog: Catalog, gone: int) -> None:
    online(catalog, 100 * DAY)
    walk(catalog)
    walk(catalog)
    catalog.configure(b"/other/")
    assert purge(catalog) == 0


def test_a_wrong_clock_purges_nothing(catalog: Catalog, gone: int) -> None:
    catalog.run(lambda tx: tx.connection.execute("UPDATE media_files SET missing_since = 0 WHERE id = ?", (gone,)))
    walk(catalog)
    walk(catalog)
    assert purge(catalog) == 0


def test_a_row_that_came_back_and_went_again_waits_anew(catalog: Catalog, gone: int) -> None:
    online(catalog, 6 * DAY)
    walk(catalog)
    walk(catalog)
    catalog.look(b"films/", file(b"a.mkv"))
    catalog.now += 10
    catalog.miss(b"films/", b"a.mkv")
    online(catalog, 6 * DAY)
    walk(catalog)
    walk(catalog)
    assert purge(catalog) == 0


def test_an_overwritten_row_is_purged_like_others(catalog: Catalog) -> None:
    catalog.look(b"", file(b"a.mkv", 1), file(b"b.mkv", 2))
    catalog.look(b"", catalog.moved(b"a.mkv", here=b"b.mkv"))
    online(catalog, 7 * DAY + 1)
    walk(catalog)
    assert purge(catalog) == 0
    walk(catalog)
    assert purge(catalog) == 1


def test_a_root_made_wider_does_not_purge_with_the_hours_and_walks_of_another(catalog: Catalog) -> None:
    """A configured root that was narrowed and widened again has hours and walks of its own from before."""
    online(catalog, 400 * DAY)
    for _ in range(50):
        walk(catalog)
    catalog.configure(b"/media/films/")
    catalog.look(b"/media/films/", file(b"a.mkv"), root=2)
    catalog.miss(b"/media/films/", b"a.mkv")
    catalog.configure(b"/media/")
    assert catalog.missing() == [b"films/a.mkv"]
    assert purge(catalog) == 0
    online(catalog, 7 * DAY + 1)
    walk(catalog)
    walk(catalog)
    assert purge(catalog) == 1


def test_a_directory_moved_to_another_root_does_not_purge_with_its_hours_and_walks(catalog: Catalog) -> None:
    catalog.configure(b"/media/", b"/media2/")
    online(catalog, 400 * DAY, 2)
    for _ in range(50):
        walk(catalog, 2)
    catalog.look(b"films/", file(b"a.mkv"), file(b"b.mkv"))
    catalog.miss(b"films/", b"a.mkv")
    catalog.move_directories((b"films/", b"/media2/films/"))
    assert catalog.missing() == [b"/media2/films/a.mkv"]
    assert purge(catalog) == 0
