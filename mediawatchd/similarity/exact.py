"""Groups of files with the same size and quick hash. The bytes between head and tail are not compared here.

Works on a stream of rows: a million files need no more memory than the largest group.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.similarity.keep import Kept, keep

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mediawatchd.similarity.keep import Copy


class Exact(NamedTuple):
    """Files that are the same as far as the quick hash tells, and which to keep."""

    quick_hash: bytes
    file_size: int
    kept: Kept


def exact_groups(rows: Iterable[tuple[bytes, Copy]]) -> Iterator[Exact]:
    """From (quick hash, copy) in the order of (size, quick hash), at which it raises ValueError if it is not.

    Paths of a single file are no group, and neither are empty files: there is nothing to gain.
    """
    last: tuple[int, bytes] | None = None
    for key, members in groupby(rows, key=lambda row: (row[1].size_bytes, row[0])):
        if last is not None and key <= last:
            raise ValueError("rows are not in the order of size and quick hash")
        last = key
        size, quick_hash = key
        copies = [copy for _, copy in members]
        if size == 0 or len(copies) < 2:
            continue
        kept = keep(copies)
        # All paths in one tuple of links: a single file.
        if kept.hard_links != (tuple(copy.file_id for copy in kept.copies),):
            yield Exact(quick_hash, size, kept)
