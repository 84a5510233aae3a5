"""The glossary, and the frozen values that the parts hand to each other.

One word per idea, the same in code, SQL, metrics, commands and logs:

root        a configured folder, with a state: online, offline, replaced or error
hint        "something may have changed at this path"; carries no truth
fact        what one `lstat` said of a path: its stamp, or absent, and when it was taken
report      the facts of one look at one directory
stamp       size, mtime_ns, ctime_ns, inode and link count of a file
lacks       what a row has no finished attempt for at its stamp (quick hash, probe, ...)
wanted      what a phash job, or the configuration, waits for: perceptual hash, fingerprint or both
due         the catalog time before which a row is not offered to the workers (unripe, or waiting to retry)
ripe        settled: unchanged for the settle time
away        a disk below a root that is not mounted there now, while files on it are known; they stay as they are
offered     pending, due, and on a disk that is there: the workers may have it
task        one file in the hands of the work queue
outcome     what a worker found, with the file id and the stamp it read under
told        of a probe: it was made, and the same attempt goes on with the hashes
problem     why a file could not be read or understood; a value, never an exception across threads
missing     a row whose file is gone from a disk that is there
held        absent, but too many at once to believe; waits for a person or for the files' return
fingerprint what a video looks like: a hash of each of some frames, with their times
matched     a fingerprint that was compared with all others
pair        two videos that look alike, with the evidence; a person may dismiss it
walk        one pass over a root or a folder of it that compares the disk with the catalog
job         what a person started and can see, wait for and cancel: a scan or a phash run
catalog time   nanoseconds that the catalog has been open, over all runs; never goes back, knows no wall clock

All paths are bytes. A directory path always ends with a slash, so that "below" is a byte range and
`/media/` is no prefix of `/media2/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import os
    from collections.abc import Set as AbstractSet

MediaType = Literal["video", "vr", "audio"]
RootState = Literal["online", "offline", "replaced", "error"]
JobKind = Literal["scan", "phash"]
JobState = Literal["queued", "running", "stopping", "done", "failed", "cancelled"]
SimilarVerdict = Literal["duplicate", "probable", "contained"]
Reason = Literal["permission", "io", "vanished", "decode", "timeout", "memory", "crash", "not_media"]

# The bits of `lacks`.
QUICK_HASH = 1
PROBE = 2
PERCEPTUAL_HASH = 4
FINGERPRINT = 8
PHASH = PERCEPTUAL_HASH | FINGERPRINT
"""What a phash job gives a video, in one opening; nothing else is computed only for who asks for it."""


def first_of(lacks: int) -> int:
    """What an attempt at so much begins with, and has failed at if it ends before more is told: the probe, or all."""
    return lacks & PROBE or lacks


class Away(NamedTuple):
    """Where a file system is not mounted now of which the catalog knows files at `path` or below."""

    path: bytes
    filesystem_id: int


def away_of(away: AbstractSet[Away], path: bytes, filesystem_id: int | None) -> Away | None:
    """The disk, if it is away, on which the catalog knows a file or directory. Fast, however many are."""
    if filesystem_id is None or not away:
        return None
    end = len(path)
    while end > 0:
        if (found := Away(path[:end], filesystem_id)) in away:
            return found
        end = path.rfind(b"/", 0, end - 1) + 1
    return None


LIVE = 0
"""Priority of what a hint reported: before everything else."""
WALKED = 1
"""Priority of what a walk found."""
ASKED = 2
"""Priority of what only a phash job wants."""

MAX_INTEGER = (1 << 63) - 1
SECOND = 1_000_000_000
"""Nanoseconds in a second; times inside the daemon are integers of nanoseconds."""
SANE_TIME = 1_704_067_200.0
"""The year 2024: a clock that shows less was never set."""


class Stamp(NamedTuple):
    """What decides whether a file is still the same file. Fields of an upgraded row may be None."""

    size: int
    mtime_ns: int
    ctime_ns: int | None
    inode: int | None
    links: int | None


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of a file, with each number brought into the signed 64 bits that SQLite can keep.

    Inodes use all 64 bits on some file systems, and a date after 2262 does not fit nanoseconds: what is compared
    with a stored stamp must have gone through here.
    """
    inode = status.st_ino
    return Stamp(
        status.st_size,
        max(-MAX_INTEGER, min(MAX_INTEGER, status.st_mtime_ns)),
        max(-MAX_INTEGER, min(MAX_INTEGER, status.st_ctime_ns)),
        inode if inode <= MAX_INTEGER else inode - (1 << 64),
        status.st_nlink,
    )


class Former(NamedTuple):
    """A row that a found file may be the moved content of.

    The observer has seen that the row's path no longer holds that inode; the writer checks that the row
    still stands at that path before it believes it.
    """

    file_id: int
    directory: bytes
    name: bytes


class Found(NamedTuple):
    """A media file in a report. `settle_ns` is how long it must stay unchanged from now on to be ripe."""

    name: bytes
    media_type: MediaType
    stamp: Stamp
    settle_ns: int
    former: Former | None = None


class Place(NamedTuple):
    """Which file system a directory was seen on, and its inode there (None where inodes are not stable)."""

    filesystem_id: int
    inode: int | None


class Report(NamedTuple):
    """The facts of one look at one directory: what is there now, and what is not.

    `at_ns` is the catalog time just before the look began. `mounts` is the generation of the mount table
    under which the look was made: an absence is believed only while that is still the current one.
    """

    root_id: int
    directory: bytes
    place: Place
    at_ns: int
    priority: int
    found: tuple[Found, ...] = ()
    absent: tuple[bytes, ...] = ()
    absent_directories: tuple[bytes, ...] = ()
    mounts: int = 0

    def noticed(self, what: str = "") -> str:
        """The cause of an event, for the history: what happened, and who saw it."""
        seen = "found by a walk" if self.priority == WALKED else "" if what else "reported by the kernel"
        return ", ".join(filter(None, (what, seen)))


class DirectoryMove(NamedTuple):
    """A known directory seen at another path; the observer has seen that it is no longer at `former`."""

    root_id: int
    directory_id: int
    former: bytes
    path: bytes
    place: Place
    at_ns: int


class Task(NamedTuple):
    """One file for one worker; `lacks` says what it is for."""

    file_id: int
    path: bytes
    stamp: Stamp
    media_type: MediaType
    lacks: int
    root_id: int
    filesystem_id: int
    priority: int


class Problem(NamedTuple):
    """Why a file could not be read or understood. `text` is a sentence for a person."""

    reason: Reason
    text: str


@dataclass(frozen=True, slots=True)
class VideoStream:
    """The picture of a file; `width` and `height` as stored, before `rotation` (degrees clockwise) is applied."""

    codec: str | None
    width: int | None
    height: int | None
    frame_rate: float | None
    rotation: int
    bit_depth: int | None
    hdr: str | None


@dataclass(frozen=True, slots=True)
class AudioStream:
    """The sound of a file, and its tags."""

    codec: str | None
    channels: int | None
    sample_rate: int | None
    title: str | None = None
    artist: str | None = None
    album: str | None = None
    track: str | None = None


@dataclass(frozen=True, slots=True)
class Vr:
    """How a VR video is projected; `field_of_view` in degrees, `source` is "metadata" or "name"."""

    projection: str
    stereo_mode: str
    field_of_view: int | None
    source: str


@dataclass(frozen=True, slots=True)
class Probe:
    """What a media file says of itself; durations in seconds, bitrates in bit/s."""

    container_format: str | None
    duration: float | None
    bitrate: int | None
    video: VideoStream | None
    audio: AudioStream | None
    vr: Vr | None


class Hashed(NamedTuple):
    """Outcome: the quick hash (32 raw bytes) of the file as it was under `stamp`; `size_read` in bytes."""

    file_id: int
    stamp: Stamp
    quick_hash: bytes
    size_read: int


class Probed(NamedTuple):
    """Outcome: the probe of the file as it was under `stamp`."""

    file_id: int
    stamp: Stamp
    probe: Probe


class PerceptuallyHashed(NamedTuple):
    """Outcome: what the video looks like, as it was under `stamp`; `lacks` is what was asked for.

    None stands for what was not asked for, and for what the file does not have: a finished result too.
    """

    file_id: int
    stamp: Stamp
    lacks: int
    video_phash: str | None
    fingerprint: bytes | None


class Failed(NamedTuple):
    """Outcome: the attempt at `lacks` ended with a problem.

    `final` problems are not tried again until the file changes or a person asks; the others are retried.
    """

    file_id: int
    stamp: Stamp
    lacks: int
    problem: Problem
    final: bool


class Changed(NamedTuple):
    """Outcome: the file was not, or did not stay, as `stamp` says. `found` is None when it is gone."""

    file_id: int
    stamp: Stamp
    path: bytes
    found: Stamp | None


Outcome = Hashed | Probed | PerceptuallyHashed | Failed | Changed


class Event(NamedTuple):
    """One line of the history and of the event stream. `time` is Unix time in seconds."""

    seq: int
    time: float
    event: str
    path: bytes | None
    former: bytes | None
    detail: str | None
