"""Directories that could not be read, and when they are tried again; both clocks belong to the test."""

from __future__ import annotations

import errno
import os

import pytest

from mediawatchd.watching.unreadable import LONGEST_RETRY_SECONDS, NAMED_LIMIT, Unreadable, unreadable_text

ROOT = b"/media/"
FILMS = b"/media/films/"
BAD = OSError(errno.EIO, os.strerror(errno.EIO))


class Bench:
    def __init__(self) -> None:
        self.now = 1000.0
        self.unreadable = Unreadable(root=ROOT, clock=lambda: self.now, wall=lambda: self.now + 5_000)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_first_attempt_is_after_a_minute_and_each_one_waits_twice_as_long(bench: Bench) -> None:
    bench.unreadable.failed(FILMS, BAD)
    waits = []
    for _ in range(12):
        due = bench.unreadable.next_due()
        assert due is not None
        waits.append(due - bench.now)
        bench.now = due - 0.1
        assert bench.unreadable.due() == []
        bench.now = due
        assert bench.unreadable.due() == [FILMS]
        assert bench.unreadable.due() == [], "each is told once"
        assert bench.unreadable.next_due() is None
        bench.unreadable.failed(FILMS, BAD)
    assert waits[:4] == [60, 120, 240, 480]
    assert waits[-1] == LONGEST_RETRY_SECONDS
    [told] = bench.unreadable.snapshot()
    assert (told.path, told.reason, told.since) == (FILMS, "Input/output error", 6_000)


def test_who_looks_in_between_does_not_put_off_the_attempt(bench: Bench) -> None:
    bench.unreadable.failed(FILMS, BAD)
    for _ in range(10):
        bench.now += 1
        bench.unreadable.failed(FILMS, OSError(errno.ESTALE, os.strerror(errno.ESTALE)))
    assert bench.unreadable.next_due() == 1060
    [told] = bench.unreadable.snapshot()
    assert (told.reason, told.next_attempt) == (os.strerror(errno.ESTALE), 6_060)


def test_a_walk_ends_what_has_not_failed_in_it(bench: Bench) -> None:
    for path in (FILMS, b"/media/films/a/", b"/media/music/"):
        bench.unreadable.failed(path, BAD)
    bench.now += 10
    began = bench.now
    bench.unreadable.failed(FILMS, BAD)
    bench.unreadable.walked(FILMS, began)
    assert [told.path for told in bench.unreadable.snapshot()] == [FILMS, b"/media/music/"]
    bench.now += 10
    bench.unreadable.walked(ROOT, bench.now)
    assert not bench.unreadable


def test_what_is_gone_is_not_unreadable(bench: Bench) -> None:
    for code in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
        bench.unreadable.failed(FILMS, OSError(code, os.strerror(code)))
    assert not bench.unreadable


def test_too_many_are_covered_by_the_root(bench: Bench) -> None:
    for number in range(NAMED_LIMIT + 50):
        bench.unreadable.failed(b"/media/%d/" % number, BAD)
    told = bench.unreadable.snapshot()
    assert (len(told), told[-1].path) == (NAMED_LIMIT + 1, ROOT)
    bench.now += 60
    assert ROOT in bench.unreadable.due()


def test_it_is_said_once_when_it_begins_and_when_it_ends(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for number in range(5):
        bench.unreadable.failed(b"/media/%d/" % number, BAD)
    bench.now += 1
    bench.unreadable.walked(b"/media/0/", bench.now)
    bench.unreadable.walked(ROOT, bench.now)
    bench.unreadable.walked(ROOT, bench.now)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_what_is_told_names_the_first_and_counts_the_others(bench: Bench) -> None:
    bench.unreadable.failed(b"/media/a\n/", BAD)
    assert unreadable_text(bench.unreadable.snapshot()) == "/media/a\\n cannot be read: Input/output error"
    bench.unreadable.failed(FILMS, BAD)
    assert "nor can 1 other: " in unreadable_text(bench.unreadable.snapshot())


def test_the_lost_and_found_of_a_disk_degrades_nothing(bench: Bench) -> None:
    # Every root that is an ext4 disk would be degraded for good under a user that is not root.
    bench.unreadable.failed(b"/media/lost+found/", PermissionError(errno.EACCES, "Permission denied"))
    assert not bench.unreadable
    bench.unreadable.failed(b"/media/lost+found/", BAD)
    assert bench.unreadable
