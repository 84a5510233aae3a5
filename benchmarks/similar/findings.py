"""What the product makes of hashed videos: which copies it finds, and which others it takes for copies."""

from __future__ import annotations

import itertools
import random
import statistics
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.similar.hashing import CLIP, FILM, in_processes, tell
from mediawatchd.hashing.fingerprint import unpack
from mediawatchd.similarity.score import Match, score
from mediawatchd.similarity.search import Index

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from benchmarks.similar.hashing import Video

CLIPS = "clips and their copies"
STRANGERS = "lookalikes and what they are not like"
_SAMPLE = 20_000
_AT_ONCE = 2_000
_TOLD = 12
"""Of each kind, as many mistakes are told one by one."""


class Pair(NamedTuple):
    """Two videos; `match` as the product scores them, `met` whether its search lets it.

    The product asks for the one that came later, and nobody knows which that will be. So a copy counts as met only if
    each finds the other, and strangers count as met if either does.
    """

    a: Video
    b: Video
    met: bool
    match: Match

    @property
    def alike(self) -> bool:
        return self.met and self.match.verdict is not None

    @property
    def lookalikes(self) -> bool:
        """Two of one kind that share their setting, their opening or their scene."""
        a, b = self.a.source, self.b.source
        return a.kind == b.kind != CLIP and (not a.shows or bool(a.shows & b.shows))


class Findings(NamedTuple):
    """`copies` are pairs of a copy and its original. `others` are pairs of videos that show nothing in common: all
    that the search finds, and a sample of the rest.
    """

    copies: list[Pair]
    others: list[Pair]
    pairs: int
    """Of how many `others` were taken."""


def compare(videos: Sequence[Video], processes: int) -> Findings:
    index = Index.build((number, video.blob) for number, video in enumerate(videos))
    asked = {(number, other) for number, video in enumerate(videos) for other in index.candidates(unpack(video.blob))}
    both_ways = {(one, other) for one, other in asked if (other, one) in asked}
    either_way = asked | {(other, one) for one, other in asked}
    originals = {video.source.content: number for number, video in enumerate(videos) if video.edit is None}
    copies = [
        (originals[video.source.content], number) for number, video in enumerate(videos) if video.edit is not None
    ]
    others = [
        (one, other) for one, other in itertools.combinations(range(len(videos)), 2)
        if not _related(videos[one], videos[other])
    ]  # fmt: skip
    taken = [pair for pair in others if pair in either_way]
    rest = [pair for pair in others if pair not in either_way]
    taken += random.Random(1).sample(rest, min(len(rest), _SAMPLE))
    return Findings(
        _pairs(videos, copies, both_ways, processes), _pairs(videos, taken, either_way, processes), len(others)
    )


def _related(one: Video, other: Video) -> bool:
    """One shows something of the other. Within a kind what is shared is what must not be mistaken."""
    a, b = one.source, other.source
    shared = ({a.content} | a.shows) & ({b.content} | b.shows)
    return a.content == b.content or (a.kind != b.kind and bool(shared))


def _pairs(
    videos: Sequence[Video], numbers: Sequence[tuple[int, int]], met: set[tuple[int, int]], processes: int
) -> list[Pair]:
    found: list[Pair] = []
    parts = _batched(numbers)
    for part, matches in zip(parts, in_processes(_scores, _blobs(videos, parts), processes), strict=True):
        for (one, other), match in zip(part, matches, strict=True):
            found.append(Pair(videos[one], videos[other], (one, other) in met, match))
        tell(f"compared {len(found):,} of {len(numbers):,} pairs")
    return found


def _blobs(videos: Sequence[Video], parts: Iterable[Sequence[tuple[int, int]]]) -> Iterator[list[tuple[bytes, bytes]]]:
    for part in parts:
        yield [(videos[one].blob, videos[other].blob) for one, other in part]


def _scores(blobs: Sequence[tuple[bytes, bytes]]) -> list[Match]:
    return [score(unpack(one), unpack(other)) for one, other in blobs]


def found_table(copies: Sequence[Pair]) -> Iterator[str]:
    """A row for each edit of the clips and of the films, then one for each kind of lookalike: how many copies are
    found, as what, and how far they are from the original in bits.
    """
    yield f"{'':42}{'copies':>7}{'dupl.':>7}{'prob.':>7}{'part':>6}{'missed':>8}{'recall':>9}{'median':>8}{'worst':>7}"
    for title, own in (("copies of the clips", CLIP), ("copies of long films", FILM), ("copies of lookalikes", None)):
        groups: dict[str, list[Pair]] = {}
        for pair in copies:
            kind = pair.a.source.kind
            if kind == own or (own is None and kind not in {CLIP, FILM}):
                groups.setdefault((pair.b.edit if own else kind) or "", []).append(pair)
        if not groups:
            continue
        for name, pairs in groups.items():
            verdicts = [pair.match.verdict if pair.met else None for pair in pairs]
            distances = [pair.match.distance for pair in pairs]
            yield (
                f"{name:42}{len(pairs):7}"
                f"{verdicts.count('duplicate'):7}{verdicts.count('probable'):7}{verdicts.count('contained'):6}"
                f"{verdicts.count(None):8}{_recall(pairs):9.1%}{statistics.median(distances):8.0f}"
                f"{max(distances):7.0f}"
            )
            yield from (
                f"    {pair.b.name}: {pair.match.distance:.0f} bits{'' if pair.met else ', not met in the search'}"
                for pair in pairs
                if not pair.alike
            )
        of_title = list(itertools.chain.from_iterable(groups.values()))
        yield f"{f'all {title}':42}{len(of_title):7}{'':20}{_missed(of_title):8}{_recall(of_title):9.1%}"
        yield f"{'    mean of the rows':42}{'':35}{statistics.mean(map(_recall, groups.values())):9.1%}"


def recall(copies: Sequence[Pair], kind: str) -> float:
    """Of the copies of that kind, clips or films, the share that is found."""
    return _recall([pair for pair in copies if pair.a.source.kind == kind])


def false_among_clips(others: Sequence[Pair]) -> list[Pair]:
    return [pair for pair in others if pair.alike and pair.a.source.kind == pair.b.source.kind == CLIP]


def false_table(findings: Findings) -> Iterator[str]:
    """A row for each kind whose videos were taken for copies of others: pairs of originals, and of all copies."""
    groups: dict[str, list[Pair]] = {}
    for pair in findings.others:
        clips = pair.a.source.kind == pair.b.source.kind == CLIP
        kind = CLIPS if clips else pair.a.source.kind if pair.lookalikes else STRANGERS
        groups.setdefault(kind, []).append(pair)
    yield f"{'taken for alike, and not':42}{'originals':>12}{'with copies':>14}"
    for kind, pairs in sorted(groups.items(), key=lambda group: group[0] not in {CLIPS, STRANGERS}):
        originals = [pair for pair in pairs if pair.a.edit is None and pair.b.edit is None]
        yield f"{kind:42}" + "".join(
            f"{f'{sum(pair.alike for pair in some)} of {len(some)}':>{width}}"
            for some, width in ((originals, 12), (pairs, 14))
        )
        yield from (
            f"    {pair.match.verdict}: {pair.a.name} | {pair.b.name}: {pair.match.distance:.0f} bits"
            for pair in itertools.islice((pair for pair in pairs if pair.alike), _TOLD)
        )
    yield f"(all {findings.pairs:,} pairs were searched; these are what the search found and a sample of the rest)"


def _recall(pairs: Sequence[Pair]) -> float:
    return 1 - _missed(pairs) / max(1, len(pairs))


def _missed(pairs: Sequence[Pair]) -> int:
    return sum(not pair.alike for pair in pairs)


def _batched(numbers: Sequence[tuple[int, int]]) -> list[Sequence[tuple[int, int]]]:
    return [numbers[first : first + _AT_ONCE] for first in range(0, len(numbers), _AT_ONCE)]
