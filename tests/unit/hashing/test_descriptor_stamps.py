"""Stamps as the catalog can keep them: numbers beyond 63 bits must still agree with themselves."""

from __future__ import annotations

import os
import stat

import pytest

from mediawatchd.hashing.descriptor import agrees, stamp_of

HUGE_INODE = (1 << 64) - 5
FAR_FUTURE_SECONDS = 16_000_000_000


def status(*, inode: int, seconds: int) -> os.stat_result:
    values = (stat.S_IFREG | 0o644, inode, 1, 1, 0, 0, 10, seconds, seconds, seconds)
    return os.stat_result(values, {"st_mtime_ns": seconds * 10**9, "st_ctime_ns": seconds * 10**9})


@pytest.mark.parametrize(("inode", "seconds"), [(HUGE_INODE, 1), (1, FAR_FUTURE_SECONDS), (7, 1_700_000_000)])
def test_a_file_with_numbers_beyond_what_sqlite_keeps_is_not_changed_for_ever(inode: int, seconds: int) -> None:
    seen = status(inode=inode, seconds=seconds)
    stamp = stamp_of(seen)
    assert stamp is not None
    assert all(-(1 << 63) <= number < 1 << 63 for number in stamp if number is not None)
    assert agrees(stamp, seen)
    assert not agrees(stamp, status(inode=inode - 1, seconds=seconds))
