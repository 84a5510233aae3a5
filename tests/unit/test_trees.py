from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.trees import folder, hard_link, size, symlink, tree

if TYPE_CHECKING:
    from pathlib import Path


def test_files_of_a_size_differ_by_path_and_agree_by_seed(tmp_path: Path) -> None:
    root = tree(
        {"a/one.mkv": size(200_000), "two.mkv": size(200_000), "x": size(70_000, 1), "y": size(70_000, 1)}
    ).under(tmp_path)
    read = {name: (tmp_path / name).read_bytes() for name in ("a/one.mkv", "two.mkv", "x", "y")}
    assert root == os.fsencode(tmp_path) + b"/"
    assert [len(data) for data in read.values()] == [200_000, 200_000, 70_000, 70_000]
    assert read["x"] == read["y"]
    assert read["a/one.mkv"][:65_536] != read["two.mkv"][:65_536]
    assert read["a/one.mkv"][-65_536:] != read["two.mkv"][-65_536:]


def test_a_large_file_takes_little_room(tmp_path: Path) -> None:
    tree({"long.mkv": size(5_000_000_000)}).under(tmp_path)
    state = (tmp_path / "long.mkv").stat()
    assert state.st_size == 5_000_000_000
    assert state.st_blocks * 512 < 1_000_000


def test_names_in_bytes_links_text_and_empty_folders(tmp_path: Path) -> None:
    contents = {b"b": hard_link("caf\udce9"), b"s": symlink("nowhere"), b"caf\xe9": b"text", b"empty": folder()}
    root = tree(contents).under(tmp_path / "new")
    assert set(os.listdir(root)) == set(contents)
    assert os.path.samefile(root + b"b", root + b"caf\xe9")
    assert os.readlink(root + b"s") == b"nowhere"
    assert os.listdir(root + b"empty") == []
