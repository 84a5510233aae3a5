from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from mediawatchd.catalog import legacy_values as values
from mediawatchd.catalog.legacy import same_time
from mediawatchd.catalog.legacy_values import UNKNOWN_TIME
from mediawatchd.model import MAX_INTEGER, SECOND, stamp_of

if TYPE_CHECKING:
    from pathlib import Path


def kept(disk_ns: int) -> int:
    """What the old program wrote for a file with this mtime, as the upgrade reads it.

    The float is put together as `stat` does.
    """
    seconds, nanoseconds = divmod(disk_ns, SECOND)
    written = datetime.fromtimestamp(seconds + 1e-9 * nanoseconds, UTC).isoformat()
    return values.mtime_ns(written.encode())


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (1_000_000_000, 1_900_000_000),  # the present
        (-SECOND, SECOND),
        (-2_000_000_000, 0),
        (4_000_000_000, 9_200_000_000),  # floats there keep steps of almost two microseconds
        (-9_200_000_000, -4_000_000_000),
    ],
)
def test_the_same_file_has_the_same_time(low: int, high: int) -> None:
    dice = random.Random(low)
    for _ in range(5_000):
        disk_ns = dice.randrange(low, high) * SECOND + dice.randrange(SECOND)
        assert same_time(disk_ns, kept(disk_ns)), disk_ns


def test_the_float_is_the_one_that_stat_gives(tmp_path: Path) -> None:
    file = tmp_path / "film.mkv"
    file.touch()
    dice = random.Random(1)
    for _ in range(500):
        disk_ns = dice.randrange(-(1 << 31), 1 << 33) * SECOND + dice.randrange(SECOND)
        os.utime(file, ns=(disk_ns, disk_ns))
        status = file.stat()
        written = datetime.fromtimestamp(status.st_mtime, UTC).isoformat()
        assert values.rounded_ns(status.st_mtime_ns) == values.mtime_ns(written.encode())


@pytest.mark.parametrize("seconds", [0, -1, 1_714_564_800, -(1 << 31), 1 << 33])
def test_halves_and_carries_are_rounded_as_they_were(seconds: int) -> None:
    for nanoseconds in (0, 1, 499, 500, 501, 1500, 2500, 999_999_499, 999_999_500, SECOND - 1):
        disk_ns = seconds * SECOND + nanoseconds
        assert values.rounded_ns(disk_ns) == kept(disk_ns)


@pytest.mark.parametrize("later_ns", [1000, 2000, SECOND, -1000])
def test_another_time_is_another_time(later_ns: int) -> None:
    disk_ns = 1_714_564_800_123_456_789
    assert not same_time(disk_ns + later_ns, kept(disk_ns))


def test_an_unknown_time_contradicts_nothing() -> None:
    assert same_time(1_714_564_800_123_456_789, UNKNOWN_TIME)
    assert not same_time(1_714_564_800_123_456_789, 0)


def test_no_file_has_the_unknown_time() -> None:
    earliest = os.stat_result((0o100644, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -(10**30), 0))
    assert stamp_of(earliest).mtime_ns > UNKNOWN_TIME


def test_beyond_what_nanoseconds_can_say() -> None:
    assert values.mtime_ns(b"9999-12-31T23:59:59+00:00") == MAX_INTEGER
    assert same_time(MAX_INTEGER, MAX_INTEGER)
    assert values.mtime_ns(b"0001-01-01T00:00:00+00:00") == -MAX_INTEGER


@pytest.mark.parametrize(
    ("written", "ns"),
    [
        (b"2024-05-01T12:00:00+00:00", 1_714_564_800_000_000_000),
        (b"2024-05-01T12:00:00.000001+00:00", 1_714_564_800_000_001_000),
        (b"2024-05-01T14:00:00+02:00", 1_714_564_800_000_000_000),
        (b"2024-05-01T12:00:00", 1_714_564_800_000_000_000),
        (b"2024-05-01 12:00:00.5", 1_714_564_800_500_000_000),
        (b"2024-05-01T12:00:00Z", 1_714_564_800_000_000_000),
        (b"1969-12-31T23:59:59.999999+00:00", -1000),
        (1_714_564_800, 1_714_564_800_000_000_000),
        (1_714_564_800.25, 1_714_564_800_250_000_000),
        (b"1714564800.25", 1_714_564_800_250_000_000),
        (None, UNKNOWN_TIME),
        (b"", UNKNOWN_TIME),
        (b"yesterday", UNKNOWN_TIME),
        (b"\xff\xfe", UNKNOWN_TIME),
        (b"2024-13-01T12:00:00", UNKNOWN_TIME),
    ],
)
def test_times(written: values.Value, ns: int) -> None:
    assert values.mtime_ns(written) == ns


@pytest.mark.parametrize(
    ("stored", "path"),
    [
        (b"/films/a.mkv", b"/films/a.mkv"),
        (b"films/a.mkv", b"/start/films/a.mkv"),
        (b"../films/./a.mkv", b"/films/a.mkv"),
        (b"//films//b/../a.mkv", b"/films/a.mkv"),
        (b"/films/a.mkv/", b"/films/a.mkv"),
        (b"/films/\xe9.mkv", b"/films/\xe9.mkv"),
        ("/films/é.mkv".encode(), "/films/é.mkv".encode()),
        # os.fsdecode of a Latin-1 name, then stored with surrogatepass
        ("/films/\udce9.mkv".encode("utf-8", "surrogatepass"), b"/films/\xe9.mkv"),
        (b"/films/line\nbreak.mkv", b"/films/line\nbreak.mkv"),
        (b"/", None),
        (b"", None),
        (b"/films/\0.mkv", None),
        (None, None),
        (17, None),
    ],
)
def test_paths(stored: values.Value, path: bytes | None) -> None:
    assert values.path_bytes(stored, b"/start") == path


def test_hashes_are_taken_in_either_case_and_dropped_when_they_are_none() -> None:
    assert values.quick_hash(b"AB" * 32) == b"\xab" * 32
    assert values.quick_hash(b"ab" * 31) is None
    assert values.quick_hash(b"xy" * 32) is None
    assert values.quick_hash(None) is None
    assert values.perceptual_hash(b"0123456789ABCDEF|0000000000000000") == "0123456789abcdef|0000000000000000"
    assert values.perceptual_hash(b"0123456789abcdef") == "0123456789abcdef"
    assert values.perceptual_hash(b"0123456789abcde|0000000000000000") is None
    assert values.perceptual_hash(b"") is None


@pytest.mark.parametrize(
    ("stored", "number"),
    [
        (b"24000/1001", 24000 / 1001),
        (25, 25.0),
        (b"25", 25.0),
        (b"0/0", None),
        (b"n/a", None),
        (b"inf", None),
        (None, None),
    ],
)
def test_numbers(stored: values.Value, number: float | None) -> None:
    assert values.real(stored) == number


def test_integers_are_rounded_and_fit_in_64_bits() -> None:
    assert values.integer(b"1000.4") == 1000
    assert values.integer(1.0e30) is None
    assert values.integer(b"many") is None
    assert values.integer(7) == 7


@pytest.mark.parametrize(
    ("stored", "name"), [(0, None), (1, "hdr"), (b"HDR10", "HDR10"), (b"", None), (None, None), (b"false", None)]
)
def test_hdr(stored: values.Value, name: str | None) -> None:
    assert values.dynamic_range(stored) == name


def test_a_first_sight_in_the_future_is_none() -> None:
    assert values.unix_seconds(b"2024-05-01T12:00:00", now=1_800_000_000) == 1_714_564_800
    assert values.unix_seconds(b"2024-05-01T12:00:00", now=1_700_000_000) is None
    assert values.unix_seconds(0, now=1_800_000_000) is None
