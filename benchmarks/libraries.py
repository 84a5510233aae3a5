"""Trees of files to measure on: folders of some twenty files, in folders of fifty such, as libraries have them."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES_IN_A_FOLDER = 20
FOLDERS_IN_A_FOLDER = 50


@contextmanager
def scratch(parent: Path, name: str) -> Iterator[Path]:
    """A new folder that is removed at the end, whatever happens."""
    folder = parent / f"mediawatchd-{name}-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def make_files(root: Path, first: int, end: int, *, least_bytes: int = 0, most_bytes: int = 0) -> None:
    """Make the files with these numbers below `root`, each with content of its own that cannot be compressed."""
    content = os.urandom(most_bytes)
    made = None
    for number in range(first, end):
        folder = number // FILES_IN_A_FOLDER
        title = f"Some Title {folder:06}"
        path = root / f"{folder // FOLDERS_IN_A_FOLDER:04}" / title
        if path != made:
            path.mkdir(parents=True, exist_ok=True)
            made = path
        descriptor = os.open(path / f"{title} - s01e{number % FILES_IN_A_FOLDER:02}.mkv", os.O_CREAT | os.O_WRONLY)
        try:
            if most_bytes:
                size = least_bytes + number * 7919 % (most_bytes - least_bytes)
                os.write(descriptor, number.to_bytes(8, "little") + content[8:size])
        finally:
            os.close(descriptor)
