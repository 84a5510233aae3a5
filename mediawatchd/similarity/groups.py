"""Groups of near-duplicates, each around one representative that every member was compared with and matched.

Never by chaining: that A resembles B and B resembles C says nothing about A and C. The best copy represents, so what
a person might delete was compared with what would be kept. A pair whose videos end up in two groups stays a pair.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Evidence = TypeVar("Evidence")


class Group(NamedTuple, Generic[Evidence]):
    """A representative and, by rising id, each member with the evidence of its match."""

    representative: int
    members: tuple[tuple[int, Evidence], ...]


def groups(pairs: Iterable[tuple[int, int, Evidence]], preference: Callable[[int], object]) -> list[Group[Evidence]]:
    """Of (id, id, evidence), each pair once, in either order; the caller has left out what a person ruled out.

    `preference` gives what to sort ids by, the best copy first. Each video is in one group at most; the answer is
    the same for any order of the pairs, and in the order of preference.
    """
    partners: dict[int, dict[int, Evidence]] = defaultdict(dict)
    for a, b, evidence in pairs:
        if a != b:
            partners[a][b] = partners[b][a] = evidence
    found = []
    taken: set[int] = set()
    for video in sorted(partners, key=lambda video: (preference(video), video)):
        if video in taken:
            continue
        members = {other: evidence for other, evidence in partners[video].items() if other not in taken}
        if members:
            taken.update(members, (video,))
            found.append(Group(video, tuple(sorted(members.items(), key=lambda member: member[0]))))
    return found
