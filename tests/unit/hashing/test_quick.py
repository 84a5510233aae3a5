from __future__ import annotations

import errno
import hashlib
import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from mediawatchd.hashing import quick
from mediawatchd.hashing.descriptor import stamp_of
from mediawatchd.model import QUICK_HASH, Changed, Failed, Hashed, Stamp, Task

if TYPE_CHECKING:
    from pathlib import Path

SIZES = [0, 1, 65_535, 65_536, 65_537, 100_000, 131_071, 131_072, 131_073, 1_000_003]


def by_the_book(content: bytes) -> str:
    size = len(content)
    digest = hashlib.sha256(size.to_bytes(8, "little") + content[:65_536])
    if size > 65_536:
        digest.update(content[-min(65_536, size - 65_536) :])
    return digest.hexdigest()


def task_of(path: bytes | Path, **changes: object) -> Task:
    stamp = stamp_of(os.lstat(path))
    assert stamp is not None
    return Task(7, os.fsencode(path), stamp._replace(**changes), "video", QUICK_HASH, 1, 1, 0)


@pytest.mark.parametrize("size", SIZES)
def test_size_head_and_tail_are_hashed(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    path = tmp_path / "film.mkv"
    path.write_bytes(content)
    assert quick.quick_hash(os.fsencode(path)) == quick.quick_hash(str(path)) == by_the_book(content)
    task = task_of(path)
    assert quick.attempt(task) == Hashed(7, task.stamp, bytes.fromhex(by_the_book(content)), min(size, 131_072))


@pytest.mark.parametrize("size", [100_000, 1_000_003])
def test_a_file_system_without_cached_reads_and_advice_that_answers_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    content = os.urandom(size)
    path = tmp_path / "film.mkv"
    path.write_bytes(content)
    preadv = os.preadv

    def in_pieces(descriptor: int, buffers: tuple[memoryview], offset: int, flags: int = 0) -> int:
        if flags:
            raise OSError(errno.EOPNOTSUPP, "not here")
        return preadv(descriptor, (buffers[0][:10_000],), offset)

    def no_advice(*_: int) -> None:
        raise OSError(errno.ENOSYS, "not here")

    monkeypatch.setattr(os, "preadv", in_pieces)
    monkeypatch.setattr(os, "posix_fadvise", no_advice)
    assert quick.quick_hash(os.fsencode(path)) == by_the_book(content)


def test_a_shorter_file_after_a_longer_one_has_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(os.urandom(300_000))
    (tmp_path / "short").write_bytes(b"short")
    quick.quick_hash(str(tmp_path / "long"))
    assert quick.quick_hash(str(tmp_path / "short")) == by_the_book(b"short")


@pytest.mark.parametrize("field", Stamp._fields)
def test_another_stamp_is_told_and_nothing_is_hashed(tmp_path: Path, field: str) -> None:
    path = tmp_path / "film.mkv"
    path.write_bytes(b"content")
    there = task_of(path).stamp
    task = task_of(path, **{field: getattr(there, field) + 1})
    assert quick.attempt(task) == Changed(7, task.stamp, task.path, there)


def test_fields_that_a_stamp_does_not_know_are_not_compared(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    path.write_bytes(b"content")
    task = task_of(path, ctime_ns=None, inode=None, links=None)
    outcome = quick.attempt(task)
    assert isinstance(outcome, Hashed)
    assert outcome.stamp == task.stamp


def test_a_file_that_changes_while_it_is_read_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "film.mkv"
    path.write_bytes(os.urandom(200_000))
    task = task_of(path)
    preadv = os.preadv

    def read_and_write(descriptor: int, buffers: tuple[memoryview], offset: int, flags: int = 0) -> int:
        done = preadv(descriptor, buffers, offset, flags)
        with open(path, "ab") as file:
            file.write(b"more")
        return done

    monkeypatch.setattr(os, "preadv", read_and_write)
    outcome = quick.attempt(task)
    assert isinstance(outcome, Changed)
    assert outcome.found is not None
    assert outcome.found.size > 200_000


def test_a_file_that_shrinks_while_it_is_read_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "film.mkv"
    path.write_bytes(os.urandom(200_000))
    task = task_of(path)
    opened = os.open

    def open_and_cut(name: bytes, flags: int) -> int:
        os.truncate(path, 10)
        return opened(name, flags)

    monkeypatch.setattr(os, "open", open_and_cut)
    outcome = quick.attempt(task)
    assert isinstance(outcome, Changed)
    assert outcome.found is not None
    assert outcome.found.size == 10


def test_a_file_replaced_between_look_and_opening_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, other = tmp_path / "film.mkv", tmp_path / "other"
    path.write_bytes(b"one")
    other.write_bytes(b"two")
    task = task_of(path)
    os.utime(other, ns=(task.stamp.mtime_ns, task.stamp.mtime_ns))
    opened = os.open

    def replace_and_open(name: bytes, flags: int) -> int:
        os.replace(other, path)
        return opened(name, flags)

    monkeypatch.setattr(os, "open", replace_and_open)
    assert isinstance(quick.attempt(task), Changed)


def test_a_disk_that_gives_less_than_the_size_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "film.mkv"
    path.write_bytes(os.urandom(200_000))
    monkeypatch.setattr(os, "preadv", lambda *_: 0)
    outcome = quick.attempt(task_of(path))
    assert isinstance(outcome, Failed)
    assert (outcome.problem.reason, outcome.final) == ("io", False)


def test_what_is_gone_is_changed_to_nothing(tmp_path: Path) -> None:
    path = tmp_path / "films" / "film.mkv"
    path.parent.mkdir()
    path.write_bytes(b"content")
    task = task_of(path)
    gone = Changed(7, task.stamp, task.path, None)
    path.unlink()
    assert quick.attempt(task) == gone
    path.parent.rmdir()
    path.parent.write_bytes(b"a file where the folder was")
    assert quick.attempt(task) == gone


def test_links_folders_and_sockets_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "film.mkv"
    path.write_bytes(b"content")
    task = task_of(path)
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("it was opened"))
    path.rename(tmp_path / "aside")
    path.symlink_to("aside")
    assert quick.attempt(task) == Changed(7, task.stamp, task.path, None)
    path.unlink()
    path.mkdir()
    assert quick.attempt(task) == Changed(7, task.stamp, task.path, None)
    path.rmdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert quick.attempt(task) == Changed(7, task.stamp, task.path, None)


def test_a_fifo_is_not_opened_so_its_writer_goes_on_waiting(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    path.write_bytes(b"content")
    task = task_of(path)
    path.unlink()
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: os.close(os.open(path, os.O_WRONLY)), daemon=True)
    writer.start()
    try:
        assert quick.attempt(task) == Changed(7, task.stamp, task.path, None)
        writer.join(0.2)
        assert writer.is_alive()
    finally:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        writer.join(10)
    with pytest.raises(OSError, match="not a regular file"):
        quick.quick_hash(str(path))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.EACCES, "permission"),
        (errno.EPERM, "permission"),
        (errno.EIO, "io"),
        (errno.ESTALE, "io"),
        (errno.ENOTCONN, "io"),
        (errno.EMFILE, "io"),
    ],
)
def test_refusals_and_disk_errors_are_problems_to_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    path = tmp_path / "film.mkv"
    path.write_bytes(b"content")
    task = task_of(path)

    def fail(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    for call in ("lstat", "open", "preadv", "fstat"):
        with monkeypatch.context() as patched:
            patched.setattr(os, call, fail)
            outcome = quick.attempt(task)
        assert isinstance(outcome, Failed), call
        assert (outcome.problem.reason, outcome.final, outcome.lacks) == (reason, False, QUICK_HASH)


def test_no_descriptor_is_left_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "film.mkv"
    path.write_bytes(b"content")
    task = task_of(path)
    before = os.listdir("/proc/self/fd")
    quick.attempt(task)
    quick.attempt(task._replace(stamp=task.stamp._replace(size=3)))
    monkeypatch.setattr(os, "preadv", lambda *_: 0)
    quick.attempt(task)
    assert os.listdir("/proc/self/fd") == before


def test_threads_do_not_share_a_buffer(tmp_path: Path) -> None:
    contents = [os.urandom(200_000) for _ in range(8)]
    paths = [tmp_path / f"{number}.mkv" for number in range(8)]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    wrong: list[str] = []

    def hash_often(path: Path, content: bytes) -> None:
        wrong.extend(found for _ in range(50) if (found := quick.quick_hash(str(path))) != by_the_book(content))

    threads = [threading.Thread(target=hash_often, args=pair) for pair in zip(paths, contents, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
