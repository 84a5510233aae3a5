"""Groups of files with the same size and quick hash, split where their bytes were compared and differ.

Works on the files of one quick hash at a time and reads none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.similarity.keep import Kept, keep

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mediawatchd.similarity.keep import Copy


class Exact(NamedTuple):
    """Files that are the same as far as is known, and which to keep; `verified`: all their bytes were compared."""

    kept: Kept
    verified: bool


def exact_groups(members: Iterable[tuple[Copy, int | None]]) -> list[Exact]:
    """Of all files with one size and quick hash, each with the number of its content.

    Equal numbers mean equal bytes, others different ones; None: not compared. What was not compared is counted
    with the first content. Paths of a single file are no group, and neither are empty files: there is nothing to gain.
    """
    contents: dict[int, list[Copy]] = {}
    uncompared: list[Copy] = []
    for copy, content in members:
        (uncompared if content is None else contents.setdefault(content, [])).append(copy)
    groups = [copies for _, copies in sorted(contents.items())] or [[]]
    groups[0] += uncompared
    found = []
    for number, copies in enumerate(groups):
        if len(copies) < 2 or copies[0].size_bytes == 0:
            continue
        kept = keep(copies)
        # All paths in one tuple of links: a single file.
        if kept.hard_links != (tuple(copy.file_id for copy in kept.copies),):
            found.append(Exact(kept, verified=not (number == 0 and uncompared)))
    return found
