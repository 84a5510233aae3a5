"""Copies of one content as the API shows them: each file, which of them to keep, and what that would free.

Pure functions over rows of the catalog; nothing here looks at a disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mediawatchd.catalog.browse import path_fields
from mediawatchd.model import away_of
from mediawatchd.similarity.keep import Copy
from mediawatchd.work.progress import iso_time, path_lists

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mediawatchd.catalog.copies import CopyRow
    from mediawatchd.model import Away
    from mediawatchd.similarity.keep import Kept

    Json = dict[str, Any]


class Reach(NamedTuple):
    """Which disks are there now: those of the roots that are online, without those that are away below these."""

    online: frozenset[int]
    away: frozenset[Away]

    def has(self, row: CopyRow) -> bool:
        return row.root_id in self.online and away_of(self.away, row.path, row.filesystem_id) is None


def as_copy(row: CopyRow, reach: Reach | None = None) -> Copy:
    """What decides which to keep; without a `reach` wherever it is."""
    return Copy(
        row.id,
        row.size,
        row.first_seen,
        width=row.width,
        height=row.height,
        bitrate=row.bitrate,
        filesystem_id=row.filesystem_id,
        inode=row.inode,
        links=row.links,
        has_sound=row.audio_codec is not None,
        is_offline=reach is not None and not reach.has(row),
    )


def file_fields(row: CopyRow, reach: Reach) -> Json:
    """One of the files, by what its copies may differ in. `offline`: its disk is not there now."""
    return {
        **path_fields("path", row.path),
        "file_size": row.size,
        "duration": row.duration,
        "width": row.width,
        "height": row.height,
        "bitrate": row.bitrate,
        "container_format": row.container_format,
        "video_codec": row.video_codec,
        "audio_codec": row.audio_codec,
        "first_seen": iso_time(row.first_seen),
        "missing_since": iso_time(row.missing_since),
        "offline": not reach.has(row),
    }


def group_fields(kept: Kept, rows: Mapping[int, CopyRow]) -> Json:
    """What groups of any kind say: all paths, the best copy first, and the paths of one file together."""
    links = [path_lists("paths", [rows[file_id].path for file_id in same]) for same in kept.hard_links]
    return {
        **path_lists("paths", [rows[copy.file_id].path for copy in kept.copies]),
        "hard_links": [each["paths"] for each in links],
        "hard_links_b64": [each["paths_b64"] for each in links],
        "reclaimable_bytes": kept.reclaimable_bytes,
        **path_fields("keep", rows[kept.file_id].path),
        "keep_reason": kept.reason,
    }
