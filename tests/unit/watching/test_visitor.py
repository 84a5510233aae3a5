"""What a look at a directory reports: settling, absences, and what is left alone; asked of the catalog."""

from __future__ import annotations

import errno
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.model import SECOND, WALKED, Report
from mediawatchd.watching import places, visitor
from mediawatchd.watching.filesystems import Identity
from mediawatchd.watching.reporting import Reporting
from tests.parts import WITHIN
from tests.rooted import PACE, Rooted, rooted
from tests.trees import size, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SETTLE_SECONDS = 100.0


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    return tree({"a.mkv": size(10), "old/b.mkv": size(20)}).under(tmp_path / "media")


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Rooted]:
    """No roots yet; files settle for a long time."""
    with rooted(tmp_path, settle_seconds=SETTLE_SECONDS) as made:
        yield made


def keep(parts: Rooted, root: bytes) -> None:
    parts.keep(root, pace=PACE._replace(settle_seconds=SETTLE_SECONDS))
    parts.settle(root)


def settles_seconds(parts: Rooted, path: bytes) -> float:
    """How long the file is left alone from about now on."""
    row: dict[str, Any] = parts.row(path)
    return (row["due_ns"] - parts.flush()) / SECOND


def age(path: bytes, seconds: float) -> None:
    """Make the content this old. The kernel's own time of the change cannot be set: that stays now."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_what_a_walk_finds_fresh_settles_six_times_as_long(parts: Rooted, root: bytes) -> None:
    keep(parts, root)
    assert 5.5 * SETTLE_SECONDS < settles_seconds(parts, root + b"a.mkv") <= 6 * SETTLE_SECONDS


def test_an_old_time_alone_does_not_settle_a_file(parts: Rooted, root: bytes) -> None:
    # rsync and unpackers set old times: when the file itself was touched last tells.
    age(root + b"a.mkv", 10 * 86_400)
    keep(parts, root)
    assert settles_seconds(parts, root + b"a.mkv") > 5.5 * SETTLE_SECONDS


def test_what_is_old_by_both_times_is_ripe_at_once(tmp_path: Path, root: bytes) -> None:
    with rooted(tmp_path, settle_seconds=0.001) as parts:
        wait_until(lambda: time.time() - os.stat(root + b"old/b.mkv").st_ctime > 0.1, within=WITHIN)
        parts.keep(root, pace=PACE._replace(settle_seconds=0.001))
        parts.settle(root)
        assert parts.row(root + b"a.mkv")["due_ns"] <= parts.flush()
        row = parts.row(root + b"old/b.mkv")
        assert row["due_ns"] <= parts.flush()


def test_a_time_in_the_future_settles(tmp_path: Path, root: bytes) -> None:
    age(root + b"a.mkv", -10 * 86_400)
    with rooted(tmp_path, settle_seconds=50) as parts:
        parts.keep(root, pace=PACE._replace(settle_seconds=50))
        parts.settle(root)
        assert settles_seconds(parts, root + b"a.mkv") > 5.5 * 50


def test_a_file_that_was_closed_settles_once_one_that_was_not_six_times(parts: Rooted, root: bytes) -> None:
    keep(parts, root)
    tree({"closed.mkv": size(5), "open.mkv": size(6)}).under(root)
    parts.roots.dirty(parts.root_ids[root], root, b"closed.mkv", True)
    parts.roots.dirty(parts.root_ids[root], root, b"open.mkv", False)
    parts.settle(root)
    assert 0.5 * SETTLE_SECONDS < settles_seconds(parts, root + b"closed.mkv") <= SETTLE_SECONDS
    assert 5.5 * SETTLE_SECONDS < settles_seconds(parts, root + b"open.mkv") <= 6 * SETTLE_SECONDS
    assert parts.row(root + b"closed.mkv")["priority"] == 0


def test_an_absence_is_not_believed_at_the_first_look(parts: Rooted, root: bytes) -> None:
    keep(parts, root)
    os.unlink(root + b"a.mkv")
    for _ in range(3):
        assert parts.walk(root) is None
        parts.roots.dirty(parts.root_ids[root], root, b"a.mkv", False)
        parts.settle(root)
    assert root + b"a.mkv" in parts.present()


def test_a_file_that_is_no_regular_file_any_more_is_not_there(tmp_path: Path, root: bytes) -> None:
    with rooted(tmp_path, root) as parts:
        os.unlink(root + b"a.mkv")
        os.mkfifo(root + b"a.mkv")
        parts.roots.dirty(parts.root_ids[root], root, b"a.mkv", False)
        parts.settle(root)
        wait_until(lambda: parts.missing() == {root + b"a.mkv"}, within=WITHIN)


def test_nothing_but_directories_is_opened(tmp_path: Path, root: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root + b"pipe.mkv")
    opened: list[object] = []
    really_open = os.open

    def noted(path: Any, flags: int, *rest: int, **more: int) -> int:
        if not flags & os.O_DIRECTORY:
            opened.append(path)
        return really_open(path, flags, *rest, **more)

    with rooted(tmp_path) as parts:
        monkeypatch.setattr(os, "open", noted)
        parts.keep(root)
        parts.settle(root)
        parts.roots.dirty(parts.root_ids[root], root, b"a.mkv", True)
        parts.roots.dirty(parts.root_ids[root], root, b"pipe.mkv", True)
        parts.settle(root)
        monkeypatch.undo()
        assert len(parts.present()) == 2
    assert [path for path in opened if isinstance(path, bytes) and b"media" in path] == []


def test_another_file_system_over_known_files_is_not_touched(
    tmp_path: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rooted(tmp_path, root) as parts:
        cover(parts, root + b"old/", monkeypatch)
        os.unlink(root + b"old/b.mkv")
        tree({"old/strange.mkv": size(7)}).under(root)
        for _ in range(3):
            assert parts.walk(root) is None
            parts.roots.dirty(parts.root_ids[root], root + b"old/", b"b.mkv", False)
            parts.roots.dirty(parts.root_ids[root], root + b"old/", b"strange.mkv", True)
            parts.settle(root)
        assert parts.present() == {root + b"a.mkv", root + b"old/b.mkv"}
        walked = parts.status(root).last_walk
        assert walked is not None
        assert walked.covered == [root + b"old/"]
        assert parts.walk(root + b"old/") == "another file system is mounted over known files"


def test_a_disk_stays_away_when_mounts_change_until_it_is_seen(
    tmp_path: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rooted(tmp_path, root) as parts:
        with monkeypatch.context() as covered:
            eyes = met_away(parts, root, covered)
            away = eyes.away
            eyes.doubt_away()
            assert eyes.away == away
            assert parts.walk(root) is None
            assert eyes.away == away
            eyes.doubt_away()
        parts.roots.dirty(parts.root_ids[root], root + b"old/", b"b.mkv", False)
        parts.settle(root)
        assert eyes.away == frozenset()


def test_a_disk_that_a_whole_walk_did_not_meet_is_not_away(
    tmp_path: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rooted(tmp_path, root) as parts:
        with monkeypatch.context() as covered:
            eyes = met_away(parts, root, covered)
        eyes.doubt_away()
        shutil.rmtree(root + b"old")
        assert parts.walk(root) is None
        assert eyes.away == frozenset()


def met_away(parts: Rooted, root: bytes, covered: pytest.MonkeyPatch) -> visitor.Visitor:
    """The eyes of a root that have met its folder `old` away."""
    eyes = parts.keeper(root)._visitor
    cover(parts, root + b"old/", covered)
    assert parts.walk(root) is None
    assert {each.path for each in eyes.away} == {root + b"old/"}
    return eyes


def cover(parts: Rooted, path: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make believe that something else is mounted there."""
    filesystem_id = parts.call(
        lambda tx: tx.connection.execute(
            "INSERT INTO filesystems (identity, type) VALUES ('uuid:other', 'ext4') RETURNING id"
        ).fetchone()[0]
    )
    place = places.Places.place

    def elsewhere(self: places.Places, fd: int, status: os.stat_result) -> Any:
        found = place(self, fd, status)
        there = os.readlink(f"/proc/self/fd/{fd}").encode() + b"/"
        return found._replace(filesystem_id=filesystem_id) if there == path else found

    monkeypatch.setattr(places.Places, "place", elsewhere)


def test_inodes_are_not_kept_where_they_mean_nothing(
    tmp_path: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    vfat = Identity("fsid:1", "fsid", "vfat", False, True, False, ())
    monkeypatch.setattr(places, "identify", lambda _fd, _mount: vfat)
    with rooted(tmp_path, root) as parts:
        assert all(row["inode"] is None for row in parts.rows())
        parts.hashed(*(row["id"] for row in parts.rows()))
        # A remount numbers anew: nothing has changed.
        assert parts.walk(root) is None
        assert not any(row["lacks"] & 1 for row in parts.rows())


def test_a_large_directory_comes_in_several_reports(
    tmp_path: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitor, "REPORTED", 10)
    tree({f"many/{number}.mp3": size(1, number) for number in range(95)}).under(root)
    with rooted(tmp_path, root) as parts:
        assert len(parts.present()) == 97
        for number in range(50):
            os.unlink(root + b"many/%d.mp3" % number)
        tree({f"many/new-{number}.mp3": size(2, number) for number in range(30)}).under(root)
        for _ in range(2):
            assert parts.walk(root) is None
        wait_until(lambda: len(parts.missing()) == 50, within=WITHIN)
        assert len(parts.present()) == 77


def test_an_unchanged_tree_is_compared_without_a_word_to_the_writer(
    tmp_path: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rooted(tmp_path, root) as parts:
        reported: list[Any] = []
        monkeypatch.setattr(parts.writer, "reports", reported.extend)
        assert parts.walk(root) is None
        assert reported == []


@pytest.fixture
def small_slabs(monkeypatch: pytest.MonkeyPatch) -> list[Report]:
    """A directory of more than 20 known files is large, and 7 entries are looked at together. Returns the reports."""
    monkeypatch.setattr(visitor, "SLAB", 7)
    monkeypatch.setattr(visitor, "LARGE", 20)
    monkeypatch.setattr(visitor, "REPORTED", 5)
    reported: list[Report] = []
    reports = Reporting.reports

    def noting(reporting: Reporting, some: Sequence[Report]) -> None:
        reported.extend(some)
        reports(reporting, some)

    monkeypatch.setattr(Reporting, "reports", noting)
    return reported


def test_a_large_directory_is_compared_a_slab_at_a_time(tmp_path: Path, small_slabs: list[Report]) -> None:
    names = {f"{number:02}.mkv": size(number) for number in range(40)}
    root = tree(names).under(tmp_path / "media")
    with rooted(tmp_path, root) as parts:
        assert parts.present() == {root + os.fsencode(name) for name in names}
        assert {len(report.found) for report in small_slabs} <= set(range(6))
        ids = {row["path"]: row["id"] for row in parts.rows()}
        small_slabs.clear()
        assert parts.walk(root) is None
        assert small_slabs == []  # nothing has changed
        for number in range(8, 24):
            os.unlink(root + b"%02d.mkv" % number)
        os.rename(root + b"00.mkv", root + b"moved.mkv")
        tree({"07.mkv": size(70), "new.mkv": size(99)}).under(tmp_path / "media")
        parts.walk(root)
        # By the walk, that is; its looks at names come bounded.
        assert {len(report.absent) for report in small_slabs if report.priority == WALKED} <= set(range(6))
        wait_until(lambda: len(parts.missing()) == 16, within=WITHIN)
        assert parts.present() == {os.path.join(root, name) for name in os.listdir(root)}
        assert parts.row(root + b"07.mkv")["size"] == 70
        assert parts.row(root + b"moved.mkv")["id"] == ids[root + b"00.mkv"]


def test_a_file_of_a_large_directory_that_cannot_be_seen_is_not_absent(
    tmp_path: Path, small_slabs: list[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree({f"{number:02}.mkv": size(number) for number in range(30)}).under(tmp_path / "media")
    with rooted(tmp_path, root) as parts:
        os.unlink(root + b"01.mkv")
        look = os.stat

        def failing(path: Any, **named: Any) -> os.stat_result:
            if path == b"01.mkv":
                raise OSError(errno.EIO, "the disk is bad")
            return look(path, **named)

        monkeypatch.setattr(visitor.os, "stat", failing)
        small_slabs.clear()
        parts.walk(root)
        assert small_slabs == []
