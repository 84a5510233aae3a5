"""The mount guard's verdicts, over a real catalog and real folders; only what is mounted is made up."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.catalog import roots
from mediawatchd.model import stamp_of
from mediawatchd.watching.filesystems import Identity
from mediawatchd.watching.guard import Verdict, judge
from mediawatchd.watching.mounts import Mount
from mediawatchd.watching.places import FileSystem
from mediawatchd.watching.reporting import Reporting
from tests.parts import Parts, catalog
from tests.trees import size, tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UUID = Identity("uuid:one", "uuid", "ext4", True, True, False, ())
MOUNT = Mount(17, 1, 42, b"/", b"/media/", b"rw", "ext4", b"/dev/sdb1", b"rw")


class MadeUpPlaces:
    """Says what is mounted at the root."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.identity = UUID
        self.error: OSError | None = None

    def filesystem(self, fd: int, status: os.stat_result) -> FileSystem:
        if self.error is not None:
            raise self.error
        key = self.identity.key
        return FileSystem(self._parts.call(lambda tx: roots.filesystem_id(tx, key, "ext4")), self.identity, MOUNT)


class Bench:
    """A root with two known files, on the file system `uuid:one`."""

    def __init__(self, parts: Parts, root: bytes) -> None:
        self.parts = parts
        self.root = root
        self.places = MadeUpPlaces(parts)
        self.reporting = Reporting(writer=parts.writer, heart=parts.heartbeats.register("root"))

    def judge(self, *, accepting: bool = False) -> Verdict:
        with self.parts.database.reader() as connection:
            row = roots.root(connection, self.parts.root_ids[self.root])
            return judge(connection, self.reporting, self.places, row, accepting=accepting)  # type: ignore[arg-type]

    def know(self) -> None:
        """Put what is on disk into the catalog, as seen on the file system of now."""
        for name in sorted(os.listdir(self.root)):
            stamp = stamp_of(os.lstat(self.root + name))
            self.parts.found(self.root, name, root=self.root, stamp=stamp)

    def adopted(self) -> str | None:
        """The identity of the root's file system, as the catalog has it."""
        with self.parts.database.reader() as connection:
            row = roots.root(connection, self.parts.root_ids[self.root])
            return roots.identity(connection, row.filesystem_id)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    root = tree({"a.mkv": size(10), "b.mkv": size(20)}).under(tmp_path / "media")
    with catalog(tmp_path) as parts:
        parts.configure(root)
        made = Bench(parts, root)
        assert made.judge().state == "online"
        made.know()
        yield made


def test_a_root_that_nothing_is_known_of_adopts_what_is_mounted(bench: Bench) -> None:
    assert bench.adopted() == "uuid:one"
    verdict = bench.judge()
    assert verdict == Verdict("online", None, None, MOUNT.id, True, False)


def test_an_empty_root_adopts_another_disk_as_long_as_nothing_is_known(tmp_path: Path) -> None:
    root = tree({}).under(tmp_path / "media")
    with catalog(tmp_path) as parts:
        parts.configure(root)
        bench = Bench(parts, root)
        assert bench.judge().state == "online"
        bench.places.identity = UUID._replace(key="uuid:two")
        assert bench.judge().state == "online"
        assert bench.adopted() == "uuid:two"


def test_the_same_uuid_is_online_though_all_files_are_gone(bench: Bench) -> None:
    for name in os.listdir(bench.root):
        os.unlink(bench.root + name)
    assert bench.judge().state == "online"


@pytest.mark.parametrize("kind", ["fsid", "source"])
def test_without_a_uuid_a_known_file_must_be_there(bench: Bench, kind: Any) -> None:
    bench.places.identity = UUID._replace(kind=kind)
    assert bench.judge().state == "online"
    os.unlink(bench.root + b"a.mkv")
    assert bench.judge().state == "online"
    os.unlink(bench.root + b"b.mkv")
    verdict = bench.judge()
    assert verdict.state == "offline"
    assert verdict.message == "the folder is empty: its disk does not seem to be mounted"
    tree({"b.mkv": size(21)}).under(bench.root)  # the name is known, the content is not
    assert bench.judge().state == "replaced"


def test_another_disk_is_replaced_until_it_is_accepted(bench: Bench) -> None:
    bench.places.identity = UUID._replace(key="uuid:two", type="xfs")
    for _ in range(2):
        verdict = bench.judge()
        assert (verdict.state, verdict.mount_id) == ("replaced", None)
        assert verdict.message == "another file system (xfs) is mounted here than the one the catalog knows"
        assert verdict.hint is not None
        assert verdict.hint.endswith("mediawatchctl accept-root " + os.fsdecode(bench.root[:-1]))
        assert bench.adopted() == "uuid:one"
    assert bench.judge(accepting=True).state == "online"
    assert bench.adopted() == "uuid:two"
    assert bench.judge().state == "online"


def test_another_disk_with_copies_of_the_files_is_still_another_one(bench: Bench) -> None:
    bench.places.identity = UUID._replace(key="uuid:two")
    assert bench.judge().state == "replaced"


def test_the_same_disk_under_a_better_name_is_taken_over(bench: Bench) -> None:
    # An older kernel could not tell the UUID: the disk is known by a weaker name.
    bench.places.identity = Identity("uuid:better", "uuid", "ext4", True, True, False, ("uuid:one",))
    assert bench.judge().state == "online"
    assert bench.adopted() == "uuid:better"


def test_a_weaker_name_is_believed_only_with_a_known_file(bench: Bench) -> None:
    for name in os.listdir(bench.root):
        os.unlink(bench.root + name)
    tree({"other.mkv": size(3)}).under(bench.root)
    bench.places.identity = Identity("uuid:better", "uuid", "ext4", True, True, False, ("uuid:one",))
    assert bench.judge().state == "replaced"


def test_what_the_file_system_can_do_is_told(bench: Bench) -> None:
    bench.places.identity = UUID._replace(events_reliable=False, network=True)
    verdict = bench.judge()
    assert (verdict.events_reliable, verdict.network) == (False, True)


def test_a_folder_that_is_not_there(bench: Bench) -> None:
    os.rename(bench.root[:-1], bench.root[:-1] + b".away")
    assert bench.judge() == Verdict("offline", "the folder is not there", "Mount its disk, or correct scan_dirs.")


def test_a_file_in_place_of_the_folder(bench: Bench) -> None:
    os.rename(bench.root[:-1], bench.root[:-1] + b".away")
    with open(bench.root[:-1], "wb"):
        pass
    assert bench.judge() == Verdict("error", "this is not a folder", "Correct scan_dirs.")


@pytest.mark.parametrize(
    ("code", "state", "message", "hint"),
    [
        (errno.EACCES, "error", "permission denied", "group"),
        (errno.EIO, "error", "Input/output error", "Check the disk"),
        (errno.ESTALE, "error", "Stale file handle", "Check the disk"),
        (errno.ENOTCONN, "error", "Transport endpoint is not connected", "Check the disk"),
    ],
)
def test_what_the_disk_refuses_is_an_error_with_a_hint(
    bench: Bench, code: int, state: str, message: str, hint: str
) -> None:
    bench.places.error = OSError(code, os.strerror(code))
    verdict = bench.judge()
    assert (verdict.state, verdict.message) == (state, message)
    assert verdict.hint is not None
    assert hint in verdict.hint
    bench.places.error = None
    assert bench.judge().state == "online"


def test_nothing_stays_open(bench: Bench) -> None:
    before = os.listdir("/proc/self/fd")
    bench.judge()
    bench.places.error = OSError(errno.EIO, "x")
    bench.judge()
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_known_file_counts_by_size_and_time(bench: Bench) -> None:
    bench.places.identity = UUID._replace(kind="fsid")
    for name in (b"a.mkv", b"b.mkv"):
        os.utime(bench.root + name, ns=(0, 10**17))
    assert bench.judge().state == "replaced"
