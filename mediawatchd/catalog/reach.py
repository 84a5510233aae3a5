"""Which rows lie on a disk that is there, as SQL: of a root that is online, and of no file system that is away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediawatchd.catalog.directories import below

if TYPE_CHECKING:
    from collections.abc import Collection

    from mediawatchd.model import Away


def within_reach(online: frozenset[int], away: Collection[Away]) -> str:
    """The condition on a directory `d`."""
    roots = ", ".join(map(str, sorted(online))) or "0"
    there = f"d.root_id IN ({roots})"
    return f"{there} AND NOT ({_lies_in(_outermost(away))})" if away else there


def _outermost(away: Collection[Away]) -> list[Away]:
    """Those that lie in no other one, by file system and path: no two of them can hold the same directory."""
    outermost: list[Away] = []
    for each in sorted(away, key=lambda each: (each.filesystem_id, each.path)):
        last = outermost[-1] if outermost else None
        if last is None or last.filesystem_id != each.filesystem_id or not each.path.startswith(last.path):
            outermost.append(each)
    return outermost


def _lies_in(away: list[Away]) -> str:
    """Whether `d` lies in one of them, by halves: SQLite takes no expression that is deeper than 1,000."""
    middle = len(away) // 2
    path, filesystem_id = away[middle]
    if middle == 0:
        first, end = below(path)
        return f"d.filesystem_id IS {filesystem_id} AND d.path >= x'{first.hex()}' AND d.path < x'{end.hex()}'"
    return (
        f"CASE WHEN (d.filesystem_id, d.path) < ({filesystem_id}, x'{path.hex()}') "
        f"THEN {_lies_in(away[:middle])} ELSE {_lies_in(away[middle:])} END"
    )
