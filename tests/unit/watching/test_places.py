from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from mediawatchd.watching import places
from mediawatchd.watching.filesystems import Identity
from mediawatchd.watching.mounts import Mount, Table, mount_id
from mediawatchd.watching.places import Places
from mediawatchd.watching.reporting import Reporting
from tests.parts import Parts, catalog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with catalog(tmp_path) as made:
        yield made


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield opened
    os.close(opened)


class Bench:
    def __init__(self, parts: Parts, fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.identified = 0
        self.identity = Identity("uuid:one", "uuid", "ext4", True, True, False, ())
        self.places = Places(reporting=Reporting(writer=parts.writer, heart=parts.heartbeats.register("root")))
        self.mount = Mount(mount_id(fd), 1, 1, b"/", b"/m/", b"rw", "ext4", b"/dev/sdb1", b"rw")
        monkeypatch.setattr(places, "identify", self._identify)

    def _identify(self, _fd: int, mount: Mount) -> Identity:
        assert mount == self.mount
        self.identified += 1
        return self.identity


@pytest.fixture
def bench(parts: Parts, fd: int, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(parts, fd, monkeypatch)


def test_a_file_system_is_asked_once_for_each_state_of_the_mount_table(bench: Bench, fd: int) -> None:
    bench.places.use(Table(1, (bench.mount,)))
    first = bench.places.filesystem(fd, os.fstat(fd))
    assert bench.places.filesystem(fd, os.fstat(fd)) == first
    bench.places.use(Table(1, (bench.mount,)))
    bench.places.filesystem(fd, os.fstat(fd))
    assert bench.identified == 1
    bench.places.use(Table(2, (bench.mount,)))
    bench.places.filesystem(fd, os.fstat(fd))
    assert bench.identified == 2


def test_the_same_identity_has_the_same_id_whatever_the_device_number(bench: Bench, fd: int) -> None:
    bench.places.use(Table(1, (bench.mount,)))
    one = bench.places.filesystem(fd, os.fstat(fd)).id
    bench.places.use(Table(2, (bench.mount,)))
    assert bench.places.filesystem(fd, os.fstat(fd)).id == one
    bench.identity = bench.identity._replace(key="uuid:two")
    bench.places.use(Table(3, (bench.mount,)))
    assert bench.places.filesystem(fd, os.fstat(fd)).id != one


def test_a_directory_whose_mount_is_gone_is_stale(bench: Bench, fd: int) -> None:
    bench.places.use(Table(1, ()))
    with pytest.raises(OSError, match="the mount of this directory is gone") as refused:
        bench.places.filesystem(fd, os.fstat(fd))
    assert refused.value.errno == errno.ESTALE


def test_inodes_count_only_where_they_are_stable(bench: Bench, fd: int) -> None:
    bench.places.use(Table(1, (bench.mount,)))
    status = os.fstat(fd)
    assert bench.places.place(fd, status).inode == status.st_ino
    bench.identity = Identity("fsid:vfat", "fsid", "vfat", False, True, False, ())
    bench.places.use(Table(2, (bench.mount,)))
    assert bench.places.place(fd, status).inode is None
