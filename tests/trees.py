"""Folders of files as values: `tree({"films/a.mkv": size(3_000_000)}).under(tmp_path)`."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Path = str | bytes | os.PathLike[str]

_EDGE_BYTES = 65_536


@dataclass(frozen=True)
class Size:
    """A file of so many bytes. Files of the same seed and size are equal; without a seed the path is the seed.

    Only the first and last 64 KiB hold something, the middle of a longer file is a hole: gigabytes cost nothing.
    """

    size_bytes: int
    seed: object = None

    def write(self, path: bytes, name: bytes) -> None:
        source = random.Random(repr((name if self.seed is None else self.seed, self.size_bytes)))
        with open(path, "wb") as file:
            file.write(source.randbytes(min(self.size_bytes, _EDGE_BYTES)))
            tail_bytes = min(max(self.size_bytes - _EDGE_BYTES, 0), _EDGE_BYTES)
            file.truncate(self.size_bytes)
            file.seek(self.size_bytes - tail_bytes)
            file.write(source.randbytes(tail_bytes))


@dataclass(frozen=True)
class Link:
    """A hard link to another file of the tree, or a symbolic link with its text as it stands."""

    target: bytes
    symbolic: bool

    def write(self, path: bytes, root: bytes) -> None:
        if self.symbolic:
            os.symlink(self.target, path)
        else:
            os.link(os.path.join(root, self.target), path)


@dataclass(frozen=True)
class Folder:
    """An empty folder."""


Content = Size | Link | Folder | bytes


@dataclass(frozen=True)
class Tree:
    contents: Mapping[bytes, Content]

    def under(self, directory: Path) -> bytes:
        """Make it below `directory`, which may exist and hold other files; returns that path, ending in a slash."""
        root = os.path.join(os.path.abspath(os.fsencode(directory)), b"")
        os.makedirs(root, exist_ok=True)
        # Links last: what they name must be there.
        for name, content in sorted(self.contents.items(), key=lambda item: isinstance(item[1], Link)):
            path = os.path.join(root, name)
            if isinstance(content, Folder):
                os.makedirs(path, exist_ok=True)
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if isinstance(content, bytes):
                with open(path, "wb") as file:
                    file.write(content)
            elif isinstance(content, Size):
                content.write(path, name)
            else:
                content.write(path, root)
        return root


def tree(contents: Mapping[str, Content] | Mapping[bytes, Content]) -> Tree:
    return Tree({os.fsencode(name): content for name, content in contents.items()})


def size(size_bytes: int, seed: object = None) -> Size:
    return Size(size_bytes, seed)


def hard_link(target: str | bytes) -> Link:
    return Link(os.fsencode(target), symbolic=False)


def symlink(target: str | bytes) -> Link:
    return Link(os.fsencode(target), symbolic=True)


def folder() -> Folder:
    return Folder()
