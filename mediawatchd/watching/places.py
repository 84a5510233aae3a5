"""Which file system a directory of a root lies on, with the id that the catalog gave it.

Belongs to the keeper of the root. Answers are remembered by device number for as long as the mount table does
not change, so that a walk asks the kernel once a mount, not once a directory.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog import roots
from mediawatchd.model import Place, stamp_of
from mediawatchd.watching.filesystems import Identity, identify

if TYPE_CHECKING:
    import os

    from mediawatchd.watching.mounts import Mount, Table
    from mediawatchd.watching.reporting import Reporting


class FileSystem(NamedTuple):
    """A mounted file system and the id of its row."""

    id: int
    identity: Identity
    mount: Mount


class Places:
    """Used by the keeper's thread only."""

    def __init__(self, *, reporting: Reporting) -> None:
        self._reporting = reporting
        self._generation = -1
        self._by_device: dict[int, FileSystem] = {}

    def use(self, table: Table) -> None:
        """Answer by this mount table from now on."""
        if table.generation != self._generation:
            self._generation = table.generation
            self._by_device.clear()
        self._table = table

    def filesystem(self, fd: int, status: os.stat_result) -> FileSystem:
        """The file system of an open directory. Raises OSError as it does, ESTALE when its mount is gone."""
        known = self._by_device.get(status.st_dev)
        if known is None:
            mount = self._table.holding(fd)
            if mount is None:
                raise OSError(errno.ESTALE, "the mount of this directory is gone")
            identity = identify(fd, mount)
            filesystem_id = self._reporting.call(lambda tx: roots.filesystem_id(tx, identity.key, identity.type))
            known = self._by_device[status.st_dev] = FileSystem(filesystem_id, identity, mount)
        return known

    def place(self, fd: int, status: os.stat_result) -> Place:
        """Where a directory was seen, as reports say it."""
        filesystem = self.filesystem(fd, status)
        return Place(filesystem.id, stamp_of(status).inode if filesystem.identity.stable_inodes else None)
