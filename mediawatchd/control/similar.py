"""What is answered about similar videos: pairs with their evidence, and groups around the copy to keep.

Runs on the thread of whoever asks. A pair says why two videos are thought to be alike; a group says what could be
done about it. Nothing here deletes anything, or proposes to where one video only holds another one.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from mediawatchd.catalog import similar
from mediawatchd.catalog.browse import ROWS_AT_ONCE, path_fields
from mediawatchd.catalog.copies import CopyRow, copies, within
from mediawatchd.control.copies import as_copy, file_fields, group_fields
from mediawatchd.similarity.groups import groups
from mediawatchd.similarity.keep import best_first, freed_bytes, keep, same_files
from mediawatchd.work.progress import iso_time

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Sequence

    from mediawatchd.catalog.browse import Reader
    from mediawatchd.catalog.similar import Key, PairSelection, SimilarPair
    from mediawatchd.control.copies import Reach
    from mediawatchd.similarity.keep import Copy

    Json = dict[str, Any]

_grouping = threading.Lock()
"""Held while all pairs are in memory, so that they are there once however many ask."""


class Place(NamedTuple):
    """Where a group stands in the list: what it could free, and the id of the copy to keep."""

    reclaimable_bytes: int
    representative: int


class _Group(NamedTuple):
    place: Place
    members: tuple[int, ...]


def pairs(
    reader: Reader, selection: PairSelection, reach: Reach, *, limit: int, after: Key | None
) -> tuple[list[Json], Key | None]:
    """At most `limit` pairs behind `after`, and where to go on, None when these were the last."""
    with reader() as connection:
        found = similar.page(connection, selection, limit=limit + 1, after=after)
        more = len(found) > limit
        del found[limit:]
        rows = copies(connection, {file_id for pair in found for file_id in (pair.a_id, pair.b_id)})
    # A video that went between the two queries takes its pair with it.
    shown = [
        {**_pair(pair, rows, reach), "dismissed_at": iso_time(pair.place) if selection.dismissed else None}
        for pair in found
        if pair.a_id in rows and pair.b_id in rows
    ]
    return shown, found[-1].key if more else None


def stream_pairs(
    reader: Reader, selection: PairSelection, reach: Reach, *, limit: int | None, after: Key | None
) -> Generator[list[Json]]:
    """All pairs, or the first `limit`, in lists; no transaction is open between two of them."""
    while limit is None or limit > 0:
        wanted = ROWS_AT_ONCE if limit is None else min(limit, ROWS_AT_ONCE)
        shown, after = pairs(reader, selection, reach, limit=wanted, after=after)
        yield shown
        if after is None:
            return
        limit = None if limit is None else limit - wanted


def group_page(
    reader: Reader, selection: PairSelection, reach: Reach, *, limit: int, after: Place | None
) -> tuple[list[Json], Place | None]:
    """At most `limit` groups behind `after`, and where to go on. All pairs are grouped anew for each page."""
    found = [group for group in _groups(reader, selection, reach) if after is None or group.place < after]
    return _shown_groups(reader, found[:limit], reach), found[limit - 1].place if len(found) > limit else None


def stream_groups(
    reader: Reader, selection: PairSelection, reach: Reach, *, limit: int | None, after: Place | None
) -> Generator[list[Json]]:
    """All groups, or the first `limit`, in lists; which they are is settled at the start."""
    found = [group for group in _groups(reader, selection, reach) if after is None or group.place < after][:limit]
    for first in range(0, len(found), ROWS_AT_ONCE):
        yield _shown_groups(reader, found[first : first + ROWS_AT_ONCE], reach)


def reclaimable(reader: Reader, selection: PairSelection) -> list[int]:
    """What each group could free."""
    return [group.place.reclaimable_bytes for group in _groups(reader, selection)]


def _groups(reader: Reader, selection: PairSelection, reach: Reach | None = None) -> list[_Group]:
    """Those that could free most come first. A group is the same, and whole, from wherever it is asked for."""
    with _grouping:
        with reader() as connection:
            linked = list(similar.links(connection, replace(selection, path=None, file_id=None)))
            ids = {file_id for pair in linked for file_id in pair}
            known = _copies_of(connection, ids, reach)
            asked = ids if selection.path is None else within(connection, selection.path, ids)
        ranks = {copy.file_id: rank for rank, copy in enumerate(best_first(known.values()))}
        found = []
        for group in groups(((a, b, None) for a, b in linked if a in ranks and b in ranks), ranks.__getitem__):
            members = (group.representative, *(file_id for file_id, _ in group.members))
            # Paths of a single file are no group.
            if not asked.isdisjoint(members) and len(same_files(known[file_id] for file_id in members)) > 1:
                freed = keep(known[file_id] for file_id in members).reclaimable_bytes
                found.append(_Group(Place(freed, group.representative), members))
    return sorted(found, reverse=True)


def _copies_of(connection: sqlite3.Connection, ids: set[int], reach: Reach | None) -> dict[int, Copy]:
    ordered = sorted(ids)
    return {
        row.id: as_copy(row, reach)
        for first in range(0, len(ordered), ROWS_AT_ONCE)
        for row in copies(connection, ordered[first : first + ROWS_AT_ONCE]).values()
    }


def _shown_groups(reader: Reader, found: Sequence[_Group], reach: Reach) -> list[Json]:
    matches = {_ordered(group.members[0], file_id) for group in found for file_id in group.members[1:]}
    with reader() as connection:
        rows = copies(connection, {file_id for group in found for file_id in group.members})
        evidence = similar.evidence(connection, matches)
    shown = []
    for group in found:
        members = [file_id for file_id in group.members if file_id in rows]
        if group.members[0] in rows and len(members) > 1:
            shown.append(_group(members, rows, evidence, reach))
    return shown


def _group(
    members: Sequence[int],
    rows: dict[int, CopyRow],
    evidence: dict[tuple[int, int], SimilarPair],
    reach: Reach,
) -> Json:
    kept = keep(as_copy(rows[file_id], reach) for file_id in members)
    files = []
    for copy in kept.copies:
        pair = evidence.get(_ordered(copy.file_id, kept.file_id))
        files.append(
            {
                **file_fields(rows[copy.file_id], reach),
                **_evidence(pair, turned=copy.file_id > kept.file_id),
                "same_bytes": copy.file_id != kept.file_id and _same_bytes(rows[copy.file_id], rows[kept.file_id]),
            }
        )
    return {"kind": "similar", **group_fields(kept, rows), "files": files}


def _pair(pair: SimilarPair, rows: dict[int, CopyRow], reach: Reach) -> Json:
    """`a` is the part of `b` where one is contained in the other, else what the catalog has known for longer."""
    turned = pair.verdict == "contained" and bool(pair.b_is_part)
    a, b = (rows[pair.b_id], rows[pair.a_id]) if turned else (rows[pair.a_id], rows[pair.b_id])
    kept = keep((as_copy(a, reach), as_copy(b, reach)))
    best, freed, reason = kept.file_id, kept.reclaimable_bytes, kept.reason
    if pair.verdict == "contained":
        best, freed, reason = b.id, freed_bytes([as_copy(a)]), "length: it holds all of the other"
    return {
        **path_fields("a", a.path),
        **path_fields("b", b.path),
        **_evidence(pair, turned=turned),
        **path_fields("keep", rows[best].path),
        "keep_reason": reason,
        "reclaimable_bytes": freed,
        "same_bytes": _same_bytes(a, b),
        "same_file": bool(kept.hard_links),
        "files": [file_fields(a, reach), file_fields(b, reach)],
    }


def _evidence(pair: SimilarPair | None, *, turned: bool) -> Json:
    """`offset_seconds`: where the first moment of the one lies on the clock of the other; `turned` swaps the two."""
    if pair is None or pair.distance is None:
        return dict.fromkeys(("verdict", "distance", "matched_frames", "offset_seconds", "mirrored", "cropped"))
    offset = pair.offset_seconds or 0.0
    return {
        "verdict": pair.verdict,
        "distance": round(pair.distance, 2),
        "matched_frames": pair.matched_frames,
        "offset_seconds": round(0.0 - offset if turned else offset, 2),
        "mirrored": bool(pair.mirrored),
        "cropped": bool(pair.cropped),
    }


def _ordered(one: int, other: int) -> tuple[int, int]:
    return min(one, other), max(one, other)


def _same_bytes(a: CopyRow, b: CopyRow) -> bool:
    """As far as size and quick hash tell."""
    return a.quick_hash is not None and (a.size, a.quick_hash) == (b.size, b.quick_hash)
