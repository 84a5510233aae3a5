"""Follows the hints of one root: looks at the names that are due, and asks for walks where a name is not enough.

Used by the keeper's thread only. A look opens a directory, compares the names with the catalog and closes it again.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from mediawatchd.catalog import known
from mediawatchd.catalog.directories import parent_and_name
from mediawatchd.watching.visitor import Covered
from mediawatchd.watching.walks import HINT, WalkRequest

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from mediawatchd.watching.hints import Hints, Names
    from mediawatchd.watching.rules import Rules
    from mediawatchd.watching.visitor import Visitor
    from mediawatchd.watching.walks import Walks

log = logging.getLogger(__name__)


class Lookout:
    """`open_directory` opens a directory of the root; `check_root` asks for a look at the root itself."""

    def __init__(
        self,
        *,
        root: bytes,
        rules: Rules,
        visitor: Visitor,
        hints: Hints,
        walks: Walks,
        open_directory: Callable[[bytes], int],
        check_root: Callable[[], None],
    ) -> None:
        self._root = root
        self._rules = rules
        self._visitor = visitor
        self._hints = hints
        self._walks = walks
        self._open_directory = open_directory
        self._check_root = check_root
        self._taken = 0

    def look(self, connection: sqlite3.Connection) -> int:
        """Look at the hints that are due; returns the mark up to which that is done."""
        batch = self._hints.take()
        if batch.everything:
            self._walks.ask(WalkRequest(self._root, "too_many_hints", self._taken + 1))
        names = dict(batch.names)
        for path in batch.walks:
            if path == self._root:
                self._ask_for_hinted(path)
            else:
                # Its parent is looked at first: what is new there may be known from elsewhere.
                parent, name = parent_and_name(path)
                names[parent] = {**names.get(parent, {}), name: False}
        for path in sorted(names):
            self._look_at(connection, path, names[path])
        self._taken = batch.mark
        return batch.mark

    def _look_at(self, connection: sqlite3.Connection, path: bytes, names: Names) -> None:
        relative = path[len(self._root) :]
        if not path.startswith(self._root) or (relative and self._rules.ignored_below(relative, True)):
            return
        row = known.directory(connection, path) if relative else None
        is_new = bool(relative) and row is None
        if is_new:
            # It may have moved here: then its files are known, and it moves before they would one by one.
            self._look_at_name(connection, path)
        try:
            fd = self._open_directory(path)
        except (FileNotFoundError, NotADirectoryError):
            if not relative:
                self._check_root()
            elif not is_new:
                # The directory itself is gone: what its parent shows counts for all that was in it.
                self._look_at_name(connection, path)
            return
        except OSError as error:
            # Nothing can be seen, and nothing changes.
            self._visitor.unreadable.failed(path, error)
            if not isinstance(error, PermissionError):
                self._check_root()  # a bad directory, or a bad disk: the look at the root itself tells which
            return
        try:
            if row is not None and row.inode not in {None, os.fstat(fd).st_ino}:
                # Another one than is known here: both may have moved.
                self._look_at_name(connection, path)
            with suppress(Covered):  # whatever was seen there says nothing of what is known
                for directory in self._visitor.names(connection, fd, path, names):
                    # One that moved in is asked for by the watcher when it is watched, and is walked only then.
                    if not names[directory[len(path) : -1]]:
                        self._ask_for_hinted(directory)
        finally:
            os.close(fd)

    def _look_at_name(self, connection: sqlite3.Connection, path: bytes) -> None:
        """Look at what a directory is in its parent."""
        parent, name = parent_and_name(path)
        self._look_at(connection, parent, {name: False})

    def _ask_for_hinted(self, path: bytes) -> None:
        # Older than the oldest hint of the batch: who waits for that one waits for this walk.
        mark = self._taken + 1
        if path == self._root:
            self._walks.ask(WalkRequest(path, "lost", mark))
        elif path.startswith(self._root) and not self._rules.ignored_below(path[len(self._root) :], True):
            self._walks.ask(WalkRequest(path, HINT, mark))
