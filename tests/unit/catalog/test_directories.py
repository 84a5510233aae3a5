"""Rows of directories: made, revived, found again, and remembered for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog import directories
from mediawatchd.catalog.directories import below, parent_path
from mediawatchd.model import SECOND, Place
from tests.catalogs import file, inode_of

if TYPE_CHECKING:
    from tests.catalogs import Catalog


@pytest.mark.parametrize(("path", "inside", "outside"), [
    (b"/media/", [b"/media/", b"/media/a/", b"/media/\xff\xff/", b"/media/0/"], [b"/media2/", b"/media0/", b"/medi/"]),
    (b"/", [b"/", b"/a/", b"/\xff/"], []),
    (b"/a\xff/", [b"/a\xff/", b"/a\xff/b/"], [b"/a/", b"/a\xff\xff/", b"/a\xff0/"]),
])  # fmt: skip
def test_below_is_a_range_of_bytes(path: bytes, inside: list[bytes], outside: list[bytes]) -> None:
    low, high = below(path)
    assert all(low <= each < high for each in inside)
    assert not any(low <= each < high for each in outside)


@pytest.mark.parametrize(
    ("path", "parent"), [(b"/a/b/", b"/a/"), (b"/a/", b"/"), (b"/a/b\n/", b"/a/"), (b"/a/b", b"/a/")]
)
def test_the_parent_of_a_path_ends_with_a_slash(path: bytes, parent: bytes) -> None:
    assert parent_path(path) == parent


def test_parents_up_to_the_root_are_made_along(catalog: Catalog) -> None:
    catalog.look(b"a/b/c/", file(b"x.mkv"))
    assert sorted(catalog.directory_paths()) == [b"", b"a/", b"a/b/", b"a/b/c/"]
    rows = dict(catalog.connection.execute("SELECT path, parent_id FROM directories").fetchall())
    assert rows[b"/media/"] is None
    assert rows[b"/media/a/b/c/"] == catalog.directory_paths()[b"a/b/"]


def test_where_a_directory_was_seen_is_stored_with_when(catalog: Catalog) -> None:
    catalog.look(b"a/", place=Place(catalog.disk, 7))
    catalog.now = 200
    catalog.look(b"a/", place=Place(catalog.disk, 8))
    catalog.look(b"a/", place=Place(catalog.disk, 7), at=150)
    row = catalog.connection.execute("SELECT inode, fact_ns FROM directories WHERE path = ?", (b"/media/a/",))
    assert row.fetchone() == (8, 200 * SECOND)


def test_a_directory_that_is_seen_as_before_costs_no_write(catalog: Catalog) -> None:
    catalog.look(b"a/", place=Place(catalog.disk, 7))
    catalog.now = 200
    changes = catalog.connection.total_changes
    with catalog.transaction() as tx:
        tx.directories.clear()
        catalog.observing.apply(tx, [catalog.report(b"a/", place=Place(catalog.disk, 7))])
        assert catalog.connection.total_changes == changes


def test_a_sight_ends_the_absence_of_a_directory(catalog: Catalog) -> None:
    catalog.look(b"a/")
    catalog.look(b"", gone=[b"a/"])
    catalog.now += 1
    catalog.look(b"a/")
    assert catalog.value("SELECT count(*) FROM directories WHERE absent_ns IS NOT NULL") == 0


def test_a_gone_directory_that_is_there_again_has_its_row_again(catalog: Catalog) -> None:
    catalog.look(b"a/b/", file(b"x.mkv"))
    before = catalog.directory_paths()
    catalog.lose(b"a/")
    assert list(catalog.directory_paths()) == [b""]
    catalog.look(b"a/b/", file(b"x.mkv"))
    assert catalog.directory_paths() == before


def test_more_directories_than_are_kept_in_memory_are_no_other(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directories, "CACHED", 3)
    for _ in range(2):
        for number in range(20):
            catalog.look(b"%d/" % number, file(b"%d.mkv" % number, inode=inode_of(b"%d" % number)))
            assert len(catalog.directories._by_id) <= 4
    assert len(catalog.present()) == 20


def test_after_a_rollback_no_directory_is_remembered_that_was_not_stored(catalog: Catalog) -> None:
    with catalog.rolled_back() as tx:
        catalog.observing.apply(tx, [catalog.report(b"a/", file(b"x.mkv"))])
    assert catalog.directories._by_id == {}
    catalog.look(b"b/", file(b"y.mkv"))
    catalog.look(b"a/", file(b"x.mkv"))
    assert sorted(catalog.present()) == [b"a/x.mkv", b"b/y.mkv"]


def test_a_directory_that_was_rolled_back_is_not_taken_for_a_new_one(catalog: Catalog) -> None:
    """The quick way for new directories looks for no row: its mark must not outlive the batch."""
    with catalog.rolled_back() as tx:
        catalog.observing.apply(tx, [catalog.report(b"a/")])
        tx.directories.ensure(tx.roots[1], b"/media/b/", None, 0)
    catalog.look(b"a/", file(b"x.mkv"))
    catalog.look(b"a/", file(b"x.mkv"))
    catalog.look(b"b/", file(b"y.mkv"))
    catalog.look(b"b/", file(b"y.mkv"))
    assert len(catalog.present()) == 2


def test_one_that_was_forgotten_is_not_found(catalog: Catalog) -> None:
    assert catalog.directories.find(99) is None
