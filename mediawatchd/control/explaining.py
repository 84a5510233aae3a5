"""One path explained: what is known of it, why it is in its state, and what happens next."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from mediawatchd.catalog import browse, perceptual
from mediawatchd.catalog.rows import FileRow, file_by_id
from mediawatchd.errors import Refused
from mediawatchd.model import PHASH, PROBE, QUICK_HASH, SECOND
from mediawatchd.paths import printable

if TYPE_CHECKING:
    from mediawatchd.catalog.database import Database
    from mediawatchd.watching.keeper import RootStatus
    from mediawatchd.watching.roots import Roots
    from mediawatchd.watching.rules import Rules


class Explanation(NamedTuple):
    """`state` is one word for scripts, `text` a sentence for a person."""

    state: str
    text: str


def explain(database: Database, roots: Roots, rules: Rules, path: bytes, *, paused: bool) -> dict[str, Any]:
    """Everything about one file. Raises Refused, 404, when the catalog has no row of that path, saying why."""
    with database.reader() as connection:
        fields = browse.file_at(connection, path)
        row = None if fields is None else file_by_id(connection, fields["id"])
        fingerprint = row is not None and perceptual.has_fingerprint(connection, row.id)
    keeper = roots.covering(path)
    if keeper is None:
        raise Refused(
            404, "not_found", f"{printable(path)} is below no root", hint="`mediawatchctl status` lists the roots."
        )
    status = next((status for status in roots.statuses() if status.id == keeper.root_id), keeper.status())
    if fields is None or row is None:
        raise Refused(404, "not_found", _why_unknown(status, path, rules), hint="")
    told = _explanation(row, status, database.clock.now_ns(), paused=paused)
    return {**fields, "fingerprint": fingerprint, "state": told.state, "why": told.text}


def _why_unknown(root: RootStatus, path: bytes, rules: Rules) -> str:
    relative = path[len(root.path) :]
    name = printable(path)
    if (rule := rules.which(relative, False)) is not None:
        return f"{name} is ignored by the rule {rule}"
    if rules.media_type(path.rpartition(b"/")[2]) is None:
        return f"{name} has none of the configured extensions"
    if root.state != "online":
        # Nor is it looked at: whoever asks must not hang on a dead disk.
        return f"{name} is not in the catalog, and its root is {root.state}: {root.message}"
    try:
        status = os.lstat(path)
    except OSError as error:
        return f"{name} is not in the catalog, and not on disk: {error.strerror}"
    if stat.S_ISLNK(status.st_mode):
        return f"{name} is a symbolic link; those are not followed, what it points to is catalogued where it lies"
    if not stat.S_ISREG(status.st_mode):
        return f"{name} is not a regular file"
    return f"{name} is on disk and not in the catalog yet; the next walk finds it"


def _explanation(row: FileRow, root: RootStatus, now_ns: int, *, paused: bool) -> Explanation:
    wait = max(0, row.due_ns - now_ns) / SECOND
    if row.missing_since is not None:
        return Explanation("missing", "It is gone from its disk; what is known of it is kept for a while.")
    if root.state != "online":
        return Explanation("offline", f"Its root is {root.state}: {root.message}. Nothing changes until it is back.")
    if row.held:
        return Explanation("held", "It is not there, but too many files went at once: confirm-missing lets them go.")
    if row.absent_ns is not None:
        return Explanation("absent", "It was not there at the last look; a second look decides.")
    if row.problem is not None:
        of = row.problem_lacks or 0
        if of & (row.lacks & ~PHASH | row.wanted):
            again = f"It is tried again in {wait:.0f} s."
        else:
            again = f"It is not tried again until it changes or a {'phash' if of & PHASH else 'scan'} is asked for."
        return Explanation("problem", f"{row.problem.rstrip('.')}. {again}")
    if not (row.wanted or row.lacks & (QUICK_HASH | PROBE)):
        return Explanation("ready", "Everything is known.")
    if paused:
        return Explanation("paused", "Hashing is paused.")
    if wait > 0:
        return Explanation("settling", f"It changed a moment ago; it is read after {wait:.0f} s more without a change.")
    return Explanation("queued", "It waits for a worker.")
