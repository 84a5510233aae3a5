"""Mounts and identities with real file systems, each scenario in a mount namespace of its own.

A scenario is a function here that a child process runs: what it mounts goes away with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mediawatchd.telemetry.heartbeat import Heartbeats
from mediawatchd.watching.filesystems import Identity, identify
from mediawatchd.watching.mounts import MOUNTINFO, Mounts, Table, parse
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.needs_root
PROJECT = Path(__file__).parents[2]
FILESYSTEMS = {"ext4": 16, "xfs": 320, "btrfs": 128, "vfat": 16}
"""Size of an image in MB."""


def in_own_namespace(scenario: Callable[[Path], None], directory: Path, *arguments: str) -> None:
    namespace = ["unshare", "--mount", "--propagation", "private"]
    done = subprocess.run(
        [*namespace, sys.executable, "-m", __spec__.name, scenario.__name__, directory, *arguments],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True)


def mount(what: str | Path, where: Path, *options: str) -> None:
    where.mkdir(exist_ok=True)
    run("mount", *options, what, where)


def image(path: Path, kind: str = "ext4") -> Path:
    path.touch()
    os.truncate(path, FILESYSTEMS[kind] * 1_000_000)
    run(f"mkfs.{kind}", *(["-q"] if kind in ("ext4", "xfs", "btrfs") else []), path)
    return path


def table() -> Table:
    with open(MOUNTINFO, "rb") as file:
        return Table(1, parse(file.read()))


def identity(directory: Path) -> Identity:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        held = table().holding(fd)
        assert held is not None
        return identify(fd, held)
    finally:
        os.close(fd)


needs_loop = pytest.mark.skipif(not Path("/dev/loop-control").exists(), reason="needs loop devices")


def program(name: str) -> str | None:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def known_to_the_kernel(kind: str) -> bool:
    """No package can bring a file system that the running kernel has not got, so such a case does not exist here."""
    if loader := program("modprobe"):
        subprocess.run([loader, "--quiet", kind], check=False)
    with open("/proc/filesystems") as known:
        return kind in known.read().split()


@needs_loop
@pytest.mark.parametrize("kind", [kind for kind in FILESYSTEMS if known_to_the_kernel(kind)])
def test_a_disk_is_known_again_after_a_remount(kind: str, tmp_path: Path) -> None:
    if program(f"mkfs.{kind}") is None:
        pytest.skip(f"needs mkfs.{kind}")
    in_own_namespace(remount_disk, tmp_path, kind)


def remount_disk(directory: Path, kind: str = "ext4") -> None:
    disk, other = image(directory / "disk", kind), image(directory / "other", kind)
    place, elsewhere = directory / "place", directory / "elsewhere"
    mount(disk, place, "-o", "loop")
    first, device = identity(place), os.stat(place).st_dev
    run("umount", place)
    # The other one takes the loop device, so the disk comes back under another number.
    mount(other, elsewhere, "-o", "loop")
    mount(disk, place, "-o", "loop")
    again, replacement = identity(place), identity(elsewhere)
    if kind in ("ext4", "xfs", "btrfs"):
        if kind != "btrfs":  # numbered by the kernel for each mount
            assert os.stat(place).st_dev != device
        assert first.kind == "uuid"
        assert again.key == first.key
        assert replacement.key != first.key
        assert first.stable_inodes
    else:
        assert first.kind in ("uuid", "source")
        assert not first.stable_inodes
    assert any(alias.startswith("fsid:") for alias in first.aliases) == (kind in ("ext4", "btrfs"))
    assert first.events_reliable
    assert not first.network
    run("umount", place)
    run("umount", elsewhere)


@needs_loop
def test_bind_mounts_and_links_lead_to_the_same_file_system(tmp_path: Path) -> None:
    in_own_namespace(bind_mounts_and_links, tmp_path)


def bind_mounts_and_links(directory: Path) -> None:
    place, bound, link = directory / "place", directory / "bound here", directory / "link"
    mount(image(directory / "disk"), place, "-o", "loop")
    (place / "films").mkdir()
    mount(place / "films", bound, "--bind")
    link.symlink_to(bound)
    whole = identity(place)
    assert whole.key == identity(place / "films").key == identity(bound).key == identity(link).key
    assert table().covering(os.fsencode(bound)).root == b"/films"
    # By its name the link lies on the file system that holds it; an open directory tells where it led.
    assert table().covering(os.fsencode(link)).point != os.fsencode(bound) + b"/"
    fd = os.open(link, os.O_RDONLY)
    held = table().holding(fd)
    assert held is not None
    assert held.point == os.fsencode(bound) + b"/"
    os.close(fd)
    run("umount", bound)
    run("umount", place)


def test_each_tmpfs_is_another_file_system(tmp_path: Path) -> None:
    in_own_namespace(two_in_memory, tmp_path)


def two_in_memory(directory: Path) -> None:
    mount("x", directory / "a", "-t", "tmpfs")
    mount("x", directory / "b", "-t", "tmpfs")
    a, b = identity(directory / "a"), identity(directory / "b")
    # Older kernels tell nothing but the source of a tmpfs, which is the same; then known files decide.
    assert a.key != b.key or a.kind == "source"
    assert a.kind == b.kind


def test_an_open_directory_under_another_mount_is_not_mistaken_for_it(tmp_path: Path) -> None:
    in_own_namespace(mount_over_open_directory, tmp_path)


def mount_over_open_directory(directory: Path) -> None:
    place = directory / "place"
    mount("below", place, "-t", "tmpfs")
    fd = os.open(place, os.O_RDONLY)
    below = table().covering(os.fsencode(place))
    mount("above", place, "-t", "tmpfs")
    above = table().covering(os.fsencode(place))
    assert (below.source, above.source) == (b"below", b"above")
    assert table().holding(fd) == below
    with pytest.raises(OSError, match="not on this mount"):
        identify(fd, above)
    run("umount", place)
    run("umount", "--lazy", place)
    assert table().holding(fd) is None
    os.close(fd)


@contextmanager
def watching(on_change: Callable[[Table, Table], None]) -> Iterator[Mounts]:
    # Never read again of itself: only the kernel's signal can be what is seen.
    mounts = Mounts(on_change=on_change, heartbeat=Heartbeats().register("mounts"), reread_seconds=3600)
    mounts.start()
    try:
        yield mounts
    finally:
        mounts.stop()


def test_the_kernel_signals_each_change(tmp_path: Path) -> None:
    in_own_namespace(signals, tmp_path)


def signals(directory: Path) -> None:
    place = directory / "place"
    told: list[Table] = []
    with watching(lambda _, new: told.append(new)) as mounts:
        for change in (
            lambda: mount("x", place, "-t", "tmpfs"),
            lambda: mount("y", place, "-t", "tmpfs"),
            lambda: run("mount", "-o", "remount,ro", place),
            lambda: run("umount", place),
            lambda: run("umount", "--lazy", place),
        ):
            told.clear()
            before = mounts.generation
            change()
            wait_until(lambda: told, within=10)
            assert told[-1].generation > before
            assert told[-1].mounts == table().mounts


def test_a_change_counts_before_the_thread_has_seen_it(tmp_path: Path) -> None:
    in_own_namespace(busy_thread, tmp_path)


def busy_thread(directory: Path) -> None:
    place = directory / "place"
    busy, go_on = threading.Event(), threading.Event()

    def hold(old: Table, new: Table) -> None:
        busy.set()
        assert go_on.wait(60)

    with watching(hold) as mounts:
        mount("x", directory / "first", "-t", "tmpfs")
        assert busy.wait(10)
        generation = mounts.generation
        assert not mounts.changed_since(generation)
        mount("x", place, "-t", "tmpfs")
        assert mounts.changed_since(generation, os.fsencode(place / "films"))
        assert mounts.changed_since(generation, os.fsencode(directory))
        assert not mounts.changed_since(generation, os.fsencode(directory / "first"))
        assert mounts.current().covering(os.fsencode(place)).point == os.fsencode(place) + b"/"
        go_on.set()


def test_a_disk_that_went_and_came_back_between_two_looks_counts_as_a_change(tmp_path: Path) -> None:
    in_own_namespace(bounce, tmp_path)


def bounce(directory: Path) -> None:
    place = directory / "place"
    mount("x", place, "-t", "tmpfs")
    busy, go_on = threading.Event(), threading.Event()

    def hold(old: Table, new: Table) -> None:
        busy.set()
        assert go_on.wait(60)

    with watching(hold) as mounts:
        mount("x", directory / "first", "-t", "tmpfs")
        assert busy.wait(10)
        before = mounts.current()
        run("umount", place)
        mount("x", place, "-t", "tmpfs")
        # The kernel may give the same numbers again, so that the table reads as before.
        assert mounts.changed_since(before.generation, os.fsencode(place / "films"))
        go_on.set()


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
