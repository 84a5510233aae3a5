from __future__ import annotations

import errno
import fcntl
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from mediawatchd.watching import filesystems
from mediawatchd.watching.filesystems import identify
from mediawatchd.watching.mounts import Mount, mount_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

UUID = bytes(range(16))
WRITTEN = "00010203-0405-0607-0809-0a0b0c0d0e0f"
DEVICE = os.makedev(8, 17)


class Kernel:
    """What the kernel would answer: ioctls by number, and the fsid."""

    def __init__(self) -> None:
        self.ioctls: dict[int, bytes | int] = {}
        self.fsid = 0

    def ioctl(self, fd: int, number: int, buffer: bytearray, mutate: bool) -> int:
        answer = self.ioctls.get(number, errno.ENOTTY)
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        assert mutate
        assert len(answer) <= len(buffer)
        buffer[: len(answer)] = answer
        return 0

    def statvfs(self, fd: int) -> SimpleNamespace:
        return SimpleNamespace(f_fsid=self.fsid)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kernel:
    result = Kernel()
    monkeypatch.setattr(fcntl, "ioctl", result.ioctl)
    monkeypatch.setattr(os, "statvfs", result.statvfs)
    monkeypatch.setattr(filesystems, "_UDEV", str(tmp_path / "udev"))
    monkeypatch.setattr(filesystems, "_BY_UUID", str(tmp_path / "by-uuid"))
    return result


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    result = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield result
    os.close(result)


@pytest.fixture
def mount(fd: int) -> Callable[..., Mount]:
    def make(kind: str, *, source: bytes = b"/dev/sdb1", root: bytes = b"/") -> Mount:
        return Mount(mount_id(fd), 1, DEVICE, root, b"/m/", b"rw", kind, source, b"rw")

    return make


def test_the_uuid_that_any_file_system_tells(kernel: Kernel, fd: int, mount: Callable[..., Mount]) -> None:
    kernel.ioctls[0x80111500] = b"\x10" + UUID
    kernel.fsid = 0x1234
    identity = identify(fd, mount("ext4"))
    assert (identity.key, identity.kind) == (f"uuid:{WRITTEN}", "uuid")
    assert identity.aliases == ("fsid:0000000000001234", "source:ext4:/dev/sdb1:/")


@pytest.mark.parametrize(
    ("kind", "number", "answer"),
    [
        ("ext4", 0x8008662C, bytes(8) + UUID),
        ("ext3", 0x8008662C, bytes(8) + UUID),
        ("xfs", 0x80705864, bytes(64) + UUID),
        ("btrfs", 0x8400941F, bytes(16) + UUID),
    ],
)
@pytest.mark.parametrize("general", [errno.ENOTTY, b"\x10" + bytes(16)])
def test_the_uuid_from_a_kernel_that_has_no_general_answer(
    kernel: Kernel, fd: int, mount: Callable[..., Mount], kind: str, number: int, answer: bytes, general: bytes | int
) -> None:
    kernel.ioctls.update({0x80111500: general, number: answer})
    assert identify(fd, mount(kind)).key == f"uuid:{WRITTEN}"


def test_subvolumes_are_told_apart(kernel: Kernel, fd: int, mount: Callable[..., Mount]) -> None:
    kernel.ioctls[0x80111500] = b"\x10" + UUID
    kernel.ioctls[0xD0009412] = (257).to_bytes(8, "little")
    assert identify(fd, mount("btrfs", root=b"/@films")).key == f"uuid:{WRITTEN}/257"


def test_a_broken_disk_is_not_taken_for_one_without_a_uuid(
    kernel: Kernel, fd: int, mount: Callable[..., Mount]
) -> None:
    kernel.ioctls[0x8008662C] = errno.EIO
    with pytest.raises(OSError, match="Input/output error"):
        identify(fd, mount("ext4"))


def test_the_uuid_from_udev(kernel: Kernel, fd: int, mount: Callable[..., Mount], tmp_path: Path) -> None:
    (tmp_path / "udev").mkdir()
    (tmp_path / "udev/b8:17").write_text("S:disk/by-label/USB\nE:ID_FS_UUID_ENC=x\nE:ID_FS_UUID=5CA7-C859\nG:systemd\n")
    identity = identify(fd, mount("vfat"))
    assert (identity.key, identity.kind) == ("uuid:5ca7-c859", "uuid")


def test_the_uuid_from_the_links_to_the_devices(
    kernel: Kernel, fd: int, mount: Callable[..., Mount], tmp_path: Path
) -> None:
    (tmp_path / "by-uuid").mkdir()
    (tmp_path / "by-uuid/DEAD-BEEF").symlink_to("/nowhere")
    (tmp_path / "by-uuid/5CA7-C859").symlink_to("/dev/null")
    there = mount("exfat")._replace(device=os.stat("/dev/null").st_rdev)
    assert identify(fd, there).key == "uuid:5ca7-c859"
    assert identify(fd, mount("exfat")).kind == "source"


def test_an_fsid_of_its_own_comes_next(kernel: Kernel, fd: int, mount: Callable[..., Mount]) -> None:
    kernel.fsid = 0xFEDCBA9876543210
    identity = identify(fd, mount("zfs", source=b"tank/films"))
    assert (identity.key, identity.kind) == ("fsid:fedcba9876543210", "fsid")
    assert identity.aliases == ("source:zfs:tank/films:/",)


@pytest.mark.parametrize("fsid", [0, DEVICE])
def test_a_device_number_is_no_identity(kernel: Kernel, fd: int, mount: Callable[..., Mount], fsid: int) -> None:
    kernel.fsid = fsid
    identity = identify(fd, mount("xfs"))
    assert (identity.key, identity.kind, identity.aliases) == ("source:xfs:/dev/sdb1:/", "source", ())


def test_the_fsid_of_an_overlay_is_that_of_another_file_system(
    kernel: Kernel, fd: int, mount: Callable[..., Mount]
) -> None:
    kernel.fsid = 0x1234
    assert identify(fd, mount("overlay", source=b"overlay")).key == "source:overlay:overlay:/"


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_remote_file_system_is_asked_nothing(kernel: Kernel, fd: int, mount: Callable[..., Mount], kind: str) -> None:
    kernel.ioctls[0x80111500] = b"\x10" + UUID
    kernel.fsid = 0x1234
    assert identify(fd, mount(kind, source=b"nas:/films")).kind == "source"


def test_another_version_of_the_protocol_is_the_same_file_system(
    kernel: Kernel, fd: int, mount: Callable[..., Mount]
) -> None:
    assert identify(fd, mount("nfs")).key == identify(fd, mount("nfs4")).key
    assert identify(fd, mount("cifs")).key == identify(fd, mount("smb3")).key
    assert identify(fd, mount("nfs")).key != identify(fd, mount("cifs")).key


def test_sources_are_told_apart_by_what_is_mounted_of_them(
    kernel: Kernel, fd: int, mount: Callable[..., Mount]
) -> None:
    keys = {
        identify(fd, mount("nfs", source=source, root=root)).key for source in (b"a", b"\xff") for root in (b"/", b"/x")
    }
    assert keys == {"source:nfs:a:/", "source:nfs:a:/x", "source:nfs:\\xff:/", "source:nfs:\\xff:/x"}


@pytest.mark.parametrize(
    ("kind", "stable_inodes", "events_reliable", "network"),
    [
        ("ext4", True, True, False),
        ("xfs", True, True, False),
        ("btrfs", True, True, False),
        ("zfs", True, True, False),
        ("ntfs3", True, True, False),
        ("vfat", False, True, False),
        ("exfat", False, True, False),
        ("fuseblk", False, True, False),
        ("overlay", False, False, False),
        ("nfs", False, False, True),
        ("nfs4", False, False, True),
        ("cifs", False, False, True),
        ("smb3", False, False, True),
        ("9p", False, False, True),
        ("virtiofs", False, False, True),
        ("ceph", False, False, True),
        ("fuse", False, False, True),
        ("fuse.mergerfs", False, False, True),
    ],
)
def test_what_can_be_relied_on(
    kernel: Kernel,
    fd: int,
    mount: Callable[..., Mount],
    kind: str,
    stable_inodes: bool,
    events_reliable: bool,
    network: bool,
) -> None:
    identity = identify(fd, mount(kind))
    assert identity.type == kind
    assert (identity.stable_inodes, identity.events_reliable, identity.network) == (
        stable_inodes,
        events_reliable,
        network,
    )


def test_a_directory_that_lies_elsewhere_is_not_identified(fd: int, mount: Callable[..., Mount]) -> None:
    there = mount("ext4")
    with pytest.raises(OSError, match="not on this mount") as caught:
        identify(fd, there._replace(id=there.id + 1))
    assert caught.value.errno == errno.ESTALE
