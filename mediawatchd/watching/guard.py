"""The mount guard: whether what is mounted at a root is what the catalog knows.

Called by the keeper of the root when it starts, when the mount table has changed, and when a person accepted
what is mounted. Nothing the catalog knows may be lost because a disk was away: only `online` roots are looked at.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog import known, roots
from mediawatchd.catalog.directories import below
from mediawatchd.model import stamp_of
from mediawatchd.paths import shell_word, unslashed

if TYPE_CHECKING:
    import sqlite3

    from mediawatchd.catalog.transaction import RootRow
    from mediawatchd.model import RootState, Stamp
    from mediawatchd.watching.places import FileSystem, Places
    from mediawatchd.watching.reporting import Reporting

SAMPLED = 16


class Verdict(NamedTuple):
    """A root's state, why, and what a person can do. `mount_id` tells one mount from the next at the same place."""

    state: RootState
    message: str | None = None
    hint: str | None = None
    mount_id: int | None = None
    events_reliable: bool = True
    network: bool = False


def judge(
    connection: sqlite3.Connection, reporting: Reporting, places: Places, root: RootRow, *, accepting: bool
) -> Verdict:
    """Look at a root's folder and say what state the root is in. Blocks as long as its disk does.

    `accepting`: a person has said that what is mounted now is the root's from now on.
    """
    try:
        fd = os.open(root.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            status = os.stat(b".", dir_fd=fd)  # fails where the folder may be listed but not entered
            filesystem = places.filesystem(fd, status)
            if accepting:
                reporting.call(lambda tx: roots.accept(tx, root.id, filesystem.id))
                return _online(filesystem)
            return _judge(connection, reporting, root, filesystem, fd)
        finally:
            os.close(fd)
    except FileNotFoundError:
        return Verdict("offline", "the folder is not there", "Mount its disk, or correct scan_dirs.")
    except NotADirectoryError:
        return Verdict("error", "this is not a folder", "Correct scan_dirs.")
    except PermissionError:
        return Verdict(
            "error",
            "permission denied",
            "Give the daemon's user the right to list and enter the folder, e.g. through its group.",
        )
    except OSError as error:
        return Verdict("error", error.strerror or str(error), "Check the disk and its connection; it is tried again.")


def _judge(
    connection: sqlite3.Connection, reporting: Reporting, root: RootRow, filesystem: FileSystem, fd: int
) -> Verdict:
    identity = filesystem.identity
    sample = known.sample(connection, below(root.path), SAMPLED)
    same = root.filesystem_id == filesystem.id
    if same and (identity.kind == "uuid" or not sample or _any_there(sample)):
        return _online(filesystem)
    if not same and (
        root.filesystem_id is None
        or not sample
        or (roots.identity(connection, root.filesystem_id) in identity.aliases and _any_there(sample))
    ):
        # Nothing is known of another one here, or it is known by a weaker name, from an older kernel.
        reporting.call(lambda tx: roots.accept(tx, root.id, filesystem.id))
        return _online(filesystem)
    with os.scandir(fd) as entries:
        empty = next(entries, None) is None
    if empty:
        return Verdict("offline", "the folder is empty: its disk does not seem to be mounted", "Mount its disk.")
    return Verdict(
        "replaced",
        f"another file system ({identity.type}) is mounted here than the one the catalog knows",
        "Mount the right disk, or run: mediawatchctl accept-root " + shell_word(unslashed(root.path)),
    )


def _online(filesystem: FileSystem) -> Verdict:
    identity = filesystem.identity
    return Verdict("online", None, None, filesystem.mount.id, identity.events_reliable, identity.network)


def _any_there(sample: list[tuple[bytes, Stamp]]) -> bool:
    for path, stamp in sample:
        try:
            seen = stamp_of(os.lstat(path))
        except OSError:
            continue
        if seen.size == stamp.size and abs(seen.mtime_ns - stamp.mtime_ns) < 1_000:
            return True
    return False
