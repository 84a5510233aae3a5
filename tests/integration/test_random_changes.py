"""Random changes of a library, under a daemon that runs and under one that is killed: the catalog ends up true.

The seed is printed; `MEDIAWATCHD_SEED=N pytest tests/integration/test_random_changes.py` makes the same changes again.
The moments at which the daemon sees or does not see them are never the same: a seed that fails may have to run often.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from typing import TYPE_CHECKING, BinaryIO

import pytest

from tests.library import exchange
from tests.oracle import Witness, differences, is_media, media_files, regular_files, remembered_hashes, snapshot
from tests.running import Running, running
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROUNDS = 12
CHANGES = 25
KILLS = 20
FEWEST = 20
SETTINGS = {"watch": {"settle_seconds": 0.1}, "missing": {"hold_share": None}}

_EXTENSIONS = (b"mkv", b"mp4", b"MKV", b"flac", b"mp3", b"avi", b"txt", b"nfo")
_SIZES = (0, 1, 100, 65_535, 65_536, 65_537, 131_072, 131_073, 200_000)
_STRANGE = (b"caf\xe9 \xff", b"two\nlines", b"100%_50%", b"-rf *", b"\xe6\x98\xa0\xe7\x94\xbb", b"l" * 251)
_UNFINISHED = (b"%s.part", b"%s.crdownload", b".%s.Xa3bQ9", b".syncthing.%s")


class Disk:
    """Two roots and a folder beside them on the same file system, and the changes that are made to them."""

    def __init__(self, base: bytes, seed: int) -> None:
        self.random = random.Random(seed)
        self.roots = (base + b"/media", base + b"/media2")
        self.outside = base + b"/elsewhere"
        for directory in (*self.roots, self.outside):
            os.makedirs(directory)
        self._writers: list[threading.Thread] = []
        self._renamed: set[int] = set()
        self._secret: set[int] = set()
        self.log: list[str] = []
        self._changes: list[tuple[int, Callable[[], object]]] = [
            (14, self.create),
            (5, self.write_slowly),
            (5, self.append),
            (3, self.truncate),
            (4, self.overwrite_secretly),
            (10, self.rename_file),
            (4, self.rename_over),
            (8, self.rename_directory),
            (3, self.move_out),
            (3, self.move_in),
            (3, self.replace),
            (3, self.exchange_files),
            (3, self.exchange_directories),
            (3, self.hard_link),
            (3, self.symbolic_link),
            (3, self.change_mode),
            (9, self.delete_file),
            (3, self.delete_tree),
            (3, self.recreate),
            (3, self.touch),
            (2, self.copy_tree),
            (2, self.make_directory),
            (1, self.make_fifo),
            (2, self.finish_download),
            (1, self.change_extension),
        ]

    def change(self) -> None:
        """One change of some kind; what cannot be done now is left out. Of few files there are soon more."""
        if sum(1 for root in self.roots for _ in regular_files(root)) < FEWEST:
            self.create()
        weights, changes = zip(*self._changes, strict=True)
        change = self.random.choices(changes, weights)[0]
        with suppress(OSError, IndexError, shutil.Error):
            change()

    def settle(self) -> None:
        """Wait until the slow writers are through; the daemon sees all of it before the next change."""
        for writer in self._writers:
            writer.join()
        self._writers.clear()
        self._renamed.clear()
        self._secret.clear()

    def create(self) -> None:
        self._write(self._new_path(), self._content())

    def write_slowly(self) -> None:
        path, parts = self._new_path(), [self._content() for _ in range(4)]
        self._say("write slowly", path)

        def write() -> None:
            with suppress(OSError), _opened(path) as file:  # its folder may be gone before the first byte
                for part in parts:
                    file.write(part)
                    file.flush()
                    time.sleep(0.1)

        self._writers.append(threading.Thread(target=write))
        self._writers[-1].start()

    def append(self) -> None:
        path = self._file()
        self._say("append to", path)
        with open(path, "ab") as file:
            file.write(self._content())

    def truncate(self) -> None:
        path = self._file()
        self._say("truncate", path)
        os.truncate(path, self.random.choice(_SIZES))

    def overwrite_secretly(self) -> None:
        """Other bytes, as many, and the time put back: only the ctime tells.

        A rename sets the ctime too, and a file that was renamed is not read again: of one with which both happens while
        nobody looks, nobody can tell. So it is one or the other, and only what the daemon looks at.
        """
        path = self._file()
        status = os.lstat(path)
        if status.st_ino in self._renamed or not self._is_media(path):
            return
        self._secret.add(status.st_ino)
        self._say("overwrite secretly", path)
        with open(path, "r+b") as file:
            file.write(self.random.randbytes(min(64, status.st_size)))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def rename_file(self) -> None:
        self._rename(self._file(), self._new_path())

    def rename_over(self) -> None:
        self._rename(self._file(), self._file())

    def rename_directory(self) -> None:
        """Also over an empty directory, and to a name that there was once."""
        self._rename(self._directory(), self._new_directory())

    def move_out(self) -> None:
        self._rename(self._any(), self._in(self.outside)[: len(self.outside) + 50])

    def move_in(self) -> None:
        name = self.random.choice(os.listdir(self.outside))
        path = self.outside + b"/" + name
        extension = b"" if os.path.isdir(path) else b".mkv"
        self._rename(path, self._in(self._holder()) + extension)

    def replace(self) -> None:
        """As rsync does: written under another name, then renamed over."""
        path = self._file()
        directory, name = os.path.split(path)
        unfinished = directory + b"/." + name[:200] + b".aB3xYz"
        self._write(unfinished, self._content())
        self._rename(unfinished, path)

    def exchange_files(self) -> None:
        self._exchange(self._file(), self._file())

    def exchange_directories(self) -> None:
        self._exchange(self._directory(), self._directory())

    def hard_link(self) -> None:
        path, link = self._file(), self._new_path()
        self._say("link", path, link)
        os.link(path, link)

    def symbolic_link(self) -> None:
        target = self.random.choice([self._any, self._holder, lambda: b"loop", lambda: b"."])()
        link = self._new_path()
        self._say("symlink", target, link)
        os.symlink(target, link)

    def change_mode(self) -> None:
        path = self._file()
        self._say("chmod", path)
        os.chmod(path, self.random.choice([0o644, 0o600, 0o444]))

    def delete_file(self) -> None:
        path = self._file()
        self._say("delete", path)
        os.unlink(path)

    def delete_tree(self) -> None:
        if self.random.random() < 0.5:
            path = self._directory()
            self._say("delete tree", path)
            shutil.rmtree(path)

    def recreate(self) -> None:
        """Something new where something was."""
        path, content = self._file(), self._content()
        os.unlink(path)
        self._write(path, content)

    def touch(self) -> None:
        path = self._file()
        seconds = self.random.choice([0, 1_000_000_000, 4_000_000_000, time.time(), -5])
        self._say("touch", path)
        os.utime(path, (seconds, seconds))

    def copy_tree(self) -> None:
        source, target = self._directory(), self._new_directory()
        if not (target + b"/").startswith(source + b"/"):
            self._say("copy tree", source, target)
            shutil.copytree(
                source, target, symlinks=True, copy_function=self.random.choice([shutil.copy, shutil.copy2])
            )

    def make_directory(self) -> None:
        os.makedirs(self._new_directory(), exist_ok=True)

    def make_fifo(self) -> None:
        path = self._new_path()
        self._say("fifo", path)
        os.mkfifo(path)

    def finish_download(self) -> None:
        path = self._new_path()
        directory, name = os.path.split(path)
        unfinished = directory + b"/" + self.random.choice(_UNFINISHED) % name
        self._write(unfinished, self._content())
        if self.random.random() < 0.5:
            self._rename(unfinished, path)

    def change_extension(self) -> None:
        path = self._file()
        self._rename(path, path + b"." + self.random.choice(_EXTENSIONS))

    def _rename(self, source: bytes, target: bytes) -> None:
        if not self._may_be_renamed(source):
            return
        self._say("rename", source, target)
        os.rename(source, target)

    def _exchange(self, one: bytes, other: bytes) -> None:
        if not self._may_be_renamed(one, other):
            return
        self._say("exchange", one, other)
        exchange(one, other)

    def _may_be_renamed(self, *paths: bytes) -> bool:
        inodes = {os.lstat(path).st_ino for path in paths}
        inodes |= {status.st_ino for path in paths if _is_directory(path) for _, status in regular_files(path)}
        if inodes & self._secret:
            return False
        self._renamed |= inodes
        return True

    def _write(self, path: bytes, content: bytes) -> None:
        self._say("write", path)
        with _opened(path) as file:
            file.write(content)

    def _is_media(self, path: bytes) -> bool:
        return any(path.startswith(root + b"/") and is_media(path, root) for root in self.roots)

    def _say(self, what: str, *paths: bytes) -> None:
        self.log.append(f"{time.time():.3f} {what} {paths}")

    def _content(self) -> bytes:
        return self.random.randbytes(self.random.choice(_SIZES))

    def _file(self) -> bytes:
        return self.random.choice(sorted(path for root in self.roots for path, _ in regular_files(root)))

    def _any(self) -> bytes:
        return self.random.choice([self._file, self._directory])()

    def _holder(self) -> bytes:
        """A directory to put something in: a root or one below."""
        return self.random.choice([*self.roots, *self._directories()])

    def _directory(self) -> bytes:
        return self.random.choice(list(self._directories()))

    def _directories(self) -> list[bytes]:
        found = []
        for root in self.roots:
            for path, directories, _ in os.walk(root):
                found += [os.path.join(path, name) for name in directories if not os.path.islink(path + b"/" + name)]
        return sorted(found)

    def _in(self, directory: bytes) -> bytes:
        return directory + b"/" + self._name()

    def _new_path(self) -> bytes:
        holder = self._holder()
        if self.random.random() < 0.3:
            holder = self._new_directory()
            os.makedirs(holder, exist_ok=True)
        path = self._in(holder)
        # The longest name there can be is one byte less than this with its dot.
        return path[: len(path) - max(0, len(os.path.basename(path)) - 251)] + b"." + self.random.choice(_EXTENSIONS)

    def _new_directory(self) -> bytes:
        holder = self._holder()
        while holder.count(b"/") > self.outside.count(b"/") + 5:
            holder = os.path.dirname(holder)
        # In each other, a few of the longest name would make a path that no program can open.
        return self._in(holder)[: len(holder) + 50]

    def _name(self) -> bytes:
        """Few enough that names come again."""
        if self.random.random() < 0.1:
            return self.random.choice(_STRANGE)
        return b"%d" % self.random.randrange(30)


def _is_directory(path: bytes) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _opened(path: bytes) -> BinaryIO:
    """A file to write to; OSError where there is a FIFO, which would wait for a reader."""
    return open(path, "wb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK, 0o644))


def make_changes(disk: Disk, witness: Witness, count: int) -> Iterator[None]:
    for _ in range(count):
        disk.change()
        witness.look([*disk.roots, disk.outside])
        if disk.random.random() < 0.2:
            time.sleep(disk.random.choice([0.02, 0.1, 0.3]))
        yield
    disk.settle()
    witness.look([*disk.roots, disk.outside])


class Judge:
    """Compares after each round, and says what was done when something is wrong."""

    def __init__(self, daemon: Running, disk: Disk) -> None:
        self._daemon = daemon
        self._disk = disk
        self._hashes: Counter[str] = Counter()
        self.witness = Witness({})
        self._since = 0.0

    def check(self) -> None:
        answer = self._daemon.sync(walk=True)
        assert answer["unsettled"] == []
        assert answer["offline"] == []
        wrong = differences(self._daemon, self._disk.roots)
        if not wrong:
            after, hashes = snapshot(self._daemon, self._disk.roots), remembered_hashes(self._daemon)
            wrong = self.witness.lost_ids(after, self._hashes | hashes)
            self.witness, self._hashes = Witness(after), hashes
        if wrong:
            with closing(sqlite3.connect(self._daemon.database)) as connection:
                told = [
                    f"{when} {event} {(former, path)} {detail}"
                    for when, event, former, path, detail in connection.execute(
                        "SELECT time, event, former, path, detail FROM history WHERE time > ? ORDER BY seq",
                        (self._since,),
                    )
                ]
            text = "\n".join([*wrong, "", "What was done:", *self._disk.log, "What was told:", *told])
            pytest.fail(text.replace(os.path.dirname(os.fsdecode(self._disk.outside)), ""))
        self._disk.log.clear()
        self._since = time.time()


@pytest.fixture
def seed() -> int:
    number = int(os.environ.get("MEDIAWATCHD_SEED", random.randrange(1_000_000)))
    sys.stderr.write(f"MEDIAWATCHD_SEED={number}\n")
    return number


@pytest.mark.timeout(300)
def test_the_catalog_is_true_after_random_changes(tmp_path: Path, seed: int) -> None:
    disk = Disk(os.fsencode(tmp_path), seed)
    with running(tmp_path / "daemon", *(tmp_path / name for name in ("media", "media2")), settings=SETTINGS) as daemon:
        judge = Judge(daemon, disk)
        judge.check()
        for _ in range(ROUNDS):
            for _ in make_changes(disk, judge.witness, CHANGES):
                pass
            judge.check()
        assert media_files(disk.roots)
        assert daemon.stop() == 0


@pytest.mark.timeout(300)
def test_the_catalog_is_true_after_kills_at_random_moments(tmp_path: Path, seed: int) -> None:
    disk = Disk(os.fsencode(tmp_path), seed)
    with running(tmp_path / "daemon", *(tmp_path / name for name in ("media", "media2")), settings=SETTINGS) as daemon:
        judge = Judge(daemon, disk)
        judge.check()
        for _ in range(KILLS):
            moment = disk.random.randrange(CHANGES)
            for number, _ in enumerate(make_changes(disk, judge.witness, CHANGES)):
                if number == moment:
                    daemon.kill()
                    if disk.random.random() < 0.5:
                        daemon.start(wait=False)
            if daemon.process is not None and disk.random.random() < 0.3:
                time.sleep(disk.random.random())
                daemon.kill()
            if daemon.process is None:
                daemon.start(wait=False)
            wait_until(daemon._answers, within=30, shows=daemon.said)
            judge.check()
        assert media_files(disk.roots)
        assert daemon.stop() == 0
