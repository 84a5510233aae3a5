"""Compares directories of one root with the catalog, and reports what differs.

Used by the keeper's thread of that root only. A visit touches the disk and reads the catalog; what the difference
means is decided by the writer. Links are never followed, and nothing but directories is ever opened.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
import time
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog import known
from mediawatchd.model import LIVE, WALKED, Away, Found, Report, Stamp, away_of, stamp_of
from mediawatchd.watching.moves import Sight, directory_moves, with_formers

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mediawatchd.catalog.clock import CatalogClock
    from mediawatchd.catalog.known import KnownDirectory
    from mediawatchd.model import Place
    from mediawatchd.telemetry.durations import Durations
    from mediawatchd.watching.hints import Names
    from mediawatchd.watching.places import Places
    from mediawatchd.watching.reporting import Reporting
    from mediawatchd.watching.rules import Rules
    from mediawatchd.watching.unreadable import Unreadable

log = logging.getLogger(__name__)

REPORTED = 1_000
"""Files in one report at most, so that the writer's batches stay small."""
SLAB = 5_000
"""Entries of a directory that are compared at a time: what a walk holds of one of a million files."""
LARGE = 50_000
"""From so many known files on, a directory's stamps are asked for a slab at a time, which costs twice as much."""
_ENCODING = sys.getfilesystemencoding()


class Covered(Exception):
    """Another file system is mounted over (or gone from) a directory whose files the catalog knows: hands off."""


class Subdirectory(NamedTuple):
    name: bytes
    path: bytes
    row: KnownDirectory | None


class _Listing(NamedTuple):
    """What is in a directory; `directories` by path with name and inode, `unseen` the known names not met, in pages.

    Of many found files the first were reported already, which `is_reported` says.
    """

    found: list[Found]
    directories: dict[bytes, tuple[bytes, int]]
    unseen: Iterable[list[bytes]]
    files: int
    is_reported: bool


class Visitor:
    """One root's eyes. `settle_ns` is the settle time of a file that was seen closed; `durations` counts how long the
    disk took to show a directory; `away_changed` is called when `away` has."""

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
        unreadable: Unreadable,
        away_changed: Callable[[], None],
    ) -> None:
        self._root_id = root_id
        self._root = root
        self._rules = rules
        self._reporting = reporting
        self._clock = clock
        self._places = places
        self._settle_ns = settle_ns
        self._durations = durations
        self.unreadable = unreadable
        self._away_changed = away_changed
        self.away: frozenset[Away] = frozenset()
        """The disks that were met as not mounted; replaced, never changed, so any thread may read it."""
        self._met_away: frozenset[Away] = frozenset()
        self.mounts = 0
        """The generation of the mount table that holds now; the keeper sets it before each visit."""

    def directory(
        self, connection: sqlite3.Connection, fd: int, path: bytes, row: KnownDirectory | None
    ) -> tuple[list[Subdirectory], int]:
        """Compare a whole directory; return the directories in it to walk, and how many media files it has.

        Raises Covered, and OSError as the disk does: then no absence was reported.
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
        gone = tuple(
            child
            for child, known_child in children.items()
            if child not in listing.directories and not self._is_away(sight, known_child)
        )
        familiar = row is not None and (row.filesystem_id, row.inode, row.absent_ns) == (*sight.place, None)
        if listing.found or gone or not (familiar or listing.is_reported):
            self._report(sight, WALKED, listing.found, (), gone)
        for absent in listing.unseen:
            self._report(sight, WALKED, (), absent, ())
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
            child = path + name + b"/"
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                status = None
            except OSError as error:
                # It cannot be seen: nothing is known of it, and nothing changes.
                self.unreadable.failed(child if known.directory(connection, child) else path, error)
                continue
            is_directory = status is not None and stat.S_ISDIR(status.st_mode)
            if status is not None and is_directory and not self._rules.ignored(relative + name, True):
                directories[child] = (name, status.st_ino)
            was = None
            if not is_directory and (status is not None or (sight.row is not None and sight.row.is_parent)):
                was = known.directory(connection, child)
            # What is not there is told although nothing is known of it: what was seen of it a moment ago may still be
            # on its way to the catalog.
            if (status is None and was is None) or (was is not None and not self._is_away(sight, was)):
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
            self._report(sight, LIVE, found, absent, gone)
        return list(directories)

    def _sight(self, connection: sqlite3.Connection, fd: int, path: bytes, row: KnownDirectory | None) -> Sight:
        at_ns = self._clock.now_ns()
        place = self._places.place(fd, os.fstat(fd))
        self._seen(path, place.filesystem_id)
        sight = Sight(connection, self._root_id, fd, path, row, place, at_ns)
        if row is not None and self._is_away(sight, row):
            raise Covered(path)
        return sight

    def doubt_away(self) -> None:
        """The mounts have changed: what is away stays so until its disk is seen, or a walk of all did not meet it."""
        self._met_away = frozenset()

    def walked_all(self) -> None:
        """A walk of the whole root is over, and no mount has changed since it began."""
        self._replace_away(self._met_away)

    def _replace_away(self, away: frozenset[Away]) -> None:
        if away != self.away:
            self.away = away
            self._away_changed()

    def _is_away(self, sight: Sight, row: KnownDirectory) -> bool:
        """Whether a directory in sight, or that of the sight itself, is known from another disk, with files."""
        if row.filesystem_id in {None, sight.place.filesystem_id}:
            return False
        assert row.filesystem_id is not None
        if not known.holds_files(sight.connection, row.path, row.filesystem_id):
            return False
        if away_of(self.away, row.path, row.filesystem_id) is None:
            log.warning(
                "Another file system, or none, is where files are known: they stay as they are path=%s", row.path
            )
        if away_of(self._met_away, row.path, row.filesystem_id) is None:
            self._met_away |= {Away(row.path, row.filesystem_id)}
            self._replace_away(self.away | self._met_away)
        return True

    def _seen(self, path: bytes, filesystem_id: int) -> None:
        """This file system is mounted here: what was away of it, here or around, is back."""
        if away_of(self.away, path, filesystem_id) is not None:
            back = {each for each in self.away if each.filesystem_id == filesystem_id and path.startswith(each.path)}
            self._met_away -= back
            self._replace_away(self.away - back)

    def _list(self, sight: Sight) -> _Listing:
        known_files: known.Stamps | None = {}
        if sight.row:
            known_files = known.files(sight.connection, sight.row.id, LARGE)
        stamps: known.Stamps = known_files or {}
        found: list[Found] = []
        directories: dict[bytes, tuple[bytes, int]] = {}
        files = met = 0
        is_reported = False
        old_ns = time.time_ns() - 6 * self._settle_ns
        with os.scandir(sight.fd) as entries:
            while slab := [(each.name.encode(_ENCODING, "surrogateescape"), each) for each in islice(entries, SLAB)]:
                if sight.row and known_files is None:
                    stamps = known.files_named(sight.connection, sight.row.id, [name for name, _ in slab])
                before = len(stamps)
                news, media_files = self._compare(sight, slab, stamps, directories, old_ns)
                found += news
                files += media_files
                met += before - len(stamps)
                self._reporting.beat()
                if len(found) >= SLAB:
                    self._report(sight, WALKED, found, (), ())
                    found, is_reported = [], True
        unseen: Iterable[list[bytes]] = _pages(list(stamps))
        if sight.row and known_files is None:
            unseen = self._unseen_of_large(sight, sight.row.id, met)
        return _Listing(found, directories, unseen, files, is_reported)

    def _compare(
        self,
        sight: Sight,
        slab: list[tuple[bytes, os.DirEntry[str]]],
        stamps: known.Stamps,
        directories: dict[bytes, tuple[bytes, int]],
        old_ns: int,
    ) -> tuple[list[Found], int]:
        """Take what is seen out of `stamps`; returns the files that are news, and the number of media files."""
        relative = sight.path[len(self._root) :]
        media_file = self._rules.media_file
        found: list[Found] = []
        files = 0
        for name, entry in slab:
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
            except OSError as error:
                self.unreadable.failed(sight.path, error)
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
        return found, files

    @staticmethod
    def _unseen_of_large(sight: Sight, directory_id: int, met: int) -> Iterator[list[bytes]]:
        """The known files that a listing which met so many of them did not show, each looked for by its name."""
        if known.count(sight.connection, directory_id) == met:
            return
        for page in known.names(sight.connection, directory_id, REPORTED):
            if gone := [name for name in page if not _is_there(sight.fd, name)]:
                yield gone

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
        for move in moves:
            self.unreadable.gone(move.former)
        row = known.directory(sight.connection, sight.path)
        return known.subdirectories(sight.connection, row.id) if row else {}

    def _report(
        self,
        sight: Sight,
        priority: int,
        found: Sequence[Found],
        absent: Sequence[bytes],
        gone: Sequence[bytes],
    ) -> None:
        for each in gone:
            self.unreadable.gone(each)
        empty = Report(self._root_id, sight.path, sight.place, sight.at_ns, priority, mounts=self.mounts)
        found = with_formers(sight, found)
        for start in range(0, max(1, len(found)), REPORTED):
            report = empty._replace(found=tuple(found[start : start + REPORTED]))
            if start + REPORTED >= len(found):
                report = report._replace(absent=tuple(absent), absent_directories=tuple(gone))
            self._reporting.reports([report])


def _stamp(status: os.stat_result, place: Place) -> Stamp:
    stamp = stamp_of(status)
    return stamp if place.inode is not None else stamp._replace(inode=None)


def _is_there(fd: int, name: bytes) -> bool:
    """Whether a directory holds a file of this name. True also when that cannot be seen."""
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _pages(names: list[bytes]) -> Iterator[list[bytes]]:
    return (names[start : start + REPORTED] for start in range(0, len(names), REPORTED))
