"""Finds which known file or directory a newly seen one may have been.

Used by the keeper's thread that saw it. Inodes are given out again (ext4 reused one 200 times of 200), so an inode
alone proves nothing: a file must have size and time too, a directory must still hold a known file, and the old
path must have been seen not to hold that inode any more. The writer checks all of it against the rows.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog import known
from mediawatchd.catalog.directories import below
from mediawatchd.model import DirectoryMove, Former, Found, Place, stamp_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from mediawatchd.catalog.known import KnownDirectory, KnownFile

SAMPLED = 16


class Sight(NamedTuple):
    """One look at one open directory; `row` is what the catalog knows of it, `at_ns` when the look began."""

    connection: sqlite3.Connection
    root_id: int
    fd: int
    path: bytes
    row: KnownDirectory | None
    place: Place
    at_ns: int


def directory_moves(sight: Sight, strange: dict[int, tuple[bytes, bytes]]) -> Iterator[DirectoryMove]:
    """Of directories not known where they are, by inode with path and name, those that are known from elsewhere."""
    candidates: dict[int, list[KnownDirectory]] = {}
    for row in known.directories_with_inodes(sight.connection, sight.place.filesystem_id, list(strange)):
        assert row.inode is not None
        if row.path != strange[row.inode][0]:
            candidates.setdefault(row.inode, []).append(row)
    for inode, rows in candidates.items():
        path, name = strange[inode]
        here = [row for row in rows if _left(row.path[:-1], inode) and _holds_known_file(sight, name, row)]
        if len(here) == 1:
            place = sight.place._replace(inode=inode)
            yield DirectoryMove(sight.root_id, here[0].id, here[0].path, path, place, sight.at_ns)


def with_formers(sight: Sight, found: Sequence[Found]) -> Sequence[Found]:
    """The found files, those that exactly one known row may have moved to with that row."""
    inodes = [one.stamp.inode for one in found if one.stamp.inode is not None]
    rows: dict[int | None, list[KnownFile]] = {}
    for row in known.files_with_inodes(sight.connection, sight.place.filesystem_id, inodes):
        rows.setdefault(row.inode, []).append(row)
    if not rows:
        return found
    return [one._replace(former=_former(sight.path, one, rows.get(one.stamp.inode, []))) for one in found]


def _former(path: bytes, found: Found, rows: list[KnownFile]) -> Former | None:
    left = [
        row
        for row in rows
        if (row.size, row.mtime_ns) == found.stamp[:2]
        and (row.directory, row.name) != (path, found.name)
        and (row.missing or _left(row.directory + row.name, row.inode))
    ]
    # A file that has just left its path is likelier to be meant than one that went before, such as a hard link.
    candidates = [row for row in left if not row.missing] or left
    if len(candidates) != 1:
        return None
    return Former(candidates[0].id, candidates[0].directory, candidates[0].name)


def _left(path: bytes, inode: int) -> bool:
    """Whether a path no longer holds an inode. False also when that cannot be seen."""
    try:
        return stamp_of(os.lstat(path)).inode != inode
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def _holds_known_file(sight: Sight, name: bytes, row: KnownDirectory) -> bool:
    """Whether a known file of a directory's row is in the directory that has its inode now, or may be: what cannot be
    seen there must not be missed at the old path. A guess that was wrong is found out when it can be seen. Of a row
    that is gone nothing can be missed any more, and its inode may be another's long since: no guess is made.
    """
    unseen = False
    for path, stamp in known.sample(sight.connection, below(row.path), SAMPLED, gone=bool(row.gone)):
        try:
            status = os.stat(name + b"/" + path[len(row.path) :], dir_fd=sight.fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            unseen = True
            continue
        seen = stamp_of(status)
        if (seen.size, seen.mtime_ns, seen.inode) == (stamp.size, stamp.mtime_ns, stamp.inode):
            return True
    return unseen and not row.gone
