"""Which rows lie on a disk that is there, as SQL: of a root that is online, and of no file system that is away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mediawatchd.catalog.directories import below

if TYPE_CHECKING:
    from collections.abc import Collection

    from mediawatchd.model import Away


def within_reach(online: frozenset[int], away: Collection[Away]) -> str:
    """The condition on a directory `d`."""
    roots = ", ".join(map(str, sorted(online))) or "NULL"
    terms = [f"d.root_id IN ({roots})"]
    for each in sorted(away):
        first, end = below(each.path)
        terms.append(
            f"NOT (d.filesystem_id IS {each.filesystem_id} AND d.path >= x'{first.hex()}' AND d.path < x'{end.hex()}')"
        )
    return " AND ".join(terms)
