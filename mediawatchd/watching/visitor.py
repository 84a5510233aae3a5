"""Compares directories of one root with the catalog, and reports what differs.

Used by the keeper's thread of that root only. A visit touches the disk and reads the catalog; what the difference
means is decided by the writer. Links are never followed, and nothing but directories is ever opened.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog import known
from mediawatchd.model import LIVE, WALKED, Found, Report, Stamp, stamp_of
from mediawatchd.watching.moves import Sight, directory_moves, with_formers

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from mediawatchd.catalog.clock import CatalogClock
    from mediawatchd.catalog.known import KnownDirectory
    from mediawatchd.model import Place
    from mediawatchd.telemetry.durations import Durations
    from mediawatchd.watching.hints import Names
    from mediawatchd.watching.places import Places
    from mediawatchd.watching.reporting import Reporting
    from mediawatchd.watching.rules import Rules

REPORTED = 1_000
"""Files in one report at most, so that the writer's batches stay small."""
_ENCODING = sys.getfilesystemencoding()


class Covered(Exception):
    """Another file system is mounted over (or gone from) a directory whose files the catalog knows: hands off."""


class Subdirectory(NamedTuple):
    name: bytes
    path: bytes
    row: KnownDirectory | None


class _Listing(NamedTuple):
    """What is in a directory; `directories` by path with name and inode, `unseen` the known stamps not met."""

    found: list[Found]
    directories: dict[bytes, tuple[bytes, int]]
    unseen: tuple[bytes, ...]
    files: int


class Visitor:
    """One root's eyes. `settle_ns` is the settle time of a file that was seen closed; `durations` counts how long the
    disk took to show a directory."""

    def __init__(
        self,
        *,
        root_id: int,
        root: bytes,
        rules: Rules,
        reporting: Reporting,
        clock: CatalogClock,
        places: Places,
        settle_ns: int,
        durations: Durations,
    ) -> None:
        self._root_id = root_id
        self._root = root
        self._rules = rules
        self._reporting = reporting
        self._clock = clock
        self._places = places
        self._settle_ns = settle_ns
        self._durations = durations
        self.mounts = 0
        """The generation of the mount table that holds now; the keeper sets it before each visit."""

    def directory(
        self, connection: sqlite3.Connection, fd: int, path: bytes, row: KnownDirectory | None
    ) -> tuple[list[Subdirectory], int]:
        """Compare a whole directory; return the directories in it to walk, and how many media files it has.

        Raises Covered, and OSError as the disk does: then nothing was reported.
        """
        began = time.monotonic()
        sight = self._sight(connection, fd, path, row)
        listing = self._list(sight)
        self._durations.add([time.monotonic() - began])
        relative = path[len(self._root) :]
        # A folder that moves to an ignored name leaves the library: its rows must not go there with it.
        visible = {
            child: named
            for child, named in listing.directories.items()
            if not self._rules.ignored(relative + named[0], True)
        }
        children = self._children(sight, visible)
        gone = tuple(child for child in children if child not in listing.directories)
        familiar = row is not None and (row.filesystem_id, row.inode, row.absent_ns) == (*sight.place, None)
        if listing.found or listing.unseen or gone or not familiar:
            self._report(sight, WALKED, listing.found, listing.unseen, gone)
        subdirectories = [Subdirectory(name, child, children.get(child)) for child, (name, _) in visible.items()]
        return subdirectories, listing.files

    def names(self, connection: sqlite3.Connection, fd: int, path: bytes, names: Names) -> list[bytes]:
        """Compare single names of a directory; return the directories among them to walk. Raises as `directory`."""
        began = time.monotonic()
        sight = self._sight(connection, fd, path, known.directory(connection, path))
        relative = path[len(self._root) :]
        found: list[Found] = []
        absent: list[bytes] = []
        gone: list[bytes] = []
        directories: dict[bytes, tuple[bytes, int]] = {}
        for name, closed in names.items():
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                status = None
            except OSError:
                continue  # it cannot be seen: nothing is known of it, and nothing changes
            is_directory = status is not None and stat.S_ISDIR(status.st_mode)
            child = path + name + b"/"
            if status is not None and is_directory and not self._rules.ignored(relative + name, True):
                directories[child] = (name, status.st_ino)
            # What is not there is told although nothing is known of it: what was seen of it a moment ago may still be
            # on its way to the catalog.
            if status is None or (not is_directory and known.directory(connection, child) is not None):
                gone.append(child)
            media_type = self._rules.media_file(relative, name)
            if media_type is None:
                continue
            if status is not None and stat.S_ISREG(status.st_mode):
                settle_ns = self._settle_ns if closed else 6 * self._settle_ns
                found.append(Found(name, media_type, _stamp(status, sight.place), settle_ns))
            else:
                absent.append(name)
        self._durations.add([time.monotonic() - began])
        if directories:
            self._children(sight, directories)
        if found or absent or gone:
            self._report(sight, LIVE, found, tuple(absent), tuple(gone))
        return list(directories)

    def _sight(self, connection: sqlite3.Connection, fd: int, path: bytes, row: KnownDirectory | None) -> Sight:
        at_ns = self._clock.now_ns()
        place = self._places.place(fd, os.fstat(fd))
        if (
            row is not None
            and row.filesystem_id not in {None, place.filesystem_id}
            and known.holds_files(connection, path, row.filesystem_id)
        ):
            raise Covered(path)
        return Sight(connection, self._root_id, fd, path, row, place, at_ns)

    def _list(self, sight: Sight) -> _Listing:
        stamps = known.files(sight.connection, sight.row.id) if sight.row else {}
        relative = sight.path[len(self._root) :]
        media_file = self._rules.media_file
        old_ns = time.time_ns() - 6 * self._settle_ns
        found: list[Found] = []
        directories: dict[bytes, tuple[bytes, int]] = {}
        files = 0
        with os.scandir(sight.fd) as entries:
            for entry in entries:
                name = entry.name.encode(_ENCODING, "surrogateescape")
                was = stamps.get(name)
                # What the catalog shows as a file needs no other look to be one.
                if was is None or not entry.is_file(follow_symlinks=False):
                    if entry.is_dir(follow_symlinks=False):
                        directories[sight.path + name + b"/"] = (name, entry.inode())
                        continue
                    if media_file(relative, name) is None or not entry.is_file(follow_symlinks=False):
                        continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                except OSError:
                    stamps.pop(name, None)  # a bad inode: nothing is known of this one file, and nothing changes
                    continue
                stamps.pop(name, None)
                files += 1
                # The ordinary case first, and cheaply: nothing has changed.
                if was == (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_nlink):
                    continue
                stamp = _stamp(status, sight.place)
                if was == stamp:
                    continue
                settled = status.st_mtime_ns < old_ns and status.st_ctime_ns < old_ns
                if (media_type := media_file(relative, name)) is not None:
                    found.append(Found(name, media_type, stamp, 0 if settled else 6 * self._settle_ns))
        return _Listing(found, directories, tuple(stamps), files)

    def _children(self, sight: Sight, directories: dict[bytes, tuple[bytes, int]]) -> dict[bytes, KnownDirectory]:
        """The known directories in a directory, after those that moved here have brought their rows along."""
        children: dict[bytes, KnownDirectory] = {}
        if sight.row and (directories or sight.row.is_parent):
            children = known.subdirectories(sight.connection, sight.row.id)
        if sight.place.inode is None:
            return children
        strange = {
            inode: (child, name)
            for child, (name, inode) in directories.items()
            if (row := children.get(child)) is None or row.inode not in {None, inode}
        }
        moves = list(directory_moves(sight, strange)) if strange else []
        if not moves:
            return children
        self._reporting.moves(moves)
        row = known.directory(sight.connection, sight.path)
        return known.subdirectories(sight.connection, row.id) if row else {}

    def _report(
        self,
        sight: Sight,
        priority: int,
        found: Sequence[Found],
        absent: tuple[bytes, ...],
        gone: tuple[bytes, ...],
    ) -> None:
        empty = Report(self._root_id, sight.path, sight.place, sight.at_ns, priority, mounts=self.mounts)
        found = with_formers(sight, found)
        for start in range(0, max(1, len(found)), REPORTED):
            report = empty._replace(found=tuple(found[start : start + REPORTED]))
            if start + REPORTED >= len(found):
                report = report._replace(absent=absent, absent_directories=gone)
            self._reporting.reports([report])


def _stamp(status: os.stat_result, place: Place) -> Stamp:
    stamp = stamp_of(status)
    return stamp if place.inode is not None else stamp._replace(inode=None)
