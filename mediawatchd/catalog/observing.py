"""What a report means: new, changed, moved, restored, missing. Decided inside the writer's transaction.

Used by the writer thread only; it never touches the disk. A fact older than the row's last fact is dropped.
Ids follow content: a known file found under another name keeps its row, and a row whose name was taken over
by another known file becomes missing unless it turns up in the same set of reports.
"""

from __future__ import annotations

from functools import cache
from itertools import chain
from typing import TYPE_CHECKING

from mediawatchd.catalog import perceptual
from mediawatchd.catalog.legacy import same_time
from mediawatchd.catalog.missing import Missing, make_missing
from mediawatchd.catalog.rows import FileRow, everything, file_by_id, is_text, missing_files, present_file
from mediawatchd.catalog.transaction import Look, Transaction
from mediawatchd.model import LIVE, QUICK_HASH, SECOND, Stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mediawatchd.catalog.directories import DirectoryRow
    from mediawatchd.model import Found, Report

LONGEST_SETTLE_NS = 300 * SECOND

ROWS_AT_ONCE = 50
"""How many rows one statement inserts: half the cost of one row a statement, and Python's lock is let go less often."""


class Observing:
    """Applies reports; the only state is what `Missing` remembers for its breaker."""

    def __init__(self, *, mounts_unchanged: Callable[[int, bytes], bool]) -> None:
        self._missing = Missing(mounts_unchanged=mounts_unchanged)

    def committed(self, tx: Transaction) -> None:
        """What was decided in a transaction is stored: only now does it count for the breaker."""
        self._missing.committed(tx)

    def apply(self, tx: Transaction, reports: Iterable[Report]) -> None:
        """Take the reports of one set of looks: creations first, absences after them."""
        displaced: dict[int, int] = {}
        seen: list[tuple[Report, DirectoryRow]] = []
        for report in reports:
            root = tx.roots.get(report.root_id)
            if root is None or not root.configured:
                continue
            directory = tx.directories.ensure(root, report.directory, report.place, report.at_ns)
            seen.append((report, directory))
            if tx.directories.is_new(directory.id) and not any(found.former for found in report.found):
                _insert(tx, report, directory, report.found)
                continue
            # What moved leaves its path first: something new may have taken that.
            for found in sorted(report.found, key=lambda found: found.former is None):
                _observe(tx, report, directory, found, displaced)
        for file_id, at_ns in displaced.items():
            row = file_by_id(tx.connection, file_id)
            if row is not None and row.missing_since is not None:
                make_missing(tx, [row], at_ns, detail="overwritten")
        for report, directory in seen:
            if report.absent or report.absent_directories:
                self._missing.apply(tx, report, directory)


def _observe(tx: Transaction, report: Report, directory: DirectoryRow, found: Found, displaced: dict[int, int]) -> None:
    """`displaced` are the rows whose path another one took, with when that was seen."""
    row = present_file(tx.connection, directory.id, found.name)
    if row is not None and report.at_ns < row.fact_ns:
        _dropped(tx, report, found)
        return
    former = None if found.former is None else file_by_id(tx.connection, found.former.file_id)
    if former is not None and _has_moved_on(tx, report, found, former):
        _dropped(tx, report, found)
        return
    if former is not None and not _is_former(tx, report, found, former):
        former = None
    # Where size and time are those of both rows, the inode tells which it is.
    if row is not None and _same_content(row, found.stamp) and (former is None or row.inode in {None, former.inode}):
        _seen_again(tx, report, row, found)
        return
    gone = [] if row is not None else missing_files(tx.connection, directory.id, found.name)
    # One that comes back to its path is not another with the same inode: that was a hard link of it.
    back = [
        each for each in gone if _same_content(each, found.stamp) and (former is None or each.inode == former.inode)
    ]
    if former is not None and not back:
        if row is not None:
            # Off the path without a word: it may turn up under another name in this very set.
            displaced[row.id] = report.at_ns
            tx.store(row, row._replace(missing_since=int(tx.time)))
        came_back = former.missing_since is not None and displaced.pop(former.id, None) is None
        _move(tx, report, directory, former, found, came_back=came_back)
    elif row is not None:
        _changed(tx, report, row, found)
    elif any(report.at_ns < each.fact_ns for each in gone):
        _dropped(tx, report, found)
    elif back:
        _restore(tx, report, back[0], found)
    else:
        _insert(tx, report, directory, (found,))


def _dropped(tx: Transaction, report: Report, found: Found) -> None:
    """What is known by now is later than what was seen, or of another path: only another look can say."""
    tx.looks.append(Look(report.root_id, report.directory, found.name, 0))


def _insert(tx: Transaction, report: Report, directory: DirectoryRow, found_files: Iterable[Found]) -> None:
    now = int(tx.time)
    rows: list[tuple[object, ...]] = []
    for found in found_files:
        lacks, wanted = everything(found.media_type), tx.wants(found.media_type)
        rows.append(
            (directory.id, found.name, is_text(found.name), found.media_type, *found.stamp, report.at_ns,
             report.at_ns + found.settle_ns, report.priority, lacks, wanted, now)
        )  # fmt: skip
        tx.totals.insert(report.root_id, found.media_type, found.stamp.size, wanted)
        tx.tell("added", report.root_id, directory.path + found.name, detail=report.noticed())
    for start in range(0, len(rows), ROWS_AT_ONCE):
        together = rows[start : start + ROWS_AT_ONCE]
        tx.connection.execute(_insertion(len(together)), tuple(chain.from_iterable(together)))
    tx.discovered += len(rows)


@cache
def _insertion(rows: int) -> str:
    row = f"({', '.join('?' * 15)})"
    return (
        "INSERT INTO media_files (directory_id, name, name_is_text, media_type, size, mtime_ns, ctime_ns, inode, "
        f"links, fact_ns, due_ns, priority, lacks, wanted, first_seen) VALUES {', '.join([row] * rows)}"
    )


def _seen_again(tx: Transaction, report: Report, row: FileRow, found: Found) -> None:
    """Same content as far as size and time say; the rest of the stamp may have moved."""
    new = row._replace(absent_ns=None, held=0, hidden=0)
    if found.stamp != row.stamp:
        new = _restamped(new, found.stamp, report.at_ns + found.settle_ns)
        new = new._replace(fact_ns=report.at_ns, priority=report.priority)
    elif report.priority == LIVE and row.lacks & QUICK_HASH and row.problem is None:
        # Closed at last, or touched again without a change: wait for the quiet that this hint asks for.
        new = new._replace(due_ns=report.at_ns + found.settle_ns, priority=LIVE)
    tx.store(row, new)


def _changed(tx: Transaction, report: Report, row: FileRow, found: Found) -> None:
    # What was hashed before, or could not be, has come to rest in between.
    restless = bool(row.lacks & QUICK_HASH) and row.former_quick_hash is None and row.problem is None
    attempts = row.attempts + 1 if restless else 0
    settle_ns = min(LONGEST_SETTLE_NS, found.settle_ns << min(attempts, 20)) if found.settle_ns else 0
    if not restless:
        tx.tell("changed", report.root_id, tx.path(row), detail=report.noticed("other size or time"))
    tx.store(
        row,
        _forgotten(row, found, tx.wants(found.media_type))._replace(
            fact_ns=report.at_ns,
            due_ns=report.at_ns + settle_ns,
            priority=report.priority,
            attempts=attempts,
        ),
    )
    drop_probe(tx, row.id)
    perceptual.drop(tx, row.id)


def _move(
    tx: Transaction, report: Report, directory: DirectoryRow, row: FileRow, found: Found, *, came_back: bool
) -> None:
    """`came_back`: it was missing, and whatever happened to it meanwhile nobody has seen."""
    former = tx.path(row)
    new = row._replace(
        directory_id=directory.id,
        name=found.name,
        fact_ns=report.at_ns,
        absent_ns=None,
        held=0,
        hidden=0,
        missing_since=None,
        missing_online_ns=None,
        missing_walks=None,
    )
    new = _restamped(new, found.stamp, report.at_ns + found.settle_ns) if came_back else new.with_stamp(found.stamp)
    tx.store(row, new.with_kind(found.media_type, tx.wants(found.media_type)))
    if former != directory.path + found.name:
        path, detail = directory.path + found.name, report.noticed("known by its inode")
        tx.tell("moved", report.root_id, path, former=former, detail=detail)


def _restore(tx: Transaction, report: Report, row: FileRow, found: Found) -> None:
    back = row._replace(missing_since=None, missing_online_ns=None, missing_walks=None, hidden=0, fact_ns=report.at_ns)
    if found.stamp != row.stamp:
        back = _restamped(back, found.stamp, report.at_ns + found.settle_ns)
    tx.store(row, back)
    tx.tell("restored", report.root_id, tx.path(row), detail=report.noticed("back at its path"))


def _has_moved_on(tx: Transaction, report: Report, found: Found, row: FileRow) -> bool:
    """Whether a row stands where the observer did not see it gone from, or was seen where it stands since then.

    Two roots are looked at by two threads, and a file may move on between their looks.
    """
    assert found.former is not None
    if row.fact_ns > report.at_ns and row.missing_since is None and row.absent_ns is None:
        return True
    # Its directory may have moved meanwhile, with all that was known to be in it: a file with one link, seen here, is
    # not there.
    directory_moved = tx.directory(row).path != found.former.directory
    return row.name != found.former.name or (directory_moved and found.stamp.links != 1)


def _is_former(tx: Transaction, report: Report, found: Found, row: FileRow) -> bool:
    """Whether the file of a row is the one that was found, by inode, size and time on the same file system."""
    return tx.directory(row).filesystem_id == report.place.filesystem_id and (row.inode, row.size, row.mtime_ns) == (
        found.stamp.inode,
        found.stamp.size,
        found.stamp.mtime_ns,
    )


def _same_content(row: FileRow, stamp: Stamp) -> bool:
    if row.size != stamp.size:
        return False
    if row.ctime_ns is None:  # an upgraded row: its time was kept in microseconds
        return same_time(stamp.mtime_ns, row.mtime_ns)
    return row.mtime_ns == stamp.mtime_ns


def _restamped(row: FileRow, stamp: Stamp, due_ns: int) -> FileRow:
    """A field that was empty is filled in, one that means nothing here is emptied; any other difference means that the
    quick hash must be taken again."""
    fields = zip(row.stamp[2:], stamp[2:], strict=True)
    differs = any(was != now and None not in {was, now} for was, now in fields)
    new = row.with_stamp(stamp)
    if not differs:
        return new
    if row.quick_hash is None:
        # Not settled yet, or it could not be read: what was changed may be the right to read it.
        if (row.problem_lacks or 0) & QUICK_HASH:
            new = new.without_problem()
        return new._replace(due_ns=due_ns)
    return new._replace(
        former_quick_hash=row.quick_hash, quick_hash=None, lacks=row.lacks | QUICK_HASH, due_ns=due_ns, attempts=0
    )


def _forgotten(row: FileRow, found: Found, wanted: int) -> FileRow:
    """The row of a file whose content is another one now, of which `wanted` is waited for."""
    new = row.with_kind(found.media_type, wanted)
    new = new._replace(
        media_type=found.media_type,
        lacks=everything(found.media_type),
        wanted=new.wanted | wanted,
        quick_hash=None,
        former_quick_hash=None,
        hashed_at=None,
        video_phash=None,
        absent_ns=None,
        held=0,
        hidden=0,
    )
    return new.without_problem().with_stamp(found.stamp)


def drop_probe(tx: Transaction, file_id: int) -> None:
    """Forget what was probed: it belonged to other bytes."""
    tx.connection.execute(
        "UPDATE media_files SET container_format = NULL, duration = NULL, bitrate = NULL WHERE id = ?", (file_id,)
    )
    for table in ("video_metadata", "audio_metadata", "vr_metadata"):
        tx.connection.execute(f"DELETE FROM {table} WHERE file_id = ?", (file_id,))
