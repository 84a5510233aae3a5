"""`python -m mediawatchd.cli.demo DIR`: makes a small real media library to try the daemon on.

Films, episodes, phone clips and songs in many formats, and beside them what real libraries have too:
copies, re-encodes, unfinished and broken files, awkward names. It writes only into a folder that is new,
empty or its own (known by `MARKER`), and a finished demo is left as it is, so that what a person
changed in it stays changed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from mediawatchd.cli.footage import Audio, Video, write

if TYPE_CHECKING:
    from collections.abc import Sequence

MARKER = b".mediawatchd-demo"


class Copy(NamedTuple):
    """The same bytes as `of`, or with `hard_link` the very same file."""

    of: str
    hard_link: bool = False


class Cut(NamedTuple):
    """The first half of what `media` would be: a download or a copy that was cut short."""

    media: Video


class Entry(NamedTuple):
    """One file of the library; `note` is what is worth knowing about it."""

    path: bytes
    content: Video | Audio | Copy | Cut | bytes
    note: str


def _song(number: int, title: str, container: str, codec: str) -> Audio:
    tags = {"title": title, "artist": "The Invented", "album": "Sine Waves", "track": str(number)}
    return Audio(content=40 + number, seconds=4, container=container, codec=codec, tags=tags)


_LANTERNS = "Films/Paper Lanterns (2021)/Paper Lanterns (2021).mp4"
_HALF = Video(content=7, seconds=4)

LIBRARY: Sequence[Entry] = [
    Entry(_LANTERNS.encode(), Video(content=1, seconds=8, size=(480, 270), b_frames=2), "H.264 and AAC"),
    Entry(
        b"Films/The Long Tide (2019)/The Long Tide (2019).mkv",
        Video(content=2, container="matroska", codec="libx265"),
        "HEVC",
    ),
    Entry(
        b"Films/North of Summer (2023)/North of Summer (2023) HDR.mkv",
        Video(content=3, container="matroska", codec="libx265", hdr=True),
        "HEVC, 10 bit, HDR",
    ),
    Entry(
        b"Films/Night Ferry (2016)/Night Ferry (2016).webm",
        Video(content=4, container="webm", codec="libvpx-vp9", audio="libopus"),
        "VP9 and Opus",
    ),
    Entry(
        b"Films/Glass Harbour (2024)/Glass Harbour (2024).mkv",
        Video(content=5, container="matroska", codec="libsvtav1", audio="libopus"),
        "AV1",
    ),
    Entry(b"Films/Silent Comedy (1924)/Silent Comedy (1924).mp4", Video(content=6, audio=None), "no sound"),
    Entry(b"Films/Half a Film (2022)/Half a Film (2022).mp4", Cut(_HALF), "broken: cut short, without its index"),
    *(
        Entry(
            f"Shows/Small Hours/Season 01/Small Hours S01E0{number}.mkv".encode(),
            Video(content=10 + number, container="matroska", audio="ac3"),
            "H.264 and AC-3",
        )
        for number in (1, 2, 3)
    ),
    Entry(
        b"Camera/2024/IMG_0012.mov",
        Video(content=20, container="mov", size=(180, 320), rotation=90, rate=30, seconds=4),
        "a phone held upright: stored on its side",
    ),
    Entry(b"Camera/2024/portrait.mp4", Video(content=21, size=(180, 320), seconds=4), "taller than wide"),
    Entry(
        b"Camera/2009/MVI_1034.avi",
        Video(content=22, container="avi", codec="mjpeg", pixels="yuvj420p", audio="pcm_s16le", rate=15, seconds=4),
        "Motion JPEG, as old cameras wrote it",
    ),
    Entry(
        b"Recordings/Evening News.ts",
        Video(content=23, container="mpegts", codec="mpeg2video", audio="mp2", rate=25),
        "a television recording, MPEG-2",
    ),
    Entry(
        b"Recordings/Screen.flv",
        Video(content=24, container="flv", codec="flv", audio="libmp3lame", seconds=4),
        "Flash",
    ),
    Entry(
        b"VR/Beach_180_LR.mp4",
        Video(content=25, seconds=4, size=(640, 320)),
        "VR by its name: 180 degrees, left and right",
    ),
    Entry(
        b"Sorted later/paper lanterns small.avi",
        Video(content=1, seconds=8, container="avi", codec="mpeg4", audio="libmp3lame", size=(240, 136)),
        "Paper Lanterns again: smaller, another codec",
    ),
    Entry(
        b"Sorted later/lanterns without the start.webm",
        Video(content=1, start_seconds=1, seconds=7, container="webm", codec="libvpx", audio="libopus"),
        "Paper Lanterns again: the first second is gone",
    ),
    Entry(b"Sorted later/night ferry bars.mp4", Video(content=4, bars=0.12), "Night Ferry in black bars"),
    Entry(b"Sorted later/night ferry mirrored.mp4", Video(content=4, mirrored=True), "Night Ferry mirrored"),
    Entry(b"Sorted later/Paper Lanterns (2021) copy.mp4", Copy(_LANTERNS), "an exact copy"),
    Entry(b"Backup/Paper Lanterns.mp4", Copy(_LANTERNS), "another exact copy"),
    Entry(b"Backup/Paper Lanterns link.mp4", Copy("Backup/Paper Lanterns.mp4", hard_link=True), "a hard link to it"),
    Entry(b"Music/Sine Waves/01 - Prime.flac", _song(1, "Prime", "flac", "flac"), "FLAC with tags"),
    Entry(b"Music/Sine Waves/02 - Third.mp3", _song(2, "Third", "mp3", "libmp3lame"), "MP3 with tags"),
    Entry(b"Music/Sine Waves/03 - Fifth.opus", _song(3, "Fifth", "opus", "libopus"), "Opus with tags"),
    Entry(b"Music/Sine Waves/04 - Octave.m4a", _song(4, "Octave", "ipod", "aac"), "AAC with tags"),
    Entry(b"Music/Sine Waves/05 - Noise.wav", _song(5, "Noise", "wav", "pcm_s16le"), "WAV"),
    Entry("Music/音楽.mp3".encode(), _song(6, "音楽", "mp3", "libmp3lame"), "a Japanese name"),
    Entry(b"Odd/caf\xe9.mp4", Video(content=50, size=(160, 90), seconds=2), "a name in Latin-1, not UTF-8"),
    Entry(b"Odd/two\nlines.mkv", Video(content=51, size=(160, 90), seconds=2, container="matroska"), "a line break"),
    Entry(b"Odd/notes.mp4", b"This is a text file that was named as a film.\n" * 20, "text named as a film"),
    Entry(b"Odd/empty.mkv", b"", "empty"),
    Entry(b"Incoming/Glass Harbour.mkv.part", Cut(_HALF), "an unfinished download: left alone"),
    Entry(b"Incoming/readme.txt", b"Text beside the media is not catalogued.\n", "no media file"),
]


class NotOurs(Exception):
    """The folder holds something that is not a demo library."""


def build(directory: bytes, files: int = 0) -> list[Entry]:
    """Make the library in `directory`, with further small clips up to `files` in all, and return what is new.

    Raises NotOurs for a folder with other content, OSError where it cannot be written. Blocks for seconds.
    """
    os.makedirs(directory, exist_ok=True)
    marker = os.path.join(directory, MARKER)
    wanted = [*LIBRARY, *(_clip(number) for number in range(len(LIBRARY), files))]
    made = _files_made(directory, marker)
    if made >= len(wanted):
        return []
    with open(marker, "wb"):
        pass
    new = [entry for entry in wanted[made:] if not os.path.lexists(os.path.join(directory, entry.path))]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        list(pool.map(lambda entry: _make(directory, entry), (e for e in new if not isinstance(e.content, Copy))))
    for entry in new:
        if isinstance(entry.content, Copy):
            _make(directory, entry)
    with open(marker, "wb") as file:
        file.write(b"%d\n" % len(wanted))
    return new


def _files_made(directory: bytes, marker: bytes) -> int:
    """How many entries a finished run made before; 0 for a new folder or a run that was broken off."""
    try:
        with open(marker, "rb") as file:
            return int(file.read() or b"0")
    except FileNotFoundError:
        if os.listdir(directory):
            raise NotOurs(f"{os.fsdecode(directory)} is not empty and not a demo library; name a new folder") from None
        return 0


def _clip(number: int) -> Entry:
    video = Video(content=1000 + number, seconds=1, codec="mpeg4", size=(64, 36), audio=None)
    return Entry(b"Clips/%03d/clip %06d.mp4" % (number // 1000, number), video, "")


def _make(directory: bytes, entry: Entry) -> None:
    """Write under an unfinished name first: what has its final name is whole, whenever this is broken off."""
    path = os.path.join(directory, entry.path)
    unfinished = path + b".tmp"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    content = entry.content
    if isinstance(content, Copy):
        original = os.path.join(directory, os.fsencode(content.of))
        if content.hard_link:
            os.link(original, path)
            return
        shutil.copyfile(original, unfinished)
    else:
        with open(unfinished, "wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                write(file, content.media if isinstance(content, Cut) else content)
        if isinstance(content, Cut):
            os.truncate(unfinished, os.path.getsize(unfinished) // 2)
    os.rename(unfinished, path)


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace").replace("\n", "\\n")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mediawatchd.cli.demo", description="Make a small real media library to try mediawatchd on."
    )
    parser.add_argument("directory", metavar="DIR", help="a new or empty folder, or a demo made before")
    parser.add_argument("--files", type=int, default=0, metavar="N", help="add short clips until there are N files")
    options = parser.parse_args(arguments)
    os.environ.setdefault("SVT_LOG", "1")  # or the AV1 encoder tells its settings on stderr
    directory = os.path.abspath(os.fsencode(options.directory))
    try:
        new = build(directory, options.files)
    except (NotOurs, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    if not new:
        print(f"The demo library in {_shown(directory)} is there already.")
        return 0
    size_bytes = sum(os.path.getsize(os.path.join(directory, entry.path)) for entry in new)
    print(f"Made a demo library in {_shown(directory)}: {len(new)} files, {size_bytes / 1e6:.1f} MB.\n")
    named = [entry for entry in new if entry in LIBRARY]
    for entry in named:
        print(f"  {_shown(entry.path):<60}  {entry.note}")
    if len(new) > len(named):
        print(f"  {'Clips/':<60}  {len(new) - len(named)} short clips")
    return 0


if __name__ == "__main__":
    sys.exit(main())
