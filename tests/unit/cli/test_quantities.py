from __future__ import annotations

import time

import pytest

from mediawatchd.cli import quantities


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (15_247_823_104, "14.2 GiB"),
        (1024**4 * 23.1, "23.1 TiB"),
        (1024**6 * 5, "5120.0 PiB"),
    ],
)
def test_size(value: float | None, text: str) -> None:
    assert quantities.size(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (float("inf"), "-"),
        (-1, "-"),
        (0, "0:00:00"),
        (59.6, "0:01:00"),
        (6992.2, "1:56:32"),
        (172_799, "47:59:59"),
        (273_906, "3 d 4:05:06"),
    ],
)
def test_length(seconds: float | None, text: str) -> None:
    assert quantities.length(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (-5, "just now"),
        (0.4, "just now"),
        (119, "119 s ago"),
        (120, "2 min ago"),
        (7300, "2 h ago"),
        (200_000, "2 d ago"),
    ],
)
def test_age(seconds: float | None, text: str) -> None:
    assert quantities.age(seconds) == text


def test_percent_says_100_only_of_what_is_complete() -> None:
    assert quantities.percent(99.99) == "99.9 %"
    assert quantities.percent(100) == "100.0 %"
    assert quantities.percent(None) == "-"


def test_numbers_with_their_noun() -> None:
    assert quantities.counted(1, "file") == "1 file"
    assert quantities.counted(1234, "directory", "directories") == "1,234 directories"


def test_bitrate() -> None:
    assert quantities.bitrate(17_400_000) == "17.4 Mbit/s"
    assert quantities.bitrate(128_000) == "128 kbit/s"
    assert quantities.bitrate(0) == "-"


def test_times_come_in_two_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert quantities.unix_seconds("1970-01-01T00:01:00.5+00:00") == 60.5
    assert quantities.unix_seconds("1970-01-01T00:01:00") == 60
    assert quantities.unix_seconds("never") is None
    assert quantities.date(60) == quantities.date("1970-01-01T00:01:00+00:00") == "1970-01-01 00:01:00"
    assert quantities.date(None) == "-"
    assert quantities.date(1e30) == "1e+30"


@pytest.mark.parametrize(
    ("per_second", "text"),
    [
        (0, "0/s"),
        (0.004, "0/min"),
        (0.3, "18/min"),
        (0.96, "1.0/s"),
        (4.26, "4.3/s"),
        (9.96, "10/s"),
        (12_345.6, "12,346/s"),
    ],
)
def test_rate(per_second: float, text: str) -> None:
    assert quantities.rate(per_second) == text
