"""Random changes of a library on disk, derived from a seed alone: what is drawn depends on what was done before.

A file that is written slowly goes on a part at a time with the changes that follow, so nothing depends on the clock.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from tests.library import exchange
from tests.oracle import Crossing, file_id, is_media, key_of, quick_hash, regular_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from io import FileIO

FEWEST = 20
MOST = 400
_EXTENSIONS = (b"mkv", b"mp4", b"MKV", b"flac", b"mp3", b"avi", b"txt", b"nfo")
_SIZES = (0, 1, 100, 65_535, 65_536, 65_537, 131_072, 131_073, 200_000)
_STRANGE = (b"caf\xe9 \xff", b"two\nlines", b"100%_50%", b"-rf *", b"\xe6\x98\xa0\xe7\x94\xbb", b"l" * 251)
_UNFINISHED = (b"%s.part", b"%s.crdownload", b".%s.Xa3bQ9", b".syncthing.%s")


class _Download(NamedTuple):
    path: bytes
    file: FileIO
    parts: list[bytes]


class Changer:
    """Some roots and a folder outside them, and the changes that are made to them.

    `roots` are those that are there now, `away` the folders in them that are not: a disk that is not mounted.
    `footage` are the first bytes of real media files, by extension.
    """

    def __init__(
        self, roots: Iterable[bytes], outside: bytes, seed: int, footage: Mapping[bytes, bytes] | None = None
    ) -> None:
        self.random = random.Random(seed)
        self.roots = list(roots)
        self.outside = outside
        self.away: set[bytes] = set()
        for directory in (*self.roots, self.outside):
            os.makedirs(directory, exist_ok=True)
        self._footage = footage or {}
        self._downloads: list[_Download] = []
        self._renamed: set[tuple[int, int]] = set()
        self._secret: set[tuple[int, int]] = set()
        self.copied: set[str] = set()
        self.crossings: list[Crossing] = []
        self.log: list[str] = []
        self.done: Counter[str] = Counter()
        """How often each kind of change was made."""
        self._changes: list[tuple[int, Callable[[], object]]] = [
            (14, self.create),
            (5, self.write_slowly),
            (5, self.append),
            (3, self.truncate),
            (4, self.overwrite_secretly),
            (10, self.rename_file),
            (5, self.move_across),
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
            (2, self.recreate_directory),
            (3, self.touch),
            (2, self.copy_tree),
            (2, self.make_directory),
            (1, self.make_fifo),
            (2, self.finish_download),
            (1, self.change_extension),
        ]

    def change(self) -> None:
        """One change of some kind, and the next part of some downloads. Few files become more, many fewer.

        What cannot be done now is left out.
        """
        for download in list(self._downloads):
            if self.random.random() < 0.5:
                self._try(lambda download=download: self._go_on(download), "go on writing")
        count = sum(1 for root in self.roots for _ in self._files_below(root))
        weights, changes = zip(*self._changes, strict=True)
        change = self.random.choices(changes, weights)[0]
        if count < FEWEST:
            self._try(self.create)
        if count > MOST:
            self._try(self.delete_tree)
        self._try(change)

    def _try(self, change: Callable[[], None], kind: str | None = None) -> None:
        before = len(self.log)
        try:
            change()
        except (OSError, IndexError, shutil.Error) as error:
            if len(self.log) > before:
                self.log[-1] += f" failed: {type(error).__name__} {getattr(error, 'strerror', None)}"
        else:
            if len(self.log) > before:
                self.done[kind or change.__name__.replace("_", " ")] += 1

    def checked(self) -> None:
        """The daemon has seen everything: what was kept in mind for its sake is forgotten."""
        self._renamed.clear()
        self._secret.clear()
        self.copied.clear()
        self.crossings.clear()
        self.log.clear()

    def finish_downloads(self, below: bytes = b"/") -> None:
        """Write what is left of those that were begun below a folder: an open file keeps its disk busy."""
        for download in [each for each in self._downloads if each.path.startswith(below)]:
            while download in self._downloads:
                self._try(lambda download=download: self._go_on(download), "go on writing")

    def create(self) -> None:
        self._write(self._new_path(), self._content())

    def write_slowly(self) -> None:
        """A download that goes on with the changes to come, wherever its file is moved meanwhile."""
        path = self._new_path()
        self._say("begin to write", path)
        parts = [self._content() for _ in range(self.random.choice([2, 4, 12]))]
        self._downloads.append(_Download(path, _opened(path), parts))

    def _go_on(self, download: _Download) -> None:
        if download.parts:
            self._say("go on writing", download.path)
            download.file.write(download.parts.pop())
        else:
            self._say("end writing", download.path)
            download.file.close()
            self._downloads.remove(download)

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
        if file_id(status) in self._renamed or not self._is_media(path):
            return
        self._secret.add(file_id(status))
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
        name = self.random.choice(sorted(os.listdir(self.outside)))
        path = self.outside + b"/" + name
        extension = b"" if os.path.isdir(path) else b".mkv"
        self._rename(path, self._in(self._holder()) + extension)

    def move_across(self) -> None:
        """As `mv` does between two disks: a copy that keeps the times, and then the original goes."""
        source = self._any()
        target = self._new_directory() if _is_directory(source) else self._new_path()
        if os.path.lexists(target) or os.lstat(source).st_dev == os.lstat(os.path.dirname(target)).st_dev:
            return
        files = list(self._files_below(source)) if _is_directory(source) else [(source, os.lstat(source))]
        if any(file_id(status) in self._secret for _, status in files):
            return
        self._say("move across", source, target)
        hashes = {path: quick_hash(path) for path, _ in files}
        try:
            _copy_and_delete(source, target)
        except (OSError, shutil.Error):
            self.copied |= set(hashes.values())
            raise
        for path, status in files:
            arrived = key_of(os.lstat(target + path[len(source) :]))
            self.crossings.append(Crossing(hashes[path], key_of(status), arrived))

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
        # A link whose original goes is a rename.
        if not self._may_be_renamed(path):
            return
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

    def recreate_directory(self) -> None:
        path = self._directory()
        self._say("recreate directory", path)
        shutil.rmtree(path)
        os.mkdir(path)
        for _ in range(self.random.randrange(4)):
            self._write(self._in(path) + b".mkv", self._content())

    def touch(self) -> None:
        """No two to the same nanosecond: of equal size and time on a reused inode, the next file would be the last."""
        path = self._file()
        time_ns = self.random.choice([0, 1_000_000_000, 4_000_000_000, -5]) * 1_000_000_000
        time_ns += self.random.randrange(1_000_000_000)
        self._say("touch", path)
        os.utime(path, ns=(time_ns, time_ns))

    def copy_tree(self) -> None:
        source, target = self._directory(), self._new_directory()
        if not (target + b"/").startswith(source + b"/"):
            self._say("copy tree", source, target)
            self.copied |= {quick_hash(path) for path, _ in self._files_below(source)}
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
        files = {file_id(os.lstat(path)) for path in paths}
        files |= {file_id(status) for path in paths if _is_directory(path) for _, status in regular_files(path)}
        if files & self._secret:
            return False
        self._renamed |= files
        return True

    def _write(self, path: bytes, content: bytes) -> None:
        self._say("write", path)
        with _opened(path) as file:
            file.write(content)

    def _is_media(self, path: bytes) -> bool:
        return any(path.startswith(root + b"/") and is_media(path, root) for root in self.roots)

    def _say(self, what: str, *paths: bytes) -> None:
        self.log.append(f"{what} {paths}")

    def _content(self) -> bytes:
        content = self.random.randbytes(self.random.choice(_SIZES))
        if self._footage and self.random.random() < 0.3:
            return self.random.choice(sorted(self._footage.values())) + content
        return content

    def _file(self) -> bytes:
        return self.random.choice(sorted(path for root in self.roots for path, _ in self._files_below(root)))

    def _files_below(self, directory: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
        return (each for each in regular_files(directory) if not each[0].startswith(tuple(self.away)))

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
                directories[:] = [name for name in directories if path + b"/" + name + b"/" not in self.away]
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


def _copy_and_delete(source: bytes, target: bytes) -> None:
    """What `shutil.move` does, which fails at a directory whose path is bytes."""
    if _is_directory(source):
        shutil.copytree(source, target, symlinks=True)
        shutil.rmtree(source)
    else:
        shutil.copy2(source, target)
        os.unlink(source)


def _opened(path: bytes) -> FileIO:
    """A file to write to; OSError where there is a FIFO, which would wait for a reader."""
    return open(path, "wb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK, 0o644))
