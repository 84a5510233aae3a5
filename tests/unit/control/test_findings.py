"""Checks that need no daemon: each finds what was broken on purpose, and names the command."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

import pytest

from mediawatchd.control import findings
from mediawatchd.watching import limits

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Limits as the test sets them before it asks."""
    allowed = {"watches": 8_192, "instances": 128, "queued": 16_384}

    def number(_path: str) -> int:
        return allowed["queued"]

    monkeypatch.setattr(limits, "watches_limit", lambda: allowed["watches"])
    monkeypatch.setattr(limits, "instances_limit", lambda: allowed["instances"])
    monkeypatch.setattr(limits, "watches_hint", lambda wanted: f"sysctl fs.inotify.max_user_watches={wanted}")
    monkeypatch.setattr(findings, "_number", number)
    return allowed


def levels(directories: int) -> list[tuple[str, str]]:
    return [(found.level, found.fix.partition(";")[0]) for found in findings.inotify_limits(directories)]


def test_limits_that_suffice(kernel: dict[str, int]) -> None:
    assert levels(4_096) == [("ok", "")]


def test_limits_that_will_soon_be_too_little_and_that_are(kernel: dict[str, int]) -> None:
    assert levels(4_097) == [("warning", "sudo sysctl fs.inotify.max_user_watches=8194")]
    assert levels(8_193) == [("error", "sudo sysctl fs.inotify.max_user_watches=8193")]


def test_few_instances_and_a_short_queue(kernel: dict[str, int]) -> None:
    kernel.update(instances=4, queued=100)
    assert [level for level, _ in levels(1_000)] == ["ok", "warning", "warning"]
    assert levels(1_000)[2][1] == "sudo sysctl fs.inotify.max_queued_events=131072"
    assert levels(100)[1:] == levels(1_000)[1:2]


def test_access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bytes(tmp_path / "a b")
    missing = findings.access(folder)
    assert missing is not None
    assert (missing.level, missing.fix) == ("error", "Correct scan_dirs.")
    os.mkdir(folder)
    assert findings.access(folder) is None
    (tmp_path / "file").touch()
    assert "not a folder" in findings.access(bytes(tmp_path / "file")).text  # type: ignore[union-attr]

    def refuse(*_arguments: object, **_more: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    denied = findings.access(folder)
    assert denied is not None
    assert denied.fix == f"sudo setfacl -R -m u:{os.geteuid()}:rX,d:u:{os.geteuid()}:rX '{os.fsdecode(folder)}'"


def test_the_nearest_mount_point_of_fstab_that_is_not_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fstab, mountinfo = tmp_path / "fstab", tmp_path / "mountinfo"
    fstab.write_text(
        "# /dev/sda1 /mnt/nas/deep ext4\nUUID=1 / ext4 defaults 0 1\n/dev/sdb1\t/mnt ext4 defaults 0 2\n"
        "nas:/x /mnt/my\\040nas nfs defaults 0 0\nUUID=2 none swap sw 0 0\n"
    )
    mountinfo.write_bytes(b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    monkeypatch.setattr(findings, "FSTAB", str(fstab))
    monkeypatch.setattr(findings, "MOUNTINFO", str(mountinfo))
    assert findings.mount_fix(b"/mnt/my nas/films") == "sudo mount '/mnt/my nas'"
    assert findings.mount_fix(b"/mnt/nas/deep") == "sudo mount /mnt"
    assert findings.mount_fix(b"/mnt2") == findings.mount_fix(b"/") == ""
    mountinfo.write_bytes(b"23 22 0:9 / /mnt/my\\040nas rw - nfs nas:/x rw\n")
    assert findings.mount_fix(b"/mnt/my nas/films") == ""


def test_the_socket(tmp_path: Path) -> None:
    path = bytes(tmp_path / "s")
    assert findings.control_socket(path).level == "error"
    (tmp_path / "s").touch()
    assert "no socket" in findings.control_socket(path).text
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        for mode, level in ((0o660, "ok"), (0o600, "ok"), (0o666, "warning")):
            os.chmod(path, mode)
            assert findings.control_socket(path).level == level, oct(mode)
        assert "every user" in findings.control_socket(path).text
