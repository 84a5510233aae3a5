"""What is made of a file that goes after a copy of it was seen."""

from __future__ import annotations

import pytest

from mediawatchd.model import PROBE, SECOND, Away, Failed, Problem
from tests.catalogs import Catalog, file

ORIGINAL = b"films/original.mkv"
COPY = b"disk/copy.mkv"


@pytest.fixture
def copied(catalog: Catalog) -> Catalog:
    for number, path in enumerate((ORIGINAL, COPY), 1):
        folder, _, name = path.rpartition(b"/")
        catalog.look(folder + b"/", file(name, inode=number))
        catalog.hash(path, "content")
    return catalog


def test_a_file_that_goes_after_it_was_copied_has_moved_there(copied: Catalog) -> None:
    known = copied.present()[ORIGINAL]
    copied.miss(b"films/", b"original.mkv")
    assert copied.present() == {COPY: known}
    assert copied.missing() == []


def test_a_copy_on_a_disk_that_is_away_is_not_taken_for_the_file_that_goes(copied: Catalog) -> None:
    # The row of the copy was deleted, and the one of the file that went stood at a path that nobody could look at.
    known = copied.present()
    copied.away = frozenset({Away(copied.absolute(b"disk/"), copied.disk)})
    copied.miss(b"films/", b"original.mkv")
    assert copied.present() == {COPY: known[COPY]}
    assert len(copied.missing()) == 1


def test_what_could_not_be_read_on_one_disk_is_tried_at_once_on_another(catalog: Catalog) -> None:
    """Else it waits for up to six hours, and a sync with it."""
    catalog.look(b"films/", file(b"original.mkv"))
    catalog.hash(ORIGINAL, "content")
    row = catalog.row(ORIGINAL)
    for _ in range(3):
        catalog.tell(Failed(row.id, row.stamp, PROBE, Problem("io", "no"), final=False))
    catalog.miss(b"films/", b"original.mkv")
    catalog.now += 1
    catalog.look(b"disk/", file(b"copy.mkv", inode=5))
    catalog.hash(COPY, "content")
    moved = catalog.row(COPY)
    assert (moved.id, moved.lacks & PROBE) == (row.id, PROBE)
    assert moved.due_ns <= catalog.now * SECOND


def test_what_moved_to_a_copy_that_cannot_be_read_does_not_wait_as_long_as_that_did(copied: Catalog) -> None:
    known, copy = copied.row(ORIGINAL), copied.row(COPY)
    for _ in range(9):
        copied.tell(Failed(copy.id, copy.stamp, PROBE, Problem("io", "no"), final=False))
    copied.miss(b"films/", b"original.mkv")
    moved = copied.row(COPY)
    assert moved.id == known.id
    assert moved.due_ns <= copied.now * SECOND
