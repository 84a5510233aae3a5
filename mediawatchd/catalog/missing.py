"""When a file that is not there becomes missing, when too many at once are held, and when rows are purged.

Used by the writer thread only. A wrong delete is worse than a late one: an absence is remembered at the
first look and believed at a second one, at least twice the settle time later, and only while the mount table
is the one under which the looks were made.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from typing import TYPE_CHECKING

from mediawatchd.catalog.directories import below, index_for_deleting, parent_and_name
from mediawatchd.catalog.recognition import copy_of, move
from mediawatchd.catalog.rows import COLUMNS, FileRow, present_file
from mediawatchd.catalog.transaction import Look, Transaction
from mediawatchd.model import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mediawatchd.catalog.directories import DirectoryRow
    from mediawatchd.model import Report

log = logging.getLogger(__name__)

HOUR_NS = 3600 * SECOND
AT_ONCE = 5_000
"""Rows changed in one transaction at most, so that a writer with a million of them still shows that it lives."""


class Missing:
    """Decides on absences; remembers for an hour how many files of a root went."""

    def __init__(self, *, mounts_unchanged: Callable[[int, bytes], bool]) -> None:
        self._mounts_unchanged = mounts_unchanged
        self._recent: dict[int, deque[tuple[int, int]]] = {}

    def committed(self, tx: Transaction) -> None:
        """Remember what went in a transaction; one that is rolled back is tried again, and must not count twice."""
        for path, holds in tx.holding:
            if holds:
                log.warning("Deletions are held until a person confirms them or the files are back root=%s", path)
            else:
                log.info("No deletions are held any more root=%s", path)
        for root_id, files in tx.went:
            self._recent.setdefault(root_id, deque()).append((tx.now_ns, files))

    def apply(self, tx: Transaction, report: Report, directory: DirectoryRow) -> None:
        """Take the absences of a report."""
        if directory.filesystem_id != report.place.filesystem_id:
            return
        if not self._mounts_unchanged(report.mounts, report.directory):
            # Nothing is believed of this look; another one, under the table as it is then, must not be forgotten.
            tx.looks += [Look(report.root_id, report.directory, name, tx.policy.settle_ns) for name in report.absent]
            tx.looks += [_look_at(report, path, tx.policy.settle_ns) for path in report.absent_directories]
            return
        due = []
        for name in report.absent:
            row = present_file(tx.connection, directory.id, name)
            if row is None or report.at_ns < row.fact_ns or row.held:
                continue
            if row.absent_ns is None:
                tx.store(row, row._replace(absent_ns=report.at_ns, fact_ns=report.at_ns))
                tx.looks.append(Look(report.root_id, report.directory, name, 2 * tx.policy.settle_ns))
            elif (left_ns := _wait_ns(tx, report, row.absent_ns)) > 0:
                tx.looks.append(Look(report.root_id, report.directory, name, left_ns))
            else:
                due.append(row)
        if due:
            self._decide(tx, report, report.directory, due, report.noticed("deleted"))
        for path in report.absent_directories:
            self._directory_absent(tx, report, path)

    def _directory_absent(self, tx: Transaction, report: Report, path: bytes) -> None:
        directory = tx.directories.present(path)
        if directory is None or report.at_ns < directory.fact_ns:
            return
        if directory.filesystem_id not in {None, report.place.filesystem_id}:
            return  # its own file system is not mounted here now
        if directory.absent_ns is None:
            tx.connection.execute(
                "UPDATE directories SET absent_ns = ?, fact_ns = ? WHERE id = ?",
                (report.at_ns, report.at_ns, directory.id),
            )
            tx.directories.clear()
            tx.looks.append(_look_at(report, path, 2 * tx.policy.settle_ns))
            return
        if (left_ns := _wait_ns(tx, report, directory.absent_ns)) > 0:
            tx.looks.append(_look_at(report, path, left_ns))
            return
        # What was seen on another file system than is there now may be unmounted, not deleted. What was not seen itself
        # (NULL) is known only for what was below it.
        there = (*below(path), report.place.filesystem_id, report.place.filesystem_id)
        rows = tx.connection.execute(
            f"SELECT {', '.join('f.' + column for column in FileRow._fields)} FROM directories AS d "
            "JOIN media_files AS f ON f.directory_id = d.id "
            "WHERE d.path >= ? AND d.path < ? AND NOT d.gone AND coalesce(d.filesystem_id, ?) = ? "
            "AND f.missing_since IS NULL AND NOT f.held LIMIT ?",
            (*there, AT_ONCE),
        ).fetchall()
        if rows:
            files = [FileRow._make(row) for row in rows]
            self._decide(tx, report, path, files, report.noticed("its folder is gone"))
        if len(rows) == AT_ONCE:
            tx.looks.append(_look_at(report, path, 0))
            return
        # A directory stays for as long as something at or below it does: held files, or another file system.
        tx.connection.execute(
            "UPDATE directories SET gone = 1, absent_ns = NULL WHERE path >= ? AND path < ? AND NOT gone "
            "AND NOT EXISTS (SELECT 1 FROM directories AS d WHERE NOT d.gone AND d.path >= directories.path "
            "AND d.path < CAST(substr(directories.path, 1, length(directories.path) - 1) || '0' AS BLOB) "
            "AND (coalesce(d.filesystem_id, ?) <> ? OR EXISTS ("
            "SELECT 1 FROM media_files WHERE directory_id = d.id AND missing_since IS NULL)))",
            there,
        )
        # Those that stay wait for nothing more: one that was seen absent by itself before has no parent any more, so it
        # would never be looked for again.
        tx.connection.execute(
            "UPDATE directories SET absent_ns = NULL "
            "WHERE path >= ? AND path < ? AND absent_ns IS NOT NULL AND NOT gone",
            below(path),
        )
        tx.directories.clear()

    def _decide(self, tx: Transaction, report: Report, folder: bytes, rows: list[FileRow], cause: str) -> None:
        """Make the rows, of files that were in `folder`, missing, or hold them."""
        root_id = report.root_id
        if self._too_many(tx, root_id, len(rows)):
            for row in rows:
                tx.store(row, row._replace(held=1, absent_ns=row.absent_ns or tx.now_ns))
            files = "1 file" if len(rows) == 1 else f"{len(rows)} files"
            tx.tell("held", root_id, folder, detail=report.noticed(f"{files} gone at once"))
            return
        _let_go(tx, rows, report.at_ns, detail=cause)
        tx.went.append((root_id, len(rows)))

    def _too_many(self, tx: Transaction, root_id: int, files: int) -> bool:
        if tx.policy.hold_share is None:
            return False
        recent = self._recent.setdefault(root_id, deque())
        while recent and tx.now_ns - recent[0][0] > HOUR_NS:
            recent.popleft()
        gone = sum(count for _, count in recent) + sum(count for root, count in tx.went if root == root_id)
        totals = tx.totals.of(root_id)
        waiting = totals["absent"] + self._below_absent_directories(tx, root_id)
        going = gone + max(files, waiting)
        return going > tx.policy.hold_files and going > tx.policy.hold_share * (totals["files"] + gone)

    def _below_absent_directories(self, tx: Transaction, root_id: int) -> int:
        count = 0
        for (path,) in tx.connection.execute(
            "SELECT path FROM directories WHERE absent_ns IS NOT NULL AND NOT gone AND root_id = ?", (root_id,)
        ).fetchall():
            count += tx.connection.execute(
                "SELECT count(*) FROM directories AS d JOIN media_files AS f ON f.directory_id = d.id "
                "WHERE d.path >= ? AND d.path < ? AND NOT d.gone AND f.missing_since IS NULL AND f.absent_ns IS NULL",
                below(path),
            ).fetchone()[0]
        return count


def _look_at(report: Report, path: bytes, delay_ns: int) -> Look:
    """A look at a directory is a look at its name in its parent."""
    return Look(report.root_id, *parent_and_name(path), delay_ns)


def _wait_ns(tx: Transaction, report: Report, absent_ns: int) -> int:
    """How much longer an absence must last to be believed."""
    return absent_ns + 2 * tx.policy.settle_ns - report.at_ns


def make_missing(
    tx: Transaction, rows: Iterable[FileRow], at_ns: int | None = None, *, detail: str | None = None
) -> None:
    """The rows keep everything they know; only their paths are free again.

    `at_ns` is when that was seen: what is seen later may bring them back, even before this is committed.
    """
    for row in rows:
        directory = tx.directory(row)
        root = tx.roots[directory.root_id] if directory.root_id is not None else None
        tx.store(
            row,
            row._replace(
                missing_since=int(tx.time),
                missing_online_ns=root.online_ns if root else 0,
                missing_walks=root.walks if root else 0,
                absent_ns=None,
                held=0,
                fact_ns=row.fact_ns if at_ns is None else at_ns,
            ),
        )
        tx.tell("missing", directory.root_id, directory.path + row.name, detail=detail)


def confirm(tx: Transaction, root_id: int) -> int:
    """A person says that the held files are gone. Makes AT_ONCE of them missing at most; returns how many."""
    rows = tx.connection.execute(
        f"SELECT {COLUMNS} FROM media_files WHERE absent_ns IS NOT NULL AND missing_since IS NULL AND held "
        "AND directory_id IN (SELECT id FROM directories WHERE root_id = ?) LIMIT ?",
        (root_id, AT_ONCE),
    ).fetchall()
    _let_go(tx, [FileRow._make(row) for row in rows], detail="confirmed by a person")
    return len(rows)


def _let_go(tx: Transaction, rows: list[FileRow], at_ns: int | None = None, *, detail: str | None = None) -> None:
    """Make the rows missing, but for those whose content has come to another path meanwhile: they moved there."""
    going = {row.id for row in rows}
    missing = []
    for row in rows:
        copy = copy_of(tx, row)
        if row.quick_hash is None or copy is None or copy.id in going:
            missing.append(row)
        else:
            move(tx, row, copy, row.quick_hash)
    make_missing(tx, missing, at_ns, detail=detail)


def wait_anew(tx: Transaction, root_id: int, paths: tuple[bytes, bytes]) -> None:
    """What is missing below a range of paths is about to belong to a root, whose hours and walks are other ones."""
    root = tx.roots[root_id]
    tx.connection.execute(
        "UPDATE media_files SET missing_online_ns = ?, missing_walks = ? WHERE missing_since IS NOT NULL "
        "AND directory_id IN (SELECT id FROM directories WHERE path >= ? AND path < ? AND root_id IS NOT ?)",
        (root.online_ns, root.walks, *paths, root_id),
    )


def purge(tx: Transaction) -> int:
    """Forget rows missing for longer than the policy keeps them, on a root walked twice since.

    AT_ONCE of them at most, and then the directories in which nothing is remembered any more. Returns how many rows.
    """
    rows = tx.connection.execute(
        f"SELECT {', '.join('f.' + column for column in FileRow._fields)} FROM media_files AS f "
        "JOIN directories AS d ON d.id = f.directory_id JOIN roots AS r ON r.id = d.root_id "
        "WHERE f.missing_since IS NOT NULL AND r.configured "
        "AND r.online_ns - f.missing_online_ns > ? AND r.walks - f.missing_walks >= 2 LIMIT ?",
        (tx.policy.keep_ns, AT_ONCE),
    ).fetchall()
    forgotten: Counter[int] = Counter()
    for row in map(FileRow._make, rows):
        root_id = tx.directory(row).root_id
        assert root_id is not None, "the query asks for rows of configured roots"
        forgotten[root_id] += 1
        tx.totals.add(root_id, row, -1)
        tx.connection.execute("DELETE FROM media_files WHERE id = ?", (row.id,))
    for root_id, count in forgotten.items():
        files = "1 file" if count == 1 else f"{count:,} files"
        tx.tell_root(tx.roots[root_id].path, f"{files} forgotten: missing for longer than missing.keep_days")
    _forget_empty_directories(tx)
    return len(rows)


def _forget_empty_directories(tx: Transaction) -> None:
    """Delete the rows of directories that are gone and in which nothing is remembered, from the lowest up."""
    empty = (
        "FROM directories AS d WHERE d.gone "
        "AND NOT EXISTS (SELECT 1 FROM media_files WHERE directory_id = d.id AND missing_since IS NOT NULL) "
        "AND NOT EXISTS (SELECT 1 FROM media_files WHERE directory_id = d.id AND missing_since IS NULL) "
        "AND NOT EXISTS (SELECT 1 FROM directories AS child WHERE child.parent_id = d.id)"
    )
    if tx.connection.execute(f"SELECT 1 {empty} LIMIT 1").fetchone() is None:
        return
    with index_for_deleting(tx.connection):
        while tx.connection.execute(f"DELETE FROM directories WHERE id IN (SELECT d.id {empty})").rowcount:
            pass
    tx.directories.clear()
