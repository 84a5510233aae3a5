"""Every state of a file, and every reason for which one is not in the catalog."""

from __future__ import annotations

import errno
import os
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from mediawatchd import config as configuration
from mediawatchd.catalog.missing import HOUR_NS
from mediawatchd.config import CommandLine, FileExtensions
from mediawatchd.control.explaining import explain
from mediawatchd.errors import Refused
from mediawatchd.model import PHASH, PROBE, QUICK_HASH, SECOND, Stamp, Task
from mediawatchd.watching.rules import Rules
from mediawatchd.work.queue import WorkQueue
from tests.parts import WITHIN
from tests.rooted import Rooted, rooted
from tests.trees import size, symlink, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = configuration.load(None, overrides=CommandLine((b"/x",)), environment={"XDG_STATE_HOME": "/s"})
RULES = Rules(extensions=FileExtensions(), ignore=["private/"])


class Bench:
    def __init__(self, parts: Rooted, root: bytes) -> None:
        self.parts = parts
        self.root = root
        self.queue = WorkQueue(capacity=100, busy_limit=1)
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
        return explain(
            self.parts.database, self.parts.roots, RULES, path or self.path,
            config=CONFIG, paused=paused, queues={QUICK_HASH: self.queue},
        )  # fmt: skip

    def refused(self, path: bytes) -> str:
        return str(self.refusal(path))

    def refusal(self, path: bytes) -> Refused:
        with pytest.raises(Refused) as refused:
            self.explain(path)
        assert (refused.value.status, refused.value.code) == (404, "not_found")
        return refused.value


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    root = tree({"a.mkv": size(10), "notes.txt": size(3), "b.mkv.part": size(4)}).under(tmp_path / "media")
    with rooted(tmp_path, root) as parts:
        yield Bench(parts, root)


def test_queued(bench: Bench) -> None:
    told = bench.explain()
    assert (told["state"], told["why"]) == ("queued", "It waits for a worker.")
    assert (told["path"], told["filename"]) == (os.fsdecode(bench.path), "a.mkv")


def test_what_lies_in_a_folder_that_cannot_be_read(bench: Bench) -> None:
    tree({"bad/c.mkv": size(5), "bad/below/d.mkv": size(6)}).under(bench.root)
    bench.parts.walk(bench.root)
    unreadable = bench.parts.keeper(bench.root)._unreadable
    unreadable.failed(bench.root + b"bad/", OSError(errno.EIO, "Input/output error"))
    for path in (b"bad/c.mkv", b"bad/below/d.mkv", b"bad", b"bad/below"):
        told = bench.explain(bench.root + path)
        assert told["state"] == "unreadable"
        assert told["why"].endswith("media/bad could not be read: Input/output error. What is known stays as it is.")
        assert 0 < (datetime.fromisoformat(told["next_at"]) - datetime.fromisoformat(told["since"])).seconds <= 61
    assert bench.explain()["state"] == "queued"
    # Where too many could not be named, the root stands for them, and not for everything else in it.
    unreadable.failed(bench.root, OSError(errno.EIO, "Input/output error"))
    assert bench.explain()["state"] == "queued"


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
        (b"folder.mkv", "a folder on disk and not in the catalog yet"),
        (b"late.mkv", "on disk and not in the catalog yet"),
    ):
        assert reason in bench.refused(bench.root + name), name


def test_a_path_outside_the_roots(bench: Bench) -> None:
    assert "is below no root" in bench.refused(b"/etc/passwd")
    assert "is below no root" in bench.refused(bench.root[:-1] + b"2/a.mkv")


def test_why_a_path_is_not_in_the_catalog_for_scripts_and_what_to_do(bench: Bench) -> None:
    tree(
        {"link.mkv": symlink("a.mkv"), "to": symlink("private"), "private/c.mkv": size(5), "q x/d.mkv": size(6)}
    ).under(bench.root)
    for name, detail, hint in (
        (b"notes.txt", {"state": "not_media"}, "`file_extensions`"),
        (b"b.mkv.part", {"state": "ignored", "rule": "*.part", "rule_from": "built-in"}, "`!*.part`"),
        (b"private", {"state": "ignored", "rule": "private/", "rule_from": "configuration"}, "Take the rule out"),
        (b"private/c.mkv", {"state": "ignored", "rule": "private/", "rule_from": "configuration"}, "reload"),
        (b"gone.mkv", {"state": "absent"}, ""),
        (b"link.mkv", {"state": "symlink"}, "It points to a.mkv"),
        (b"to/c.mkv", {"state": "symlink"}, "if that is in a root: private"),
        (b"q x/d.mkv", {"state": "unseen"}, f"mediawatchctl scan '{os.fsdecode(bench.root)}q x'"),
    ):
        refusal = bench.refusal(bench.root + name)
        assert refusal.detail == detail, name
        assert hint in refusal.hint, name
    assert "which is about the folder private/" in bench.refused(bench.root + b"private/c.mkv")


def when(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_every_state_says_since_when_and_what_comes_next(bench: Bench) -> None:
    now, ready = time.time(), bench.parts.status(bench.root)
    now_ns = bench.parts.database.clock.now_ns()
    bench.change(lacks=0, hashed_at=1_000)
    told = bench.explain()
    assert (when(told["since"]), told["next"]) == (1_000, "It is compared with the disk again.")
    assert ready.next_walk is not None
    assert abs(when(told["next_at"]) - ready.next_walk) < 2
    bench.change(lacks=QUICK_HASH, fact_ns=now_ns, due_ns=now_ns + 50 * SECOND)
    told = bench.explain()
    assert abs(when(told["since"]) - now) < 20
    assert 30 < when(told["next_at"]) - now < 70
    bench.parts.failed(bench.file_id)
    told = bench.explain()
    assert abs(when(told["since"]) - now) < 20
    assert 30 < when(told["next_at"]) - now < 90
    bench.change(problem=None, problem_lacks=None, absent_ns=now_ns)
    assert abs(when(bench.explain()["next_at"]) - now - 2 * CONFIG.watch.settle_seconds) < 20
    bench.change(held=1)
    told = bench.explain()
    assert told["next"].endswith(f"mediawatchctl confirm-missing {os.fsdecode(bench.root[:-1])}")
    assert told["next_at"] is None
    bench.change(held=0, absent_ns=None, missing_since=int(now), missing_online_ns=0, missing_walks=0)
    bench.parts.call(lambda tx: tx.connection.execute("UPDATE roots SET walks = 1, online_ns = ?", (24 * HOUR_NS,)))
    told = bench.explain()
    assert told["next"] == "It is forgotten after 144 h with its root online and 1 more walk of its root."
    assert abs(when(told["next_at"]) - now - 144 * 3600) < 20
    bench.parts.call(lambda tx: tx.connection.execute("UPDATE roots SET walks = 2, online_ns = ?", (999 * HOUR_NS,)))
    assert bench.explain()["next"] == "It is forgotten within an hour."


def test_queued_says_behind_how_many_and_when_a_worker_has_it(bench: Bench) -> None:
    tree({f"{number}.mkv": size(20 + number) for number in range(3)}).under(bench.root)
    bench.parts.walk(bench.root)
    bench.change(due_ns=bench.parts.database.clock.now_ns(), priority=1)
    assert bench.explain()["why"] == "It waits for a worker, behind 3 others."
    bench.change(priority=2)
    assert bench.explain()["why"] == "It waits for a worker, behind 3 others.", "those go before it, however late"
    bench.change(priority=0)
    assert bench.explain()["why"] == "It waits for a worker."
    bench.queue.offer([Task(bench.file_id, bench.path, Stamp(1, 1, 1, 1, 1), "video", QUICK_HASH, 1, 1, 0)])
    assert bench.explain()["why"] == "It waits for a worker."
    bench.queue.take(1)
    assert bench.explain()["why"] == "A worker has it now."


def test_what_was_probed_is_shown_whole(bench: Bench) -> None:
    bench.parts.call(
        lambda tx: tx.connection.execute(
            "INSERT INTO video_metadata (file_id, codec, frame_rate, hdr) VALUES (?, 'hevc', 23.976, 'hdr10')",
            (bench.file_id,),
        )
    )
    told = bench.explain()
    assert told["video"] == {"codec": "hevc", "frame_rate": 23.976, "hdr": "hdr10"}
    assert "audio" not in told


def test_a_folder_says_what_is_in_it(bench: Bench) -> None:
    tree({"films/b.mkv": size(30), "films/deep/c.mkv": size(40)}).under(bench.root)
    bench.parts.walk(bench.root)
    told = bench.explain(bench.root + b"films")
    assert (told["state"], told["why"]) == ("folder", "It is a folder with 2 media files in all.")
    assert (told["files"], told["folders"], told["bytes"], told["pending_quick_hash"]) == (2, 1, 70, 2)
    assert (told["path"], told["root"]) == (os.fsdecode(bench.root + b"films"), os.fsdecode(bench.root[:-1]))
    whole = bench.explain(bench.root[:-1])
    assert (whole["files"], whole["missing"]) == (3, 0)
    os.rename(bench.root[:-1], bench.root[:-1] + b".away")
    bench.parts.keeper(bench.root).check_root()
    bench.parts.wait_for(bench.root, "offline")
    told = bench.explain(bench.root + b"films")
    assert (told["state"], told["files"]) == ("offline", 2)
    assert told["next"].startswith("The root is looked at again. Mount its disk")
    assert when(told["next_at"]) >= when(told["since"])
