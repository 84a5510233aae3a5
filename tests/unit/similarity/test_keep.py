from __future__ import annotations

import itertools
from typing import Any

import pytest

from mediawatchd.similarity.exact import exact_groups
from mediawatchd.similarity.keep import Copy, keep

FULL = Copy(1, 1000, 50.0, width=1920, height=1080, bitrate=4_000_000, filesystem_id=1, inode=11, links=1)


@pytest.mark.parametrize(
    ("better", "worse", "reason"),
    [
        ({"has_sound": True}, {"width": 3840, "bitrate": 9_000_000, "first_seen": 1.0}, "sound: the next has none"),
        ({"width": 3840}, {"bitrate": 9_000_000, "first_seen": 1.0}, "resolution: 3840x1080, the next has 1920x1080"),
        ({}, {"width": None, "bitrate": 9_000_000}, "resolution: 1920x1080, the next is not known"),
        ({"bitrate": 4_001_000}, {"first_seen": 1.0}, "bitrate: 4001 kbit/s, the next has 4000 kbit/s"),
        ({}, {"bitrate": None, "first_seen": 1.0}, "bitrate: 4000 kbit/s, the next is not known"),
        ({"first_seen": 49.0}, {}, "age: seen before the others"),
        ({}, {}, "all alike"),
    ],
)
def test_sound_then_resolution_then_bitrate_then_age(
    better: dict[str, Any], worse: dict[str, Any], reason: str
) -> None:
    copies = [FULL._replace(**better), FULL._replace(file_id=2, inode=12, **worse)]

    for order in itertools.permutations(copies):
        kept = keep(order)
        assert (kept.file_id, kept.reason) == (1, reason)
        assert kept.copies == tuple(copies)


def test_all_but_the_kept_copy_can_be_reclaimed() -> None:
    copies = [FULL, FULL._replace(file_id=2, inode=12, size_bytes=70, width=2), FULL._replace(file_id=3, inode=13)]

    assert keep(copies).reclaimable_bytes == 1070


def test_paths_of_one_file_are_links_and_no_waste() -> None:
    link = FULL._replace(file_id=2, links=2)
    copies = [FULL._replace(links=2), link, FULL._replace(file_id=3, inode=13), FULL._replace(file_id=4, inode=13)]

    kept = keep(copies)

    assert kept.hard_links == ((1, 2), (3, 4))
    assert kept.reclaimable_bytes == 1000


def test_the_same_inode_on_another_file_system_is_another_file() -> None:
    assert keep([FULL, FULL._replace(file_id=2, filesystem_id=2)]).reclaimable_bytes == 1000


@pytest.mark.parametrize("unknown", [{"inode": None}, {"filesystem_id": None}])
def test_without_stable_inodes_each_path_is_a_file(unknown: dict[str, Any]) -> None:
    kept = keep([FULL._replace(**unknown), FULL._replace(file_id=2, **unknown)])

    assert (kept.reclaimable_bytes, kept.hard_links) == (1000, ())


def test_a_file_with_a_path_elsewhere_frees_nothing() -> None:
    """Removing the known path of a file that is also linked from outside the library leaves its bytes."""
    assert keep([FULL, FULL._replace(file_id=2, inode=12, links=2)]).reclaimable_bytes == 0


def test_links_alone_are_no_exact_group() -> None:
    link = FULL._replace(file_id=2)
    copy = FULL._replace(file_id=3, inode=12)

    assert exact_groups([(FULL, None), (link, 5)]) == []
    (group,) = exact_groups([(FULL, None), (link, None), (copy, None)])
    assert (group.kept.hard_links, group.verified) == (((1, 2),), False)


def test_empty_files_and_single_ones_are_no_exact_group() -> None:
    nothing = FULL._replace(size_bytes=0)

    assert exact_groups([(nothing, None), (nothing._replace(file_id=2, inode=12), None)]) == []
    assert exact_groups([(FULL, None)]) == []
    assert exact_groups([]) == []


@pytest.mark.parametrize(
    ("contents", "groups"),
    [
        ([7, 7, 7], [([1, 2, 3], True)]),
        ([7, 8, 7], [([1, 3], True)]),
        ([7, 8, 9], []),
        ([None, 7, 7], [([1, 2, 3], False)]),
        ([8, 8, 7, 7], [([3, 4], True), ([1, 2], True)]),
        ([8, 8, 7, None], [([3, 4], False), ([1, 2], True)]),
    ],
)
def test_files_that_were_compared_and_differ_are_no_copies(contents: list[int | None], groups: list[Any]) -> None:
    copies = [FULL._replace(file_id=number, inode=number) for number in range(1, len(contents) + 1)]

    found = exact_groups(zip(copies, contents, strict=True))

    assert [([copy.file_id for copy in group.kept.copies], group.verified) for group in found] == groups
