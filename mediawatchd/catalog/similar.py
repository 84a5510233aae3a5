"""Pairs of similar videos as lists, and a person's verdict that a pair is none.

What lists runs on the thread of whoever asks, with a read-only connection; `dismiss` and `undismiss` on the writer's.
Pairs come by the size of the smaller file, the largest first: that is what can be had from them. A page goes on after
the last pair of the one before, so pairs that come and go in between neither repeat nor hide others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.catalog.copies import is_listed, is_shown, is_within

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from mediawatchd.catalog.copies import Clause
    from mediawatchd.catalog.transaction import Transaction

Key = tuple[int, int, int]
"""Where a pair stands in a list: its place in the order and its two ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSelection:
    """Which pairs. None does not narrow. `path`: a folder that one of the two lies below, or with `file_id` that file.

    `threshold` in bits. `dismissed`: those that a person has dismissed, latest first, whether or not they are pairs
    and there; all else is about the others.
    """

    path: bytes | None = None
    file_id: int | None = None
    threshold: int | None = None
    verdict: str | None = None
    dismissed: bool = False


class SimilarPair(NamedTuple):
    """A pair with its evidence, None where two were dismissed that are no pair (any more)."""

    place: int
    a_id: int
    b_id: int
    verdict: str | None
    distance: float | None
    matched_frames: int | None
    offset_seconds: float | None
    mirrored: int | None
    cropped: int | None
    b_is_part: int | None

    @property
    def key(self) -> Key:
        return self.place, self.a_id, self.b_id


_EVIDENCE = ("verdict", "distance", "matched_frames", "offset_seconds", "mirrored", "cropped", "b_is_part")
# CROSS JOIN keeps the pairs first, whose index gives the order.
_FILES = (
    "CROSS JOIN media_files AS a ON a.id = p.a_id CROSS JOIN directories AS da ON da.id = a.directory_id "
    "CROSS JOIN media_files AS b ON b.id = p.b_id CROSS JOIN directories AS db ON db.id = b.directory_id "
    "CROSS JOIN roots AS ra CROSS JOIN roots AS rb"
)
_SIMILAR = (
    f"similar_pairs AS p {_FILES} WHERE {is_listed('a', 'da', 'ra')} AND {is_listed('b', 'db', 'rb')} "
    "AND NOT EXISTS (SELECT 1 FROM dismissed_pairs AS x WHERE x.a_id = p.a_id AND x.b_id = p.b_id)"
)
_DISMISSED = (
    f"dismissed_pairs AS p {_FILES} LEFT JOIN similar_pairs AS e ON e.a_id = p.a_id AND e.b_id = p.b_id "
    f"WHERE {is_shown('a', 'da', 'ra')} AND {is_shown('b', 'db', 'rb')}"
)


def page(
    connection: sqlite3.Connection, selection: PairSelection, *, limit: int, after: Key | None
) -> list[SimilarPair]:
    """At most `limit` pairs behind `after`."""
    source, evidence, order = (
        (_DISMISSED, "e", "p.dismissed_at") if selection.dismissed else (_SIMILAR, "p", "p.smaller_bytes")
    )
    clauses = list(_narrowing(selection, evidence))
    if after is not None:
        clauses.append((f"({order}, p.a_id, p.b_id) < (?, ?, ?)", after))
    conditions, values = _joined(clauses)
    rows = connection.execute(
        f"SELECT {order}, p.a_id, p.b_id, {_columns(evidence)} FROM {source} {conditions} "
        f"ORDER BY {order} DESC, p.a_id DESC, p.b_id DESC LIMIT ?",
        (*values, limit),
    )
    return [SimilarPair._make(row) for row in rows]


def links(connection: sqlite3.Connection, selection: PairSelection) -> Iterator[tuple[int, int]]:
    """The ids of all pairs that groups are made of: what is contained in another one is not a copy of it."""
    conditions, values = _joined([("p.verdict <> 'contained'", ()), *_narrowing(selection, "p")])
    yield from connection.execute(f"SELECT p.a_id, p.b_id FROM {_SIMILAR} {conditions}", values)


def evidence(connection: sqlite3.Connection, pairs: Iterable[tuple[int, int]]) -> dict[tuple[int, int], SimilarPair]:
    """The pairs of these ids, lower id first, as they are now."""
    rows = connection.execute(
        f"SELECT p.smaller_bytes, p.a_id, p.b_id, {_columns('p')} FROM json_each(?) AS wanted "
        "CROSS JOIN similar_pairs AS p "
        "ON p.a_id = json_extract(wanted.value, '$[0]') AND p.b_id = json_extract(wanted.value, '$[1]')",
        (json.dumps(list(pairs)),),
    )
    return {(row[1], row[2]): SimilarPair._make(row) for row in rows}


def dismiss(tx: Transaction, one: int, other: int) -> bool:
    """Remember that these two are no copies of each other, whatever they look like; False when that was known.

    It holds for the two files, for as long as they are remembered, wherever they are and however often hashed.
    """
    a, b = sorted((one, other))
    return bool(
        tx.connection.execute(
            "INSERT OR IGNORE INTO dismissed_pairs (a_id, b_id, dismissed_at) VALUES (?, ?, ?)", (a, b, int(tx.time))
        ).rowcount
    )


def undismiss(tx: Transaction, one: int, other: int) -> bool:
    """Take that back; False when there was nothing to be taken back."""
    pair = sorted((one, other))
    return bool(tx.connection.execute("DELETE FROM dismissed_pairs WHERE a_id = ? AND b_id = ?", pair).rowcount)


def _columns(evidence: str) -> str:
    return ", ".join(f"{evidence}.{column}" for column in _EVIDENCE)


def _narrowing(selection: PairSelection, evidence: str) -> Iterator[Clause]:
    if selection.threshold is not None:
        yield f"{evidence}.distance <= ?", (selection.threshold,)
    if selection.verdict is not None:
        yield f"{evidence}.verdict = ?", (selection.verdict,)
    if selection.file_id is not None:
        yield "(p.a_id = ? OR p.b_id = ?)", (selection.file_id, selection.file_id)
    elif selection.path is not None:
        (a, values), (b, _) = is_within(selection.path, "a", "da"), is_within(selection.path, "b", "db")
        yield f"({a} OR {b})", (*values, *values)


def _joined(clauses: Iterable[Clause]) -> tuple[str, list[object]]:
    clauses = list(clauses)
    return "".join(f" AND {text}" for text, _ in clauses), [value for _, bound in clauses for value in bound]
