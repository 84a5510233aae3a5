"""Every state of a file, and every reason for which one is not in the catalog."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd.config import FileExtensions
from mediawatchd.control.explaining import explain
from mediawatchd.errors import Refused
from mediawatchd.model import PHASH, PROBE, SECOND
from mediawatchd.watching.rules import Rules
from tests.parts import WITHIN
from tests.rooted import Rooted, rooted
from tests.trees import size, symlink, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RULES = Rules(extensions=FileExtensions(), ignore=["private/"])


class Bench:
    def __init__(self, parts: Rooted, root: bytes) -> None:
        self.parts = parts
        self.root = root
        self.path = root + b"a.mkv"

    @property
    def file_id(self) -> int:
        file_id: int = self.parts.row(self.path)["id"]
        return file_id

    def change(self, **columns: object) -> None:
        """Set columns of the file's row."""
        wanted = ", ".join(f"{name} = ?" for name in columns)
        values = (*columns.values(), self.file_id)
        self.parts.call(lambda tx: tx.connection.execute(f"UPDATE media_files SET {wanted} WHERE id = ?", values))

    def explain(self, path: bytes | None = None, *, paused: bool = False) -> dict[str, Any]:
        return explain(self.parts.database, self.parts.roots, RULES, path or self.path, paused=paused)

    def refused(self, path: bytes) -> str:
        with pytest.raises(Refused) as refused:
            self.explain(path)
        assert (refused.value.status, refused.value.code) == (404, "not_found")
        return str(refused.value)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    root = tree({"a.mkv": size(10), "notes.txt": size(3), "b.mkv.part": size(4)}).under(tmp_path / "media")
    with rooted(tmp_path, root) as parts:
        yield Bench(parts, root)


def test_queued(bench: Bench) -> None:
    told = bench.explain()
    assert (told["state"], told["why"]) == ("queued", "It waits for a worker.")
    assert (told["path"], told["filename"]) == (os.fsdecode(bench.path), "a.mkv")


def test_settling_says_how_long(bench: Bench) -> None:
    bench.change(due_ns=bench.parts.database.clock.now_ns() + 100 * SECOND)
    told = bench.explain()
    assert told["state"] == "settling"
    assert "100 s" in told["why"] or "99 s" in told["why"]


def test_paused(bench: Bench) -> None:
    assert bench.explain(paused=True)["state"] == "paused"


def test_ready_also_while_paused(bench: Bench) -> None:
    bench.change(lacks=0)
    assert bench.explain()["state"] == bench.explain(paused=True)["state"] == "ready"


def test_a_file_that_was_hashed_still_waits_for_its_probe(bench: Bench) -> None:
    bench.change(lacks=PROBE)
    assert bench.explain()["state"] == "queued"


def test_a_passing_problem_says_when_it_is_tried_again(bench: Bench) -> None:
    bench.parts.failed(bench.file_id)
    told = bench.explain()
    assert told["state"] == "problem"
    assert told["why"].startswith("It cannot be read. It is tried again in ")
    assert told["problem"] == "It cannot be read."


def test_a_lasting_problem_says_what_can_be_done(bench: Bench) -> None:
    bench.parts.failed(bench.file_id, reason="decode", final=True)
    told = bench.explain()
    assert told["state"] == "problem"
    assert told["why"].endswith("not tried again until it changes or a scan is asked for.")


def test_what_is_wanted_of_a_video_is_waited_for_and_what_is_not_is_not(bench: Bench) -> None:
    bench.change(lacks=PHASH)
    assert (bench.explain()["state"], bench.explain()["fingerprint"]) == ("ready", False)
    bench.change(wanted=PHASH)
    assert bench.explain()["state"] == "queued"
    bench.parts.failed(bench.file_id, lacks=PHASH)
    assert "It is tried again in " in bench.explain()["why"]
    bench.change(wanted=0)
    assert bench.explain()["why"].endswith("until it changes or a phash is asked for.")


def test_offline(bench: Bench) -> None:
    os.rename(bench.root[:-1], bench.root[:-1] + b".away")
    bench.parts.keeper(bench.root).check_root()
    bench.parts.wait_for(bench.root, "offline")
    told = bench.explain()
    assert told["state"] == "offline"
    assert "the folder is not there" in told["why"]
    # What is not in the catalog is not looked for on a disk that may not answer.
    assert "its root is offline" in bench.refused(bench.root + b"new.mkv")


def test_absent_until_a_second_look(bench: Bench) -> None:
    bench.change(absent_ns=1)
    assert bench.explain()["state"] == "absent"


def test_held_names_the_way_out(bench: Bench) -> None:
    bench.change(absent_ns=1, held=1)
    told = bench.explain()
    assert told["state"] == "held"
    assert "confirm-missing" in told["why"]


def test_missing(bench: Bench) -> None:
    os.unlink(bench.path)
    bench.parts.roots.dirty(bench.parts.root_ids[bench.root], bench.root, b"a.mkv", False)
    wait_until(lambda: bench.path in bench.parts.missing(), within=WITHIN)
    told = bench.explain()
    assert told["state"] == "missing"
    assert told["missing_since"] is not None


def test_why_a_path_is_not_in_the_catalog(bench: Bench, tmp_path: Path) -> None:
    tree({"link.mkv": symlink("a.mkv"), "private/c.mkv": size(5), "late.mkv": size(6)}).under(bench.root)
    os.mkfifo(bench.root + b"pipe.mkv")
    os.mkdir(bench.root + b"folder.mkv")
    for name, reason in (
        (b"notes.txt", "none of the configured extensions"),
        (b"b.mkv.part", "ignored by the rule *.part"),
        (b"private/c.mkv", "ignored by the rule private/"),
        (b"gone.mkv", "not on disk: No such file or directory"),
        (b"link.mkv", "a symbolic link"),
        (b"pipe.mkv", "not a regular file"),
        (b"folder.mkv", "not a regular file"),
        (b"late.mkv", "on disk and not in the catalog yet"),
    ):
        assert reason in bench.refused(bench.root + name), name


def test_a_path_outside_the_roots(bench: Bench) -> None:
    assert "is below no root" in bench.refused(b"/etc/passwd")
    assert "is below no root" in bench.refused(bench.root[:-1] + b"2/a.mkv")
