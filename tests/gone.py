"""Files that go, for tests of what the catalog makes of that."""

from __future__ import annotations

from mediawatchd.catalog import roots
from mediawatchd.model import SECOND
from tests.catalogs import SETTLE, Catalog, file, inode_of

DAY = 86_400

ENOUGH = 2 * SETTLE
"""Seconds between two looks after which an absence is believed."""


def fill(catalog: Catalog, directory: bytes, files: int, *, first: int = 0) -> list[bytes]:
    names = [b"%05d.mkv" % number for number in range(first, first + files)]
    catalog.look(directory, *(file(name, inode=inode_of(directory + name)) for name in names))
    return names


def walk(catalog: Catalog, root_id: int = 1) -> None:
    record = roots.WalkRecord(catalog.root(root_id).path, "periodic", "complete", 1.0, 1, 1)
    catalog.run(lambda tx: roots.record_walk(tx, root_id, record))


def online(catalog: Catalog, seconds: float, root_id: int = 1) -> None:
    catalog.run(lambda tx: roots.add_online(tx, [root_id], round(seconds * SECOND)))
