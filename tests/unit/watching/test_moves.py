"""What moves in a real folder and what only looks like it; whether a row came along is asked of the catalog."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.parts import WITHIN
from tests.rooted import Rooted, rooted
from tests.trees import size, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    return tree(
        {
            "a.mkv": size(10),
            "b.mkv": size(20),
            "films/one/1.mkv": size(100),
            "films/one/2.mkv": size(200),
            "films/two/deep/3.mkv": size(300),
        }
    ).under(tmp_path / "media")


@pytest.fixture
def parts(tmp_path: Path, root: bytes) -> Iterator[Rooted]:
    with rooted(tmp_path, root) as made:
        made.hashed(*(row["id"] for row in made.rows()))
        yield made


def ids(parts: Rooted) -> dict[bytes, int]:
    """The ids of the present rows by path."""
    return {row["path"]: row["id"] for row in parts.rows() if row["missing_since"] is None}


def walked(parts: Rooted, root: bytes) -> dict[bytes, int]:
    """The ids after as many walks as an absence needs to be believed."""
    for _ in range(3):
        assert parts.walk(root) is None
    return ids(parts)


def lacks(parts: Rooted, path: bytes) -> Any:
    return parts.row(path)["lacks"] & 1


def test_a_renamed_file_keeps_its_row_and_its_hash(parts: Rooted, root: bytes) -> None:
    before = ids(parts)
    os.rename(root + b"a.mkv", root + b"films/new name.mkv")
    after = walked(parts, root)
    assert after == {**{path: each for path, each in before.items() if path != root + b"a.mkv"},
                     root + b"films/new name.mkv": before[root + b"a.mkv"]}  # fmt: skip
    assert not lacks(parts, root + b"films/new name.mkv")


def test_a_renamed_tree_keeps_all_its_rows(parts: Rooted, root: bytes) -> None:
    before = ids(parts)
    os.rename(root + b"films", root + b"cinema")
    after = walked(parts, root)
    assert after == {path.replace(b"films", b"cinema"): each for path, each in before.items()}
    assert not any(lacks(parts, path) for path in after)


def test_a_tree_moved_into_another_keeps_all_its_rows(parts: Rooted, root: bytes) -> None:
    before = ids(parts)
    os.makedirs(root + b"x/y")
    os.rename(root + b"films/two", root + b"x/y/two")
    after = walked(parts, root)
    assert after == {path.replace(b"films/two/", b"x/y/two/"): each for path, each in before.items()}


def test_a_move_that_a_hint_reports_is_known_at_once(parts: Rooted, root: bytes) -> None:
    before = ids(parts)
    os.rename(root + b"a.mkv", root + b"films/a.mkv")
    for directory, name in ((root, b"a.mkv"), (root + b"films/", b"a.mkv")):
        parts.roots.dirty(parts.root_ids[root], directory, name, True)
    parts.settle(root)
    assert ids(parts)[root + b"films/a.mkv"] == before[root + b"a.mkv"]
    assert root + b"a.mkv" not in ids(parts)


def test_two_files_that_swap_names_swap_paths(parts: Rooted, root: bytes) -> None:
    before = ids(parts)
    os.rename(root + b"a.mkv", root + b"t.mkv")
    os.rename(root + b"b.mkv", root + b"a.mkv")
    os.rename(root + b"t.mkv", root + b"b.mkv")
    after = walked(parts, root)
    assert (after[root + b"a.mkv"], after[root + b"b.mkv"]) == (before[root + b"b.mkv"], before[root + b"a.mkv"])


def test_two_directories_that_swap_names_swap_paths(parts: Rooted, root: bytes) -> None:
    before = ids(parts)
    os.rename(root + b"films/one", root + b"films/t")
    os.rename(root + b"films/two", root + b"films/one")
    os.rename(root + b"films/t", root + b"films/two")
    after = walked(parts, root)
    assert after[root + b"films/two/1.mkv"] == before[root + b"films/one/1.mkv"]
    assert after[root + b"films/one/deep/3.mkv"] == before[root + b"films/two/deep/3.mkv"]
    assert len(after) == 5


@pytest.mark.parametrize("first", ["a hint", "a hint below", "a walk"])
def test_two_directories_that_swap_names_are_told_apart_whatever_is_looked_at_first(
    parts: Rooted, root: bytes, first: str
) -> None:
    """The one that was looked at by itself was taken for the other: a new file in it took the row of that one's."""
    tree({"films/one/deep/4.mkv": size(400)}).under(root)
    before = walked(parts, root)
    os.rename(root + b"films/one", root + b"films/t")
    os.rename(root + b"films/two", root + b"films/one")
    os.rename(root + b"films/t", root + b"films/two")
    new = tree({"1.mkv": size(1), "deep/4.mkv": size(4)}).under(root + b"films/one/")
    if first == "a walk":
        assert parts.walk(new) is None
    else:
        directory, name = (new, b"1.mkv") if first == "a hint" else (new + b"deep/", b"4.mkv")
        parts.roots.dirty(parts.root_ids[root], directory, name, True)
        parts.settle(root)
    after = walked(parts, root)
    for path in (new + b"1.mkv", new + b"deep/4.mkv"):
        assert after.pop(path) not in before.values()
    one, two = root + b"films/one/", root + b"films/two/"
    assert after == {
        two + path.removeprefix(one) if path.startswith(one) else path.replace(two, one): file_id
        for path, file_id in before.items()
    }


def test_a_file_renamed_over_another_brings_its_row_and_the_other_becomes_missing(parts: Rooted, root: bytes) -> None:
    before = ids(parts)
    os.rename(root + b"a.mkv", root + b"b.mkv")
    after = walked(parts, root)
    assert after[root + b"b.mkv"] == before[root + b"a.mkv"]
    assert root + b"a.mkv" not in after
    (overwritten,) = (row for row in parts.rows() if row["missing_since"] is not None)
    assert overwritten["id"] == before[root + b"b.mkv"]


def test_a_copy_is_never_a_move(parts: Rooted, root: bytes) -> None:
    before = ids(parts)
    shutil.copy2(root + b"a.mkv", root + b"copy.mkv")
    after = walked(parts, root)
    assert after[root + b"a.mkv"] == before[root + b"a.mkv"]
    assert after[root + b"copy.mkv"] not in before.values()


def test_a_hard_link_is_a_path_of_its_own(parts: Rooted, root: bytes) -> None:
    before = ids(parts)
    os.link(root + b"a.mkv", root + b"link.mkv")
    after = walked(parts, root)
    assert after[root + b"a.mkv"] == before[root + b"a.mkv"]
    assert after[root + b"link.mkv"] not in before.values()


def test_a_new_file_that_got_the_inode_of_a_deleted_one_is_new(parts: Rooted, root: bytes) -> None:
    # ext4 gives an inode out again at once; size and time tell.
    before = ids(parts)
    row = parts.row(root + b"a.mkv")
    os.unlink(root + b"a.mkv")
    tree({"other.mkv": size(11)}).under(root)
    inode = os.stat(root + b"other.mkv").st_ino
    parts.call(lambda tx: tx.connection.execute("UPDATE media_files SET inode = ? WHERE id = ?", (inode, row["id"])))
    after = walked(parts, root)
    assert after[root + b"other.mkv"] not in before.values()
    wait_until(lambda: parts.missing() == {root + b"a.mkv"}, within=WITHIN)


def test_a_new_directory_with_a_known_inode_and_other_files_has_not_moved(parts: Rooted, root: bytes) -> None:
    before = ids(parts)
    shutil.rmtree(root + b"films/one")
    tree({"fresh/9.mkv": size(900)}).under(root)
    inode = os.stat(root + b"fresh").st_ino
    parts.call(
        lambda tx: tx.connection.execute(
            "UPDATE directories SET inode = ? WHERE path = ?", (inode, root + b"films/one/")
        )
    )
    parts.call(lambda tx: tx.directories.clear())
    after = walked(parts, root)
    assert after[root + b"fresh/9.mkv"] not in before.values()
    wait_until(lambda: parts.missing() == {root + b"films/one/1.mkv", root + b"films/one/2.mkv"}, within=WITHIN)


def test_a_folder_that_may_not_be_read_any_more_and_is_renamed_is_not_missed(
    parts: Rooted, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What nobody could look at was taken for gone, and its files became missing.
    before = ids(parts)

    def refusing(call: Callable[..., Any]) -> Callable[..., Any]:
        def refuse(path: Any, *arguments: Any, **keywords: Any) -> Any:
            # The name itself can be looked at, but nothing in it.
            is_refused = path == b"cinema" if call is not stat else str(path).startswith("b'cinema/")
            if is_refused and keywords.get("dir_fd"):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return call(path, *arguments, **keywords)

        return refuse

    stat = os.stat
    monkeypatch.setattr(os, "open", refusing(os.open))
    monkeypatch.setattr(os, "stat", refusing(stat))
    os.rename(root + b"films", root + b"cinema")
    assert walked(parts, root) == {path.replace(b"films", b"cinema"): each for path, each in before.items()}
    assert parts.missing() == set()


def test_a_new_folder_that_may_not_be_read_is_not_taken_for_one_deleted_before(
    parts: Rooted, root: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Inodes are given out again: what was remembered of the deleted folder went over to the new one.
    remembered = {root + b"films/one/1.mkv", root + b"films/one/2.mkv"}
    shutil.rmtree(root + b"films/one")
    walked(parts, root)
    wait_until(lambda: parts.missing() == remembered, within=WITHIN)
    tree({"private/9.mkv": size(900)}).under(root)
    parts.call(
        lambda tx: tx.connection.execute(
            "UPDATE directories SET inode = ? WHERE path = ?", (os.stat(root + b"private").st_ino, root + b"films/one/")
        )
    )
    parts.call(lambda tx: tx.directories.clear())
    look = os.stat

    def refuse(path: Any, **keywords: Any) -> os.stat_result:
        if str(path).startswith("b'private/"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return look(path, **keywords)

    monkeypatch.setattr(os, "stat", refuse)
    walked(parts, root)
    assert parts.missing() == remembered


def test_a_file_that_changed_as_it_moved_is_new(parts: Rooted, root: bytes) -> None:
    before = ids(parts)
    os.rename(root + b"a.mkv", root + b"changed.mkv")
    with open(root + b"changed.mkv", "ab") as file:
        file.write(b"more")
    after = walked(parts, root)
    assert after[root + b"changed.mkv"] not in before.values()


def test_a_move_between_roots_on_one_file_system_keeps_the_row(tmp_path: Path) -> None:
    one = tree({"a.mkv": size(10)}).under(tmp_path / "one")
    two = tree({}).under(tmp_path / "two")
    with rooted(tmp_path, one, two) as parts:
        before = ids(parts)
        os.rename(one + b"a.mkv", two + b"a.mkv")
        assert parts.walk(two) is None
        assert parts.walk(one) is None
        assert ids(parts) == {two + b"a.mkv": before[one + b"a.mkv"]}


def test_what_moved_while_nobody_watched_is_known_after_the_start(tmp_path: Path, root: bytes) -> None:
    with rooted(tmp_path, root) as parts:
        before = ids(parts)
    os.rename(root + b"films", root + b"cinema")
    os.rename(root + b"a.mkv", root + b"cinema/a.mkv")
    with rooted(tmp_path, root) as parts:
        after = walked(parts, root)
    wanted = {path.replace(b"films", b"cinema"): each for path, each in before.items()}
    wanted[root + b"cinema/a.mkv"] = wanted.pop(root + b"a.mkv")
    assert after == wanted
