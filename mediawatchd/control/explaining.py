"""One path explained: what is known of it, why it is in its state, since when, and what happens next.

Runs on the thread of whoever asks. What is in the catalog is explained from its row; nothing here touches the disk.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from mediawatchd.catalog import browse, offers, perceptual, standing
from mediawatchd.catalog import roots as root_rows
from mediawatchd.catalog.browse import path_fields
from mediawatchd.catalog.rows import FileRow, file_by_id
from mediawatchd.control.unknown import why_unknown
from mediawatchd.errors import Refused
from mediawatchd.model import PHASH, PROBE, QUICK_HASH, SECOND, away_of
from mediawatchd.paths import printable, shell_word, unslashed
from mediawatchd.work.progress import iso_time

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from mediawatchd.catalog.database import Database
    from mediawatchd.catalog.transaction import RootRow
    from mediawatchd.config import Config
    from mediawatchd.model import Away
    from mediawatchd.watching.roots import Roots
    from mediawatchd.watching.rules import Rules
    from mediawatchd.watching.status import RootStatus
    from mediawatchd.work.queue import WorkQueue


class Explanation(NamedTuple):
    """`state` is one word for scripts, `why` and `next` are sentences for a person; times in Unix seconds."""

    state: str
    why: str
    since: float | None = None
    next: str | None = None
    next_at: float | None = None


class Standing(NamedTuple):
    """What a row is judged by beside itself: its root, the clocks, and the queues."""

    connection: sqlite3.Connection
    root: RootStatus
    root_row: RootRow
    now_ns: int
    config: Config
    paused: bool
    queues: Mapping[int, WorkQueue]
    away: frozenset[Away]

    def unix(self, catalog_ns: int) -> float:
        """A point of catalog time on the wall clock, as if the daemon had run ever since."""
        return time.time() + (catalog_ns - self.now_ns) / SECOND


def explain(
    database: Database,
    roots: Roots,
    rules: Rules,
    path: bytes,
    *,
    paused: bool,
    config: Config,
    queues: Mapping[int, WorkQueue],
) -> dict[str, Any]:
    """Everything about one file or folder. Raises Refused, 404, when the catalog has none of that path, saying why."""
    keeper = roots.covering(path)
    if keeper is None:
        raise Refused(
            404,
            "not_found",
            f"{printable(path)} is below no root",
            hint="`mediawatchctl status` lists the roots.",
            detail={"state": "outside"},
        )
    root = next((status for status in roots.statuses() if status.id == keeper.root_id), keeper.status())
    with database.reader() as connection:
        fields = browse.file_at(connection, path)
        row = None if fields is None else file_by_id(connection, fields["id"])
        if fields is not None and row is not None:
            standing_of = Standing(
                connection,
                root,
                root_rows.root(connection, root.id),
                database.clock.now_ns(),
                config,
                paused,
                queues,
                keeper.away(),
            )
            told = _unreadable(row, root, path) or _file(row, standing_of)
            found = {
                **fields,
                **standing.metadata(connection, row.id),
                "fingerprint": perceptual.has_fingerprint(connection, row.id),
            }
            return {**found, **_fields(told)}
        folder_path = path.rstrip(b"/") + b"/"
        folder = standing.folder(connection, folder_path)
    if folder is not None:
        return {
            **path_fields("path", path),
            **path_fields("root", unslashed(root.path)),
            **folder,
            **_fields(_folder(folder, root, folder_path)),
        }
    raise why_unknown(root, path, rules)


def _fields(told: Explanation) -> dict[str, Any]:
    return {
        "state": told.state,
        "why": told.why,
        "since": iso_time(told.since),
        "next": told.next,
        "next_at": iso_time(told.next_at),
    }


def _unreadable(row: FileRow | None, root: RootStatus, path: bytes) -> Explanation | None:
    """How a present file, or a folder with a slash at its end, stands that lies in a directory that cannot be read."""
    if root.state != "online" or (row is not None and row.missing_since is not None):
        return None
    for directory in root.unreadable:
        if directory.path != root.path and path.startswith(directory.path):
            name = printable(directory.path.rstrip(b"/"))
            why = f"{name} could not be read: {directory.reason}. What is known stays as it is."
            following = "That folder is walked again."
            return Explanation("unreadable", why, directory.since, following, directory.next_attempt)
    return None


def _folder(folder: Mapping[str, int], root: RootStatus, path: bytes) -> Explanation:
    if root.state != "online":
        return _offline(root)
    if (told := _unreadable(None, root, path)) is not None:
        return told
    files = "1 media file" if folder["files"] == 1 else f"{folder['files']:,} media files"
    return Explanation(
        "folder", f"It is a folder with {files} in all.", next="It is walked again.", next_at=root.next_walk
    )


def _file(row: FileRow, of: Standing) -> Explanation:
    root = of.root
    if row.missing_since is not None:
        return _missing(row, of)
    if root.state != "online":
        return _offline(root)
    if (told := _away(row, of)) is not None:
        return told
    if row.held:
        name = shell_word(unslashed(root.path))
        return Explanation(
            "held",
            "It is not there, but too many files went at once to believe it: confirm-missing lets them go.",
            None if row.absent_ns is None else of.unix(row.absent_ns),
            f"Nothing changes until it is back, or a person runs: mediawatchctl confirm-missing {name}",
        )
    if row.absent_ns is not None:
        decided = of.unix(row.absent_ns) + 2 * of.config.watch.settle_seconds
        why = "It was not there at the last look; a second look decides."
        return Explanation("absent", why, of.unix(row.absent_ns), "It becomes missing if it is still gone.", decided)
    if row.problem is not None:
        return _problem(row, of)
    if not (row.wanted or row.lacks & (QUICK_HASH | PROBE)):
        return Explanation(
            "ready", "Everything is known.", row.hashed_at, "It is compared with the disk again.", root.next_walk
        )
    if of.paused:
        return Explanation("paused", "Hashing is paused.", next="It goes on with: mediawatchctl resume")
    if row.due_ns > of.now_ns:
        wait = (row.due_ns - of.now_ns) / SECOND
        why = f"It changed a moment ago; it is read after {wait:.0f} s more without a change."
        return Explanation("settling", why, of.unix(row.fact_ns), "It is read.", of.unix(row.due_ns))
    return _queued(row, of)


def _missing(row: FileRow, of: Standing) -> Explanation:
    why = "It is gone from its disk; what is known of it is kept for a while."
    counted = (of.root_row.online_ns - (row.missing_online_ns or 0)) / SECOND
    left = max(0.0, of.config.missing.keep_days * 86_400 - counted)
    walks = max(0, 2 - (of.root_row.walks - (row.missing_walks or 0)))
    conditions = [f"{left / 3600:.0f} h with its root online"] if left else []
    conditions += [f"{walks} more walk{'s' if walks > 1 else ''} of its root"] if walks else []
    following = (
        f"It is forgotten after {' and '.join(conditions)}." if conditions else "It is forgotten within an hour."
    )
    if of.root.state != "online":
        following += f" Its root is {of.root.state}, so no time counts."
        return Explanation("missing", why, row.missing_since, following)
    return Explanation("missing", why, row.missing_since, following, time.time() + left)


def _offline(root: RootStatus) -> Explanation:
    why = f"Its root is {root.state}: {root.message}. Nothing changes until it is back."
    following = "The root is looked at again." + (f" {root.hint}" if root.hint else "")
    return Explanation("offline", why, root.since, following, root.next_attempt)


def _away(row: FileRow, of: Standing) -> Explanation | None:
    """How a file stands whose own disk, mounted below the root, is not there."""
    away = away_of(of.away, *root_rows.place_of(of.connection, row.directory_id))
    if away is None:
        return None
    name = printable(unslashed(away.path))
    why = f"The disk that it is on is not mounted at {name}. Nothing changes until it is back."
    return Explanation("offline", why, next="It is looked at again when something is mounted there.")


def _problem(row: FileRow, of: Standing) -> Explanation:
    kind = row.problem_lacks or 0
    problem = f"{(row.problem or '').rstrip('.')}."
    if kind & (row.lacks & ~PHASH | row.wanted):
        wait = max(0, row.due_ns - of.now_ns) / SECOND
        why = f"{problem} It is tried again in {wait:.0f} s."
        return Explanation("problem", why, row.problem_since, "It is tried again.", of.unix(row.due_ns))
    command = "phash" if kind & PHASH else "scan"
    why = f"{problem} It is not tried again until it changes or a {command} is asked for."
    return Explanation("problem", why, row.problem_since, f"It is tried again by: mediawatchctl {command}")


def _queued(row: FileRow, of: Standing) -> Explanation:
    kind = QUICK_HASH if row.lacks & QUICK_HASH else PROBE if row.lacks & PROBE else PHASH
    what = {QUICK_HASH: "hashed", PROBE: "probed", PHASH: "perceptually hashed"}[kind]
    since, following = of.unix(row.due_ns), f"It is {what}."
    queue = of.queues.get(kind)
    if queue is not None and queue.is_taken(row.id):
        return Explanation("queued", "A worker has it now.", since, following)
    place = offers.Cursor(row.due_ns, row.id)
    before = offers.ahead(of.connection, kind, row.priority, place, of.now_ns, look_at=standing.MOST_AHEAD)
    more = "more than " if before == standing.MOST_AHEAD else ""
    behind = f", behind {more}{before:,} other{'s' if before > 1 else ''}" if before else ""
    return Explanation("queued", f"It waits for a worker{behind}.", since, following)
