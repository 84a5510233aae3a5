"""Files compared byte for byte: what differs, what changes meanwhile, and what is never touched."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mediawatchd.hashing import comparison
from mediawatchd.hashing.comparison import Cancelled, Comparison
from mediawatchd.model import Task, stamp_of

if TYPE_CHECKING:
    from pathlib import Path

PIECE = 4096


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "LARGEST_PIECE_BYTES", PIECE)


def a_task(file_id: int, path: Path, content: bytes | None = None) -> Task:
    if content is not None:
        path.write_bytes(content)
    return Task(file_id, bytes(path), stamp_of(path.stat()), "video", 0, 1, 1, 1)


def compare(*tasks: Task) -> tuple[list[list[int]], dict[int, str]]:
    comparing = Comparison(tasks, is_cancelled=lambda: False)
    return sorted(comparing.run()), comparing.failures


@pytest.mark.parametrize("size", [1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE + 7])
def test_files_are_told_apart_by_any_byte(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    for place in {0, size // 2, size - 1}:
        other = bytearray(content)
        other[place] ^= 1
        tasks = [a_task(n, tmp_path / str(n), each) for n, each in enumerate([content, bytes(other), content, content])]
        assert compare(*tasks) == ([[0, 2, 3], [1]], {})


def test_files_that_differ_early_are_read_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    pread = os.pread

    def noted(descriptor: int, length: int, offset: int) -> bytes:
        read.append(offset)
        return pread(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", noted)
    tasks = [a_task(n, tmp_path / str(n), bytes([n]) + bytes(9 * PIECE)) for n in range(3)]
    assert compare(*tasks) == ([[0], [1], [2]], {})
    assert read == [0, 0, 0]


def test_several_contents_among_many_files(tmp_path: Path) -> None:
    contents = {name: name * PIECE + bytes(PIECE) for name in (b"a", b"b", b"c")}
    tasks = [a_task(n, tmp_path / str(n), contents[bytes([name])]) for n, name in enumerate(b"abcab")]
    assert compare(*tasks) == ([[0, 3], [1, 4], [2]], {})


def test_a_file_that_changes_while_it_is_read_counts_as_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [a_task(n, tmp_path / str(n), bytes(3 * PIECE)) for n in range(3)]
    split = Comparison._split

    def changing(self: Comparison, files: list[int], offset: int, length: int) -> list[list[int]]:
        if offset == PIECE:
            with (tmp_path / "1").open("ab") as file:
                file.write(b"more")
        return split(self, files, offset, length)

    monkeypatch.setattr(Comparison, "_split", changing)
    assert compare(*tasks) == ([[0, 2]], {1: "It changed."})


def test_a_file_that_is_cut_short_while_it_is_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [a_task(n, tmp_path / str(n), bytes(3 * PIECE)) for n in range(2)]
    split = Comparison._split

    def changing(self: Comparison, files: list[int], offset: int, length: int) -> list[list[int]]:
        if offset == PIECE:
            os.truncate(tmp_path / "1", PIECE)
        return split(self, files, offset, length)

    monkeypatch.setattr(Comparison, "_split", changing)
    assert compare(*tasks) == ([[0]], {1: "It changed."})


def test_what_is_not_the_file_any_more_is_told_and_not_read(tmp_path: Path) -> None:
    tasks = [a_task(n, tmp_path / str(n), b"content") for n in range(5)]
    (tmp_path / "1").unlink()
    (tmp_path / "2").write_bytes(b"CONTENT, and more")
    (tmp_path / "3").unlink()
    os.mkfifo(tmp_path / "3")
    (tmp_path / "4").rename(tmp_path / "elsewhere")
    (tmp_path / "4").symlink_to(tmp_path / "elsewhere")
    assert compare(*tasks) == ([[0]], {1: "It is gone.", 2: "It changed.", 3: "It is gone.", 4: "It is gone."})


def test_a_disk_that_fails_spoils_one_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [a_task(n, tmp_path / str(n), bytes(2 * PIECE)) for n in range(3)]
    pread = os.pread

    def failing(descriptor: int, length: int, offset: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/1") and offset:
            raise OSError(5, "Input/output error")
        return pread(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", failing)
    found, failures = compare(*tasks)
    assert found == [[0, 2]]
    assert list(failures) == [1]
    assert "EIO" in failures[1]


def test_nothing_stays_open_whatever_happens(tmp_path: Path) -> None:
    tasks = [a_task(n, tmp_path / str(n), bytes(PIECE)) for n in range(3)]
    (tmp_path / "1").unlink()
    before = len(os.listdir("/proc/self/fd"))
    compare(*tasks)
    with pytest.raises(Cancelled):
        Comparison(tasks, is_cancelled=lambda: True).run()
    assert len(os.listdir("/proc/self/fd")) == before


def test_pieces_shrink_with_the_number_of_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(comparison, "MEMORY_BYTES", 3 * PIECE)
    monkeypatch.setattr(comparison, "LARGEST_PIECE_BYTES", 10 * PIECE)
    lengths = set()
    pread = os.pread

    def noted(descriptor: int, length: int, offset: int) -> bytes:
        lengths.add(length)
        return pread(descriptor, length, offset)

    monkeypatch.setattr(os, "pread", noted)
    compare(*(a_task(n, tmp_path / str(n), bytes(3 * PIECE)) for n in range(3)))
    assert lengths == {PIECE}
