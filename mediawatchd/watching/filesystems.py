"""What a file system is, so that it is known again after a remount and told from another one at the same place.

Called by the thread that serves the root: `identify` may block as long as that file system does, but touches
nothing else. It never goes by `st_dev`, which is only a number given out at mount time, and needs no privileges.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from typing import TYPE_CHECKING, Literal, NamedTuple

from mediawatchd.watching.mounts import mount_id

if TYPE_CHECKING:
    from mediawatchd.watching.mounts import Mount

# Served by another machine, the host of this one, or a program: others write there unseen by this kernel, inode
# numbers may be made up for each mount, and a call may hang. Every fuse.* belongs here: which of them only
# rearranges local disks cannot be told from the name. Not so fuseblk, which is always a local disk.
# fmt: off
_REMOTE = frozenset([
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse", "gfs2", "gpfs", "lustre", "nfs", "nfs4", "ocfs2",
    "orangefs", "prl_fs", "pvfs2", "smb3", "smbfs", "vboxsf", "virtiofs",
])
# fmt: on
# Made of other file systems, which may be written to directly; the fsid they report is that of a lower one,
# so that all containers of a host would seem to lie on the same file system.
_STACKED = frozenset(["aufs", "ecryptfs", "overlay", "unionfs"])
# No inodes on the disk: the driver (or with fuseblk the program, which may be one for exFAT) numbers as it reads.
_NUMBERED_AT_MOUNT = frozenset(["exfat", "fuseblk", "msdos", "vfat"])
# The name under which a protocol negotiates another version is no other file system.
_FAMILY = {"nfs4": "nfs", "smb3": "cifs"}

_UDEV = "/run/udev/data"
_BY_UUID = "/dev/disk/by-uuid"

# _IOR(0x15, 0, struct fsuuid2 {u8 len; u8 uuid[16]}): any file system, from Linux 6.9 on.
_FS_IOC_GETFSUUID = 0x80111500
_BTRFS_IOC_INO_LOOKUP = 0xD0009412
_BTRFS_FIRST_FREE_OBJECTID = 256
# What older kernels have, by type: ioctl number, size of its structure, where the UUID stands in it.
# EXT4_IOC_GETFSUUID (6.0), BTRFS_IOC_FS_INFO, XFS_IOC_FSGEOMETRY_V1. On the few processors that number ioctls
# otherwise (MIPS, PowerPC, SPARC) all of them fail, and udev or the fsid answers.
_OWN_IOCTL = {
    "btrfs": (0x8400941F, 1024, 16),
    "ext2": (0x8008662C, 24, 8),
    "ext3": (0x8008662C, 24, 8),
    "ext4": (0x8008662C, 24, 8),
    "xfs": (0x80705864, 112, 64),
}
_NOT_OFFERED = frozenset(
    [errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EACCES],
)


class Identity(NamedTuple):
    """Which file system this is, and what can be relied on there.

    Equal `key`s of kind "uuid" mean the same file system. Any other kind is a strong hint that only known files
    can confirm. `aliases` are keys of weaker kinds: what an earlier run may have stored, before a newer kernel
    or udev could tell the UUID. One of them equal to a stored key is the same kind of hint.
    """

    key: str
    kind: Literal["uuid", "fsid", "source"]
    type: str
    stable_inodes: bool
    events_reliable: bool
    network: bool
    aliases: tuple[str, ...] = ()


def identify(path_fd: int, mount: Mount) -> Identity:
    """Identify the file system of the directory open at `path_fd` (not O_PATH), which lies on `mount`.

    Raises OSError as the file system does, and ESTALE when the directory lies on another mount after all,
    because the table changed between: look again.
    """
    if mount_id(path_fd) != mount.id:
        raise OSError(errno.ESTALE, "the directory is not on this mount any more")
    remote = is_network(mount)
    stacked = mount.type in _STACKED
    keys: list[tuple[Literal["uuid", "fsid", "source"], str]] = []
    if not remote:
        if (uuid := _uuid(path_fd, mount)) is not None:
            keys.append(("uuid", f"uuid:{uuid}{_subvolume(path_fd, mount)}"))
        if not stacked and (fsid := _fsid(path_fd, mount)) is not None:
            keys.append(("fsid", f"fsid:{fsid}"))
    keys.append(("source", _source(mount)))
    kind, key = keys[0]
    return Identity(
        key=key,
        kind=kind,
        type=mount.type,
        stable_inodes=not (remote or stacked or mount.type in _NUMBERED_AT_MOUNT),
        events_reliable=not (remote or stacked),
        network=remote,
        aliases=tuple(key for _, key in keys[1:]),
    )


def is_network(mount: Mount) -> bool:
    """Whether another machine or a program serves this mount, so that any call there may hang."""
    return mount.type in _REMOTE or mount.type.startswith("fuse.")


def _uuid(fd: int, mount: Mount) -> str | None:
    return _uuid_from_kernel(fd, mount) or _uuid_from_udev(mount.device) or _uuid_from_links(mount.device)


def _uuid_from_kernel(fd: int, mount: Mount) -> str | None:
    if mount.type == "fuseblk":
        return None  # an older kernel would pass the question on to the program that serves the disk
    answer = _ioctl(fd, _FS_IOC_GETFSUUID, bytearray(17))
    # Zeros were seen from a 6.18 kernel for an ext4 root that has a UUID, and tells it when asked its own way.
    if answer is not None and answer[0] == 16 and any(answer[1:]):
        return _canonical(answer[1:])
    if (own := _OWN_IOCTL.get(mount.type)) is None:
        return None
    number, size_bytes, offset = own
    # ext4 wants the length of a UUID in the first word; to the others it is room for the answer.
    answer = _ioctl(fd, number, bytearray(struct.pack("=I", 16).ljust(size_bytes, b"\0")))
    uuid = answer[offset : offset + 16] if answer is not None else b""
    return _canonical(uuid) if any(uuid) else None


def _canonical(uuid: bytes) -> str:
    digits = uuid.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _ioctl(fd: int, number: int, buffer: bytearray) -> bytes | None:
    try:
        fcntl.ioctl(fd, number, buffer, True)
    except OSError as error:
        if error.errno in _NOT_OFFERED:
            return None
        raise
    return bytes(buffer)


def _uuid_from_udev(device: int) -> str | None:
    path = f"{_UDEV}/b{os.major(device)}:{os.minor(device)}"
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("E:ID_FS_UUID="):
                    return line[13:].strip().lower() or None
    except OSError:
        pass  # no block device, no udev, or a container without it
    return None


def _uuid_from_links(device: int) -> str | None:
    try:
        with os.scandir(_BY_UUID) as links:
            return next((link.name.lower() for link in links if _device_at(link.path) == device), None)
    except OSError:
        return None


def _device_at(path: str) -> int | None:
    try:
        return os.stat(path).st_rdev
    except OSError:
        return None


def _subvolume(fd: int, mount: Mount) -> str:
    """Tell btrfs subvolumes apart: they share the UUID of their file system, but each counts inodes for itself."""
    if mount.type != "btrfs":
        return ""
    lookup = bytearray(struct.pack("=QQ", 0, _BTRFS_FIRST_FREE_OBJECTID).ljust(4096, b"\0"))
    answer = _ioctl(fd, _BTRFS_IOC_INO_LOOKUP, lookup)
    return f"/{struct.unpack_from('=Q', answer)[0]}" if answer is not None else ""


def _fsid(fd: int, mount: Mount) -> str | None:
    # XFS, FAT, exFAT, F2FS, NILFS, UDF, ISO 9660, squashfs, HFS+ and others report their device number here, in
    # the same encoding as st_dev; some report nothing. ext4, btrfs, tmpfs, ZFS and NTFS have one of their own.
    fsid = os.statvfs(fd).f_fsid
    return None if fsid in (0, mount.device) else f"{fsid:016x}"


def _source(mount: Mount) -> str:
    kind = _FAMILY.get(mount.type, mount.type)
    return b":".join((b"source", kind.encode(), mount.source, mount.root)).decode("utf-8", "backslashreplace")
