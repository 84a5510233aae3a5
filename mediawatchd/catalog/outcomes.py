"""What the workers found, written where the file id and the stamp they read under still match.

Used by the writer thread only. An outcome under another stamp than the row's is dropped: the row was changed
while the worker read, and is offered again.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain, groupby
from typing import TYPE_CHECKING

from mediawatchd.catalog import perceptual
from mediawatchd.catalog.observing import drop_probe
from mediawatchd.catalog.recognition import missing_with, move
from mediawatchd.catalog.rows import FileRow, everything, file_by_id
from mediawatchd.catalog.transaction import Look, Transaction
from mediawatchd.model import (
    PERCEPTUAL_HASH,
    PHASH,
    PROBE,
    QUICK_HASH,
    SECOND,
    Failed,
    Hashed,
    Outcome,
    PerceptuallyHashed,
    Probed,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_RETRY_NS = 60 * SECOND
LONGEST_RETRY_NS = 6 * 3600 * SECOND

TOGETHER = 16
"""How many hashes one statement stores: as many as a hash thread delivers."""
_HASHES = (
    "WITH hashed (id, size, mtime_ns, ctime_ns, inode, links, quick_hash) AS "
    f"(VALUES {', '.join(['(?, ?, ?, ?, ?, ?, ?)'] * TOGETHER)}) "
    "UPDATE media_files SET quick_hash = h.quick_hash, hashed_at = ?, lacks = lacks & ~1, attempts = 0 "
    "FROM hashed AS h WHERE media_files.id = h.id AND media_files.size = h.size AND media_files.mtime_ns = h.mtime_ns "
    "AND media_files.ctime_ns IS h.ctime_ns AND media_files.inode IS h.inode AND media_files.links IS h.links "
    "AND lacks & 1 = 1 AND media_files.quick_hash IS NULL AND former_quick_hash IS NULL "
    "AND problem IS NULL AND missing_since IS NULL AND NOT hidden RETURNING media_files.id, directory_id"
)
_NO_HASH: tuple[object, ...] = (None,) * 7


def apply(tx: Transaction, outcomes: Sequence[Outcome]) -> None:
    """Take the outcomes in order."""
    for _, alike in groupby(outcomes, type):
        group = list(alike)
        tx.outcomes += group
        done = _plainly_hashed(tx, [outcome for outcome in group if isinstance(outcome, Hashed)])
        for outcome in group:
            if outcome.file_id not in done:
                _take(tx, outcome)


def _take(tx: Transaction, outcome: Outcome) -> None:
    row = file_by_id(tx.connection, outcome.file_id)
    if row is None or row.missing_since is not None:
        tx.count("vanished")
    elif row.stamp != outcome.stamp:
        tx.count("changed")
    elif isinstance(outcome, Hashed):
        _hashed(tx, row, outcome)
    elif isinstance(outcome, Probed):
        _probed(tx, row, outcome)
    elif isinstance(outcome, PerceptuallyHashed):
        _perceptually_hashed(tx, row, outcome)
    elif isinstance(outcome, Failed):
        _failed(tx, row, outcome)
    else:
        _look_again(tx, row)


def _plainly_hashed(tx: Transaction, outcomes: Sequence[Hashed]) -> set[int]:
    """Store the hashes of rows of which nothing else is known, the ordinary case; returns the ids of those."""
    tx.hashed_bytes += sum(outcome.size_read for outcome in outcomes)
    done: set[int] = set()
    if tx.totals.remembers_missing():
        return done  # one of them may be the new path of what is missing
    for start in range(0, len(outcomes), TOGETHER):
        values: list[tuple[object, ...]] = [
            (outcome.file_id, *outcome.stamp, outcome.quick_hash) for outcome in outcomes[start : start + TOGETHER]
        ]
        values += [_NO_HASH] * (TOGETHER - len(values))  # so that there is one statement, prepared once
        rows = tx.connection.execute(_HASHES, (*chain.from_iterable(values), int(tx.time))).fetchall()
        for root_id, files in Counter(tx.directories.by_id(directory_id).root_id for _, directory_id in rows).items():
            if root_id is not None:
                tx.totals.quick_hashed(root_id, files)
        tx.count("hashed", len(rows))
        done.update(file_id for file_id, _ in rows)
    return done


def _hashed(tx: Transaction, row: FileRow, outcome: Hashed) -> None:
    tx.count("hashed")
    new = _without_problem(row, QUICK_HASH)._replace(
        quick_hash=outcome.quick_hash,
        former_quick_hash=None,
        hashed_at=int(tx.time),
        lacks=row.lacks & ~QUICK_HASH,
        attempts=0,
    )
    if row.former_quick_hash not in {None, outcome.quick_hash}:
        # Same size, same time, other bytes: nothing that was known of the old content holds.
        lacks = everything(row.media_type) & ~QUICK_HASH
        new = new.without_problem()._replace(
            lacks=lacks, wanted=row.wanted | tx.wants(row.media_type), video_phash=None
        )
        drop_probe(tx, row.id)
        perceptual.drop(tx, row.id)
        tx.tell("changed", tx.directory(row).root_id, tx.path(row), detail="other bytes of the same size and time")
    elif row.former_quick_hash is None and (former := missing_with(tx, outcome.quick_hash, row.size)) is not None:
        move(tx, former, row, outcome.quick_hash)
        return
    tx.store(row, new)


def _probed(tx: Transaction, row: FileRow, outcome: Probed) -> None:
    tx.count("probed")
    probe = outcome.probe
    drop_probe(tx, row.id)
    tx.connection.execute(
        "UPDATE media_files SET container_format = ?, duration = ?, bitrate = ? WHERE id = ?",
        (probe.container_format, probe.duration, probe.bitrate, row.id),
    )
    video, audio, vr = probe.video, probe.audio, probe.vr
    if video is not None:
        tx.connection.execute(
            "INSERT INTO video_metadata VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.id,
                video.codec,
                video.width,
                video.height,
                video.frame_rate,
                video.rotation,
                video.bit_depth,
                video.hdr,
            ),
        )
    if audio is not None:
        tx.connection.execute(
            "INSERT INTO audio_metadata VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row.id,
                audio.codec,
                audio.channels,
                audio.sample_rate,
                audio.title,
                audio.artist,
                audio.album,
                audio.track,
            ),
        )
    if vr is not None:
        tx.connection.execute(
            "INSERT INTO vr_metadata VALUES (?, ?, ?, ?, ?)",
            (row.id, vr.projection, vr.stereo_mode, vr.field_of_view, vr.source),
        )
    media_type = row.media_type
    if media_type != "audio":
        media_type = "vr" if vr is not None else "video"
    # A probe that had failed was waited for no longer.
    wanted = row.wanted | row.lacks & tx.wants(media_type)
    tx.store(
        row,
        _without_problem(row, PROBE)._replace(
            lacks=row.lacks & ~PROBE, wanted=wanted, media_type=media_type, attempts=0
        ),
    )


def _perceptually_hashed(tx: Transaction, row: FileRow, outcome: PerceptuallyHashed) -> None:
    tx.count("phashed")
    perceptual.store(tx, outcome)
    new = _without_problem(row, outcome.lacks)
    if outcome.lacks & PERCEPTUAL_HASH:
        new = new._replace(video_phash=outcome.video_phash)
    lacks, wanted = row.lacks & ~outcome.lacks, row.wanted & ~outcome.lacks
    tx.store(row, new._replace(lacks=lacks, wanted=wanted, attempts=0))


def _failed(tx: Transaction, row: FileRow, outcome: Failed) -> None:
    problem = outcome.problem
    tx.count("failed")
    tx.failures[PHASH if outcome.lacks & PHASH else outcome.lacks, problem.reason] += 1
    if not (row.lacks | row.wanted) & outcome.lacks:
        return  # it was found out meanwhile
    new = row._replace(
        problem=problem.text,
        problem_reason=problem.reason,
        problem_lacks=outcome.lacks,
        problem_since=row.problem_since or int(tx.time),
    )
    # The problem of another attempt gives way to this one, so that attempt is made again.
    lacks = row.lacks | (row.problem_lacks or 0)
    wanted = row.wanted | (row.problem_lacks or 0) & tx.wants(row.media_type)
    if outcome.final:
        # What cannot be probed has no perceptual hash either; `lacks` says that nobody tried.
        wanted &= ~(PHASH if outcome.lacks == PROBE else outcome.lacks)
        new = new._replace(lacks=lacks & ~outcome.lacks, wanted=wanted, attempts=0)
    else:
        failures = row.attempts if row.problem is not None else 0
        wait_ns = min(LONGEST_RETRY_NS, FIRST_RETRY_NS << min(failures, 20))
        new = new._replace(lacks=lacks, wanted=wanted, due_ns=tx.now_ns + wait_ns, attempts=failures + 1)
    tx.store(row, new)
    if row.problem != problem.text:
        tx.tell("problem", tx.directory(row).root_id, tx.path(row), detail=problem.text)


def _look_again(tx: Transaction, row: FileRow) -> None:
    """The disk no longer agrees with the row: whoever watches the root looks again, and the file settles anew."""
    tx.count("changed")
    tx.store(row, row._replace(due_ns=tx.now_ns + tx.policy.settle_ns))
    directory = tx.directory(row)
    if directory.root_id is not None:
        tx.looks.append(Look(directory.root_id, directory.path, row.name, 0))


def _without_problem(row: FileRow, lacks: int) -> FileRow:
    """The row without the problem that an earlier attempt at `lacks` had."""
    return row.without_problem() if (row.problem_lacks or 0) & lacks else row


def ask_again(tx: Transaction, file_ids: Sequence[int]) -> None:
    """A person asks: rows with a problem are offered again at once."""
    for file_id in file_ids:
        row = file_by_id(tx.connection, file_id)
        if row is not None and row.problem_lacks is not None and row.missing_since is None:
            tx.store(row, row._replace(lacks=row.lacks | row.problem_lacks, due_ns=tx.now_ns, attempts=0))
