"""Videos made and hashed as the daemon hashes them, in a few processes at a time."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from unittest import mock

from benchmarks.similar.copies import make
from mediawatchd.hashing import sampling
from mediawatchd.hashing.attempt import attempt
from mediawatchd.hashing.descriptor import stamp_of
from mediawatchd.model import FINGERPRINT, PERCEPTUAL_HASH, PerceptuallyHashed, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from benchmarks.similar.edits import Edit

Part = TypeVar("Part")
Result = TypeVar("Result")

CLIP, FILM = "clip", "film"
"""The kinds of what is no lookalike."""
PUBLISHED = "published elsewhere"
"""The edit of what others made of the same content."""
_TELL_SECONDS = 30.0
_LAST_TOLD = [0.0]


class Source(NamedTuple):
    """A content: a file, or what makes one. `shows` names contents of other kinds that can be seen in it too."""

    kind: str
    content: str
    shows: frozenset[str]
    file: Path | Callable[[Path], None]


class Video(NamedTuple):
    """A source itself (`edit` None) or a copy of it, hashed."""

    source: Source
    edit: str | None
    blob: bytes

    @property
    def name(self) -> str:
        return self.source.content + (f" ({self.edit})" if self.edit else "")


class Work(NamedTuple):
    """What one process does at a time: hash the source itself, if `whole`, and copies of it."""

    source: Source
    whole: bool
    edits: Sequence[Edit]
    published: Sequence[Path] = ()


def hash_all(works: Sequence[Work], scratch: Path | None, processes: int) -> list[Video]:
    """What is made lies in `scratch` only for as long as it is hashed. Tells on stderr how far it is."""
    videos: list[Video] = []
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        for number, found in enumerate(in_processes(partial(_hash, folder), works, processes), 1):
            videos += found
            tell(f"made and hashed {number} of {len(works)} parts, {len(videos)} videos")
    return sorted(videos, key=lambda video: (video.source.kind, video.source.content, video.edit or ""))


def in_processes(do: Callable[[Part], Result], parts: Iterable[Part], processes: int) -> Iterator[Result]:
    """What is done with each part, in order; with one process, in this one, which may have threads."""
    if processes == 1:
        yield from map(do, parts)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(do, parts)


def tell(text: str) -> None:
    """How far it is: on a terminal in one line that is written over, else in a line now and then."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text and time.monotonic() >= _LAST_TOLD[0] + _TELL_SECONDS:
        _LAST_TOLD[0] = time.monotonic()
        print(text, file=sys.stderr, flush=True)


def outcome_of(path: Path, video_phash: bool, fingerprint: bool, *, exact: bool = True) -> PerceptuallyHashed:
    """What the daemon's decode process finds."""
    stamp = stamp_of(os.lstat(path))
    assert stamp is not None
    lacks = PERCEPTUAL_HASH * video_phash | FINGERPRINT * fingerprint
    outcome = attempt(Task(1, os.fsencode(path), stamp, "video", lacks, 1, 1, 0), exact)
    if not isinstance(outcome, PerceptuallyHashed):
        raise SystemExit(f"{path}: {outcome}")
    return outcome


def _hash(folder: str, work: Work) -> list[Video]:
    own = Path(tempfile.mkdtemp(dir=folder))
    try:
        return list(_videos(work, own))
    finally:
        shutil.rmtree(own)


def _videos(work: Work, folder: Path) -> Iterator[Video]:
    original = work.source.file
    if not isinstance(original, Path):
        original(made := folder / "original.mp4")
        original = made
    if work.whole:
        yield _hashed(work.source, None, original)
    for path in work.published:
        yield _hashed(work.source, PUBLISHED, path)
    for edit in work.edits:
        copy = folder / f"copy{edit.suffix}"
        make(original, copy, edit)
        yield _hashed(work.source, edit.name, copy)
        copy.unlink()


def _hashed(source: Source, edit: str | None, path: Path) -> Video:
    # What is called long is small here, so that it is encoded in seconds.
    cheap = 0 if source.kind == FILM else sampling.CHEAP_PIXELS
    with mock.patch.object(sampling, "CHEAP_PIXELS", cheap):
        blob = outcome_of(path, False, True).fingerprint
    if blob is None:
        raise SystemExit(f"{path}: no fingerprint")
    return Video(source._replace(file=path), edit, blob)
