from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from mediawatchd.similarity.groups import Group, groups

if TYPE_CHECKING:
    import random

PAIRS = st.dictionaries(
    st.tuples(st.integers(0, 15), st.integers(0, 15)).filter(lambda pair: pair[0] < pair[1]), st.integers(), max_size=60
).map(lambda pairs: [(a, b, evidence) for (a, b), evidence in pairs.items()])


def test_a_group_is_never_a_chain() -> None:
    chain = [(1, 2, "12"), (2, 3, "23"), (3, 4, "34")]

    assert groups(chain, lambda video: video) == [Group(1, ((2, "12"),)), Group(3, ((4, "34"),))]


def test_the_best_copy_represents() -> None:
    star = [(1, 2, "12"), (2, 3, "23"), (4, 2, "42")]

    assert groups(star, lambda video: video != 2) == [Group(2, ((1, "12"), (3, "23"), (4, "42")))]


def test_a_video_is_no_copy_of_itself() -> None:
    assert groups([(1, 1, "")], lambda video: video) == []


@settings(deadline=None)
@given(PAIRS, st.randoms(use_true_random=False))
def test_groups_are_stars_of_pairs_and_share_no_video(pairs: list[tuple[int, int, int]], dice: random.Random) -> None:
    known = {(a, b): evidence for a, b, evidence in pairs} | {(b, a): evidence for a, b, evidence in pairs}
    rank = {video: dice.randrange(3) for video in range(16)}

    found = groups(pairs, lambda video: rank[video])

    videos = [video for group in found for video in (group.representative, *(member for member, _ in group.members))]
    assert len(set(videos)) == len(videos)
    for group in found:
        assert group.members
        for member, evidence in group.members:
            assert known[group.representative, member] == evidence
            assert (rank[group.representative], group.representative) < (rank[member], member)
    # Of each pair, at least one is in a group: no match is lost altogether.
    assert all(a in videos or b in videos for a, b, _ in pairs)


@settings(deadline=None)
@given(PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_changes_nothing(pairs: list[tuple[int, int, int]], dice: random.Random) -> None:
    other = [(b, a, evidence) if dice.random() < 0.5 else (a, b, evidence) for a, b, evidence in pairs]
    dice.shuffle(other)

    assert groups(other, lambda video: -video) == groups(pairs, lambda video: -video)
