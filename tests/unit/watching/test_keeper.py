"""A keeper and its root: watched before it is walked, offline, replaced and back, and the hints that come."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

from mediawatchd.watching import keeper, places
from mediawatchd.watching.filesystems import Identity
from mediawatchd.watching.guard import Verdict
from mediawatchd.watching.mounts import Table
from tests.kept import parts, root
from tests.parts import WITHIN
from tests.rooted import Rooted, rooted
from tests.trees import size, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

__all__ = ["parts", "root"]


def test_a_hint_brings_a_new_a_changed_and_a_gone_file(parts: Rooted, root: bytes) -> None:
    tree({"films/new.mkv": size(5)}).under(root)
    with open(root + b"c.mp3", "ab") as file:
        file.write(b"more")
    os.unlink(root + b"films/a.mkv")
    for directory, name in ((b"films/", b"new.mkv"), (b"", b"c.mp3"), (b"films/", b"a.mkv")):
        parts.roots.dirty(parts.root_ids[root], root + directory, name, True)
    parts.settle(root)
    assert parts.row(root + b"films/new.mkv")["size"] == 5
    assert parts.row(root + b"c.mp3")["size"] == 34
    wait_until(lambda: parts.missing() == {root + b"films/a.mkv"}, within=WITHIN)


def test_a_folder_that_is_not_there_is_offline_and_comes_back(tmp_path: Path, root: bytes) -> None:
    away = root[:-1] + b".away"
    os.rename(root[:-1], away)
    with rooted(tmp_path, root) as parts:
        status = parts.status(root)
        assert (status.state, status.message) == ("offline", "the folder is not there")
        assert status.hint == "Mount its disk, or correct scan_dirs."
        assert status.next_attempt is not None
        assert parts.observer.calls == []
        assert parts.roots.online() == frozenset()
        os.rename(away, root[:-1])
        parts.keeper(root).check_root()
        parts.settle(root)
        assert parts.status(root).state == "online"
        assert len(parts.present()) == 3


def test_an_offline_root_is_looked_at_again_by_itself(
    tmp_path: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "RETRY_SECONDS", 0.01)
    os.rename(root[:-1], root[:-1] + b".away")
    with rooted(tmp_path, root) as parts:
        os.rename(root[:-1] + b".away", root[:-1])
        parts.wait_for(root, "online")


def test_a_root_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    tree({"media": size(3)}).under(tmp_path)
    with rooted(tmp_path, bytes(tmp_path / "media") + b"/") as parts:
        (status,) = parts.roots.statuses()
        assert (status.state, status.message, status.hint) == ("error", "this is not a folder", "Correct scan_dirs.")


def test_a_root_that_goes_keeps_its_rows_and_is_watched_anew_when_it_is_back(parts: Rooted, root: bytes) -> None:
    root_id = parts.root_ids[root]
    os.rename(root[:-1], root[:-1] + b".away")
    parts.roots.lost(root_id, "root_gone")
    parts.wait_for(root, "offline")
    assert parts.observer.calls[-1] == ("unwatch", root_id)
    assert parts.roots.online() == frozenset()
    parts.settle(root)
    assert len(parts.present()) == 3
    os.rename(root[:-1] + b".away", root[:-1])
    tree({"films/new.mkv": size(5)}).under(root)
    parts.keeper(root).check_root()
    parts.wait_for(root, "online")
    parts.settle(root)
    assert parts.observer.calls[-1] == ("watch", root_id)
    assert len(parts.present()) == 4


def test_a_hint_from_a_root_that_has_gone_tells_so(parts: Rooted, root: bytes) -> None:
    os.rename(root[:-1], root[:-1] + b".away")
    parts.roots.dirty(parts.root_ids[root], root, b"c.mp3", False)
    parts.wait_for(root, "offline")
    assert len(parts.present()) == 3


def test_a_root_deleted_and_made_anew_loses_nothing_while_its_disk_cannot_be_told(
    parts: Rooted, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(root)
    os.mkdir(root)
    without_uuid(monkeypatch, parts)
    parts.roots.lost(parts.root_ids[root], "root_gone")
    status = parts.wait_for(root, "offline")
    assert status.message == "the folder is empty: its disk does not seem to be mounted"
    assert len(parts.present()) == 3


def test_another_disk_with_other_files_is_not_touched_until_it_is_accepted(
    parts: Rooted, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.rename(root[:-1], root[:-1] + b".away")
    tree({"other.mkv": size(7)}).under(root)
    identity = Identity("uuid:another", "uuid", "ext4", True, True, False, ())
    monkeypatch.setattr(places, "identify", lambda _fd, _mount: identity)
    parts.keeper(root)._places._by_device.clear()
    parts.keeper(root).check_root()
    status = parts.wait_for(root, "replaced")
    assert status.hint is not None
    assert status.hint.endswith(f"mediawatchctl accept-root {os.fsdecode(root[:-1])}")
    assert parts.walk(root) == f"replaced: {status.message}"
    assert len(parts.present()) == 3
    parts.keeper(root).accept()
    parts.wait_for(root, "online")
    parts.settle(root)
    assert root + b"other.mkv" in parts.present()


def without_uuid(monkeypatch: pytest.MonkeyPatch, parts: Rooted) -> None:
    """From now on file systems are told by something weaker than a UUID, under the same name."""
    real = places.identify
    monkeypatch.setattr(places, "identify", lambda fd, mount: real(fd, mount)._replace(kind="fsid"))
    for each in parts.roots.keepers():
        each._places._by_device.clear()


def test_hints_outside_the_root_or_in_what_is_ignored_are_passed_over(
    parts: Rooted, root: bytes, tmp_path: Path
) -> None:
    outside = tree({"x.mkv": size(5)}).under(tmp_path / "outside")
    tree({"_UNPACK_film/x.mkv": size(5)}).under(root)
    root_id = parts.root_ids[root]
    for directory, name in (
        (outside, b"x.mkv"),
        (outside, None),
        (root + b"_UNPACK_film/", b"x.mkv"),
        (root, b"_UNPACK_film"),
    ):
        parts.roots.dirty(root_id, directory, name, True)
    parts.settle(root)
    assert len(parts.present()) == 3


def test_a_directory_that_went_takes_its_files_along(parts: Rooted, root: bytes) -> None:
    shutil.rmtree(root + b"films")
    parts.roots.dirty(parts.root_ids[root], root + b"films/", b"a.mkv", False)
    parts.settle(root)
    wait_until(lambda: parts.missing() == {root + b"films/a.mkv", root + b"films/b.mkv"}, within=WITHIN)


def test_a_root_is_looked_at_again_while_its_watches_are_being_set(
    tmp_path: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The disk may hang in that, which only a look of the keeper's own finds out.
    monkeypatch.setattr(keeper, "RETRY_SECONDS", 0.05)
    looked = []
    judge = keeper.judge

    def counting(*arguments: Any, **named: Any) -> Verdict:
        looked.append(1)
        return judge(*arguments, **named)

    monkeypatch.setattr(keeper, "judge", counting)
    with rooted(tmp_path) as parts:
        parts.observer.is_slow = True
        parts.keep(root)
        wait_until(lambda: len(looked) > 2, within=WITHIN)
        assert parts.observer.calls == [("watch", parts.root_ids[root])]
        assert parts.status(root).next_attempt is None


def test_a_network_mount_is_looked_at_now_and_then(
    tmp_path: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "NETWORK_LOOK_SECONDS", 0.05)
    looked = []

    def remote(*_arguments: Any, **_named: Any) -> Verdict:
        looked.append(1)
        return Verdict("online", mount_id=7, network=True)

    monkeypatch.setattr(keeper, "judge", remote)
    with rooted(tmp_path, root) as parts:
        wait_until(lambda: len(looked) > 3, within=WITHIN)
        assert parts.observer.mounts == {parts.root_ids[root]: 7}


def test_a_root_is_watched_anew_when_something_is_mounted_below(
    tmp_path: Path, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No event tells of a mount, and the watches of what it hides stay silent.
    with rooted(tmp_path, root) as parts:
        watch = ("watch", parts.root_ids[root])
        assert parts.observer.calls == [watch]
        mounted = parts.mounts.current().covering(root)._replace(id=99, point=root + b"films/", type="nfs4")
        monkeypatch.setattr(Table, "below", lambda *_: (mounted,))
        parts.keeper(root).check_root()
        parts.settle(root)
        assert parts.observer.calls == [watch, watch]
        assert parts.observer.mounts == {parts.root_ids[root]: 99}
        parts.keeper(root).check_root()
        parts.settle(root)
        assert parts.observer.calls == [watch, watch]
