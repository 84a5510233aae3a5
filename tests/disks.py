"""Disks that come and go: file systems on loop devices and in memory, mounted where nobody else sees them.

A module whose tests mount something uses the fixture `own_mounts`. Needs root.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.trees import tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DISK_BYTES = 64_000_000
NO_SPACE_LEFT = 40_000
"""What a full disk still has, in bytes: enough for nothing that SQLite does."""

_CLONE_FS, _CLONE_NEWNS = 0x00000200, 0x00020000
_libc: Any = ctypes.CDLL(None, use_errno=True)


@pytest.fixture(scope="module")
def own_mounts() -> Iterator[None]:
    """What is mounted meanwhile only this process and what it starts can see; afterwards it is gone.

    Threads that this process had before stay where they are.
    """
    before = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    folder = os.getcwd()
    _call("unshare", _CLONE_NEWNS)
    try:
        _run("mount", "--make-rprivate", "/")
        yield
    finally:
        # Threads started since then share its folders with this one, and who shares them may not go elsewhere.
        _call("unshare", _CLONE_FS)
        _call("setns", before, _CLONE_NEWNS)
        os.close(before)
        os.chdir(folder)  # with the mounts, the working folder has become the root


class Disk:
    """An ext4 file system in an image with holes: it takes what is written to it. Owned by the test.

    It keeps its loop device until it ends or is plugged in anew.
    """

    def __init__(self, image: Path, place: Path, *, size_bytes: int = DISK_BYTES) -> None:
        self.place = place
        self._image = image
        with image.open("wb") as file:
            file.truncate(size_bytes)
        _run("mkfs.ext4", "-q", image)
        self._plug_in()
        self.mount()

    def mount(self, place: Path | None = None) -> None:
        place = place or self.place
        place.mkdir(parents=True, exist_ok=True)
        _run("mount", self._device, place)

    def unmount(self, *, lazily: bool = False, place: Path | None = None) -> None:
        """In use as it is, it may have to be tried again, and in the end it is done lazily."""
        for _ in range(0 if lazily else 20):
            if subprocess.run(["umount", place or self.place], check=False, capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        _run("umount", "--lazy", place or self.place)

    def plug_in_anew(self) -> None:
        """Of a disk that is not mounted: what is mounted from now on has another `st_dev`."""
        former = self._open
        self._plug_in()  # while the former number is taken
        os.close(former)

    def end(self) -> None:
        """The device is free as soon as the disk is mounted nowhere."""
        os.close(self._open)

    def _plug_in(self) -> None:
        self._device = _run("losetup", "--find", "--show", self._image).strip()
        self._open = os.open(self._device, os.O_RDONLY | os.O_CLOEXEC)
        _run(
            "losetup", "--detach", self._device
        )  # in use: detached with its last use, whatever becomes of this process


@contextmanager
def disk(image: Path, place: Path) -> Iterator[Disk]:
    """A new disk, mounted; whatever is mounted at its place at the end is taken away."""
    made = Disk(image, place)
    try:
        yield made
    finally:
        with suppress(AssertionError):
            _run("umount", "--lazy", place)
        made.end()


@contextmanager
def in_memory(place: Path, files: Mapping[str, bytes] | None = None, *, megabytes: int = 16) -> Iterator[None]:
    """Another disk over a folder, with some files; it goes with the block."""
    place.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "memory", place)
    try:
        tree(files or {}).under(place)
        yield
    finally:
        _run("umount", "--lazy", place)


def fill_up(folder: Path) -> Path:
    """Leave no space on the disk of a folder; deleting the file that is returned makes it free again."""
    filler = folder / "filler"
    free = os.statvfs(folder)
    with filler.open("wb") as file, suppress(OSError):  # somebody else may take the last of it
        os.posix_fallocate(file.fileno(), 0, max(1, free.f_bavail * free.f_frsize - NO_SPACE_LEFT))
    return filler


def _run(*command: str | Path) -> str:
    """What it prints."""
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{command}: {os.fsdecode(done.stdout)}"
    return os.fsdecode(done.stdout)


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
