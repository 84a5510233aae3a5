from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mediawatchd.telemetry.heartbeat import Heartbeats
from mediawatchd.watching.mounts import Mounts, Table, mount_id, parse
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT = b"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n"


def line(number: int, parent: int, point: bytes, *, kind: bytes = b"tmpfs") -> bytes:
    return b"%d %d 0:%d / %s rw - %s none rw\n" % (number, parent, number, point, kind)


def table(*lines: bytes) -> Table:
    return Table(1, parse(b"".join(lines)))


def test_a_line_with_optional_fields() -> None:
    (mount,) = parse(b"36 35 8:17 /mnt1 /mnt2 rw,noatime shared:7 master:1 - ext3 /dev/sdb1 rw,errors=continue\n")
    assert (mount.id, mount.parent, mount.device) == (36, 35, os.makedev(8, 17))
    assert (mount.root, mount.point, mount.options) == (b"/mnt1", b"/mnt2/", b"rw,noatime")
    assert (mount.type, mount.source, mount.super_options) == ("ext3", b"/dev/sdb1", b"rw,errors=continue")


@pytest.mark.parametrize(
    ("text", "point", "source"),
    [
        (b"40 1 0:9 / /media/USB\\040DISK rw - vfat /dev/sdc1 rw", b"/media/USB DISK/", b"/dev/sdc1"),
        (b"40 1 0:9 / /a\\011b\\012c\\134d\\043e rw - tmpfs t\\040mp rw", b"/a\tb\nc\\d#e/", b"t mp"),
        (b"40 1 0:9 / /m\\134040 rw - tmpfs x rw", b"/m\\040/", b"x"),
        (b"40 1 0:9 / /\xff\xe9 rw - cifs //nas/\xe9t\xe9 rw", b"/\xff\xe9/", b"//nas/\xe9t\xe9"),
        (b"40 1 0:9 / /empty rw - tmpfs  rw", b"/empty/", b""),
        (b"40 1 0:9 / /a-\\040-\\040b rw shared:1 - fuse.mergerfs a:b rw", b"/a- - b/", b"a:b"),
        (b"40 1 0:9 /srv//deleted /gone rw - ext4 /dev/sda1 rw", b"/gone/", b"/dev/sda1"),
    ],
)
def test_names_are_read_as_the_kernel_escapes_them(text: bytes, point: bytes, source: bytes) -> None:
    (mount,) = parse(text + b"\n")
    assert (mount.point, mount.source) == (point, source)


def test_large_device_numbers() -> None:
    (mount,) = parse(b"40 1 259:1048575 / /m rw - xfs /dev/nvme0n1p1 rw\n")
    assert (os.major(mount.device), os.minor(mount.device)) == (259, 1_048_575)


@pytest.mark.parametrize("text", [b"nonsense", b"36 35 8:17 / /m rw", b"x 35 8:17 / /m rw - ext4 s rw"])
def test_a_line_that_cannot_be_read_is_shown(text: bytes) -> None:
    with pytest.raises(ValueError, match="not a line of mountinfo") as caught:
        parse(ROOT + text + b"\n")
    assert repr(text) in str(caught.value)


def test_the_covering_mount_goes_by_component() -> None:
    mounts = table(ROOT, line(30, 27, b"/media"), line(31, 30, b"/media/a"))
    assert mounts.covering(b"/").id == 27
    assert mounts.covering(b"/media2/x/").id == 27
    assert mounts.covering(b"/media").id == 30
    assert mounts.covering(b"/media/").id == 30
    assert mounts.covering(b"/media/ab/").id == 30
    assert mounts.covering(b"/media/a/b/c").id == 31


def test_below_is_strictly_below() -> None:
    mounts = table(ROOT, line(30, 27, b"/media"), line(31, 30, b"/media/a"), line(32, 31, b"/media/a/b"))
    assert [mount.id for mount in mounts.below(b"/media/")] == [31, 32]
    assert [mount.id for mount in mounts.below(b"/media/a/b")] == []
    assert [mount.id for mount in mounts.below(b"/")] == [30, 31, 32]
    assert [mount.id for mount in mounts.below(b"/med")] == []


def test_a_mount_hides_what_hung_below_the_one_it_covers() -> None:
    mounts = table(ROOT, line(30, 27, b"/media"), line(31, 30, b"/media/a"), line(32, 30, b"/media"))
    assert mounts.covering(b"/media/a/x").id == 32
    assert mounts.below(b"/media") == ()
    # Not a matter of order: newer kernels sort by number, and numbers are used again.
    again = table(line(12, 30, b"/media"), line(31, 30, b"/media/a"), line(30, 27, b"/media"), ROOT)
    assert again.covering(b"/media/a/x").id == 12


def test_a_mount_on_a_covering_mount_is_seen() -> None:
    mounts = table(ROOT, line(30, 27, b"/media"), line(32, 30, b"/media"), line(33, 32, b"/media/a"))
    assert mounts.covering(b"/media/a/x").id == 33


def test_a_mount_over_a_folder_above_hides_the_ones_below() -> None:
    mounts = table(ROOT, line(30, 27, b"/srv/media"), line(31, 27, b"/srv"))
    assert mounts.covering(b"/srv/media/x").id == 31
    assert mounts.below(b"/srv/") == ()


def test_the_root_over_the_initial_root() -> None:
    mounts = table(b"1 1 0:2 / / rw - rootfs rootfs rw\n", b"25 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    assert mounts.covering(b"/srv/").id == 25


def test_a_chroot_that_is_no_mount_point() -> None:
    mounts = table(line(40, 27, b"/proc", kind=b"proc"), line(41, 27, b"/srv"))
    assert mounts.covering(b"/srv/x").id == 41
    with pytest.raises(LookupError, match="no mount covers /home"):
        mounts.covering(b"/home")


def test_an_open_directory_tells_its_mount(tmp_path: Path) -> None:
    with open("/proc/self/mountinfo", "rb") as file:
        mounts = Table(1, parse(file.read()))
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        mount = mounts.holding(fd)
        assert mount is not None
        assert mount.id == mount_id(fd)
        assert mount == mounts.covering(os.fsencode(tmp_path.resolve()))
        assert Table(1, tuple(other for other in mounts.mounts if other != mount)).holding(fd) is None
    finally:
        os.close(fd)


class Watched:
    """Mounts over a file that only grows: the kernel signals nothing, so it is found by reading again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(ROOT)
        self.told: list[tuple[Table, Table]] = []
        self.mounts = self.new(reread_seconds=0.01)

    def new(self, *, reread_seconds: float) -> Mounts:
        return Mounts(
            on_change=lambda old, new: self.told.append((old, new)),
            heartbeat=Heartbeats().register("mounts"),
            path=os.fsencode(self.path),
            reread_seconds=reread_seconds,
        )

    def add(self, text: bytes) -> int:
        """Returns the generation that shows it."""
        before = self.mounts.generation
        with self.path.open("ab") as file:
            file.write(text)
        wait_until(lambda: self.mounts.generation > before, within=10)
        return self.mounts.generation


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    result = Watched(tmp_path / "mountinfo")
    result.mounts.start()
    yield result
    result.mounts.stop()


def test_a_change_that_was_not_signalled_is_found_by_reading_again(watched: Watched) -> None:
    first = watched.mounts.current()
    watched.add(line(30, 27, b"/media"))
    wait_until(lambda: watched.told, within=10)
    (told,) = watched.told
    assert told == (first, watched.mounts.current())
    assert told[1].covering(b"/media").id == 30


def test_an_unchanged_table_stays_the_same(watched: Watched) -> None:
    first = watched.mounts.current()
    assert not watched.mounts.changed_since(first.generation)
    last = watched.add(line(30, 27, b"/media"))
    assert watched.mounts.changed_since(first.generation)
    assert not watched.mounts.changed_since(last)


def test_a_change_elsewhere_is_none_for_a_path(watched: Watched) -> None:
    first = watched.mounts.generation
    second = watched.add(line(30, 27, b"/var/lib/containers/1"))
    third = watched.add(line(31, 27, b"/media/disk"))
    for path in (b"/media/", b"/media/disk/", b"/media/disk/films/", b"/media/disk"):
        assert watched.mounts.changed_since(first, path)
        assert watched.mounts.changed_since(second, path)
        assert not watched.mounts.changed_since(third, path)
    for path in (b"/media/disk2/", b"/srv/"):
        assert not watched.mounts.changed_since(first, path)
        assert not watched.mounts.changed_since(second, path)


def test_a_generation_from_too_long_ago_counts_as_changed(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("mediawatchd.watching.mounts._REMEMBERED_CHANGES", 2)
    short = Watched(tmp_path / "short")
    short.mounts.start()
    try:
        first = short.mounts.generation
        second = short.add(line(30, 27, b"/a"))
        assert not short.mounts.changed_since(first, b"/srv/")
        short.add(line(31, 27, b"/b"))
        short.add(line(32, 27, b"/c"))
        assert short.mounts.changed_since(first, b"/srv/")
        assert not short.mounts.changed_since(second, b"/srv/")
    finally:
        short.mounts.stop()


def test_who_asks_after_the_end_is_told_that_it_changed(watched: Watched) -> None:
    generation = watched.mounts.generation
    watched.mounts.stop()
    watched.mounts.stop()
    assert watched.mounts.changed_since(generation)


def test_a_table_that_is_not_there_is_an_error_at_the_start(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "mountinfo")
    watched.path.unlink()
    with pytest.raises(FileNotFoundError):
        watched.mounts.start()
    watched.mounts.stop()


def test_a_look_that_fails_does_not_swallow_the_signal(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = watched.new(reread_seconds=3600)
    quiet.start()
    try:
        generation = quiet.generation
        signals = iter([1, 0, 0])
        monkeypatch.setattr(quiet, "_signal", Signal(signals))
        read = quiet._read_text_locked
        monkeypatch.setattr(quiet, "_read_text_locked", fails)
        with pytest.raises(OSError, match="no memory"):
            quiet.changed_since(generation)
        monkeypatch.setattr(quiet, "_read_text_locked", read)
        assert quiet.changed_since(generation)
    finally:
        monkeypatch.undo()
        quiet.stop()


class Signal:
    def __init__(self, answers: Iterator[int]) -> None:
        self._answers = answers

    def poll(self, timeout: int) -> list[tuple[int, int]]:
        return [(0, 0)] * next(self._answers)


def fails() -> bytes:
    raise OSError("no memory")
