"""Which of several copies to keep, and why. It is a proposal: nothing is ever deleted.

A copy within reach before one on a disk that is away: nobody wants the last one that can be seen gone. Then a copy with
sound before one without: nor the last sound. Then the picture with most pixels, then the
highest bitrate, then the copy that was there first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Copy(NamedTuple):
    """One path of a group; None: not known.

    `first_seen` orders copies by age, the lower the older, in any unit. `filesystem_id` and `inode` name the file
    behind the path; `inode` is None where inodes are not stable, and such a path is a file of its own. `links` is
    the number of paths that the file system says the file has, wherever they are.
    """

    file_id: int
    size_bytes: int
    first_seen: float
    width: int | None = None
    height: int | None = None
    bitrate: int | None = None
    filesystem_id: int | None = None
    inode: int | None = None
    links: int | None = None
    has_sound: bool = False
    is_offline: bool = False

    @property
    def pixels(self) -> int:
        """Of the picture; 0 when not known."""
        return (self.width or 0) * (self.height or 0)


class Kept(NamedTuple):
    """The copy to keep and a sentence for a person that says why; `copies` are all of them, the best first."""

    file_id: int
    reason: str
    copies: tuple[Copy, ...]
    reclaimable_bytes: int
    hard_links: tuple[tuple[int, ...], ...]


def best_first(copies: Iterable[Copy]) -> list[Copy]:
    """The same copies in the same order, whatever order they came in."""
    return sorted(copies, key=_rank)


def _rank(copy: Copy) -> tuple[float, ...]:
    return (copy.is_offline, not copy.has_sound, -copy.pixels, -(copy.bitrate or 0), copy.first_seen, copy.file_id)


def keep(copies: Iterable[Copy]) -> Kept:
    """At least one copy is needed."""
    ordered = best_first(copies)
    files = same_files(ordered)
    return Kept(
        ordered[0].file_id,
        _reason(files),
        tuple(ordered),
        sum(freed_bytes(paths) for paths in files[1:]),
        tuple(tuple(copy.file_id for copy in paths) for paths in files if len(paths) > 1),
    )


def same_files(copies: Iterable[Copy]) -> list[list[Copy]]:
    """The copies by the file that they are paths of, in the order of their first paths."""
    files: dict[tuple[int | None, ...], list[Copy]] = {}
    for copy in copies:
        known = copy.filesystem_id is not None and copy.inode is not None
        identity = (copy.filesystem_id, copy.inode) if known else (copy.file_id,)
        files.setdefault(identity, []).append(copy)
    return list(files.values())


def freed_bytes(paths: Sequence[Copy]) -> int:
    """What removing all these paths of one file frees: nothing while it has a path elsewhere."""
    return paths[0].size_bytes if (paths[0].links or 1) <= len(paths) else 0


def _reason(files: Sequence[Sequence[Copy]]) -> str:
    if len(files) == 1:
        return "one file"
    best, next_best = files[0][0], files[1][0]
    if best.is_offline != next_best.is_offline:
        return "reach: the next is offline"
    if best.has_sound != next_best.has_sound:
        return "sound: the next has none"
    if best.pixels != next_best.pixels:
        if not next_best.pixels:
            return f"resolution: {best.width}x{best.height}, the next is not known"
        return f"resolution: {best.width}x{best.height}, the next has {next_best.width}x{next_best.height}"
    if (best.bitrate or 0) != (next_best.bitrate or 0):
        if not next_best.bitrate:
            return f"bitrate: {_kilo(best.bitrate)} kbit/s, the next is not known"
        return f"bitrate: {_kilo(best.bitrate)} kbit/s, the next has {_kilo(next_best.bitrate)} kbit/s"
    if best.first_seen != next_best.first_seen:
        return "age: seen before the others"
    return "all alike"


def _kilo(bitrate: int | None) -> str:
    return f"{(bitrate or 0) / 1000:.0f}"
