"""How well edited copies are found, and what that costs: `python -m benchmarks.similar CLIPS`.

CLIPS is a folder of short videos; its SOURCES.tsv, if there is one, says in its columns `file` and `content` which
of them show the same. Every content is edited in each of the ways below, and all are fingerprinted and scored as the
daemon does it. Prints for each edit how many copies are found and how far they are, then how many pairs of different
contents pass for alike, then the CPU seconds of a video beside those of the ffmpeg command.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import random
import re
import shutil
import statistics
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import av
from av.filter import Graph
from av.video.stream import VideoStream

from benchmarks.costs import cpu_of_command
from mediawatchd.cli import footage
from mediawatchd.hashing import sampling
from mediawatchd.hashing.descriptor import stamp_of
from mediawatchd.hashing.fingerprint import Fingerprint, unpack
from mediawatchd.hashing.perceptual import attempt
from mediawatchd.model import Changed, Failed, Task
from mediawatchd.similarity.score import Match, score

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from av.container import InputContainer
    from av.video.frame import VideoFrame

    from mediawatchd.model import PerceptuallyHashed

_WIDTH = 256  # of the copies: more than the 160 pixels that are made of them, and quick to encode
_PAIRS = 30_000


class Edit(NamedTuple):
    """`filters` in FFmpeg's words, separated by spaces; {25%} stands for that part of the duration."""

    name: str
    filters: str = "null"
    codec: str = "libx264"
    options: Mapping[str, str] = MappingProxyType({"preset": "ultrafast", "crf": "30"})
    suffix: str = ".mp4"


EDITS = (
    Edit("h264 at low bitrate", options={"preset": "veryfast", "crf": "42"}),
    Edit(
        "h265 at low bitrate",
        codec="libx265",
        options={"preset": "ultrafast", "crf": "42", "x265-params": "log-level=none"},
    ),
    Edit(
        "vp9 at low bitrate",
        codec="libvpx-vp9",
        options={"deadline": "realtime", "cpu-used": "8", "b": "80k"},
        suffix=".webm",
    ),
    Edit("mpeg4 at low bitrate", codec="mpeg4", options={"qmin": "25"}, suffix=".avi"),
    Edit(
        "a keyframe twice a second", options={"preset": "ultrafast", "crf": "32", "g": "12", "bf": "2"}, suffix=".mkv"
    ),
    Edit("scaled to 128", "scale=128:-2"),
    Edit("letterbox", "pad=iw:2*trunc(ih*2/3):0:(oh-ih)/2"),
    Edit("pillarbox", "pad=2*trunc(iw*2/3):ih:(ow-iw)/2:0"),
    Edit("letterbox and pillarbox", "pad=2*trunc(iw*5/8):2*trunc(ih*5/8):(ow-iw)/2:(oh-ih)/2"),
    Edit("5 % cropped", "crop=2*trunc(iw*0.475):2*trunc(ih*0.475)"),
    Edit("5 % cropped on each side", "crop=2*trunc(iw*0.45):2*trunc(ih*0.45)"),
    Edit("stretched to 4:3", "scale=320:240"),
    Edit("logo", "drawbox=x=iw*0.78:y=ih*0.05:w=iw*0.17:h=ih*0.13:color=white:t=fill"),
    Edit("subtitles", "drawbox=x=iw*0.2:y=ih*0.82:w=iw*0.6:h=ih*0.09:color=white:t=fill:enable='lt(mod(t,3),2)'"),
    Edit("brighter", "lutyuv=y=val+40"),
    Edit("darker", "lutyuv=y=16+(val-16)*0.55"),
    Edit("more contrast", "lutyuv=y=128+(val-128)*1.4"),
    Edit("grey", "lutyuv=u=128:v=128"),
    Edit("15 frames a second", "fps=15"),
    Edit("first 10 % gone", "trim=start={10%} setpts=PTS-STARTPTS"),
    Edit("last 10 % gone", "trim=end={90%}"),
    Edit("first second gone", "trim=start=1 setpts=PTS-STARTPTS"),
    Edit("two seconds of black first", "tpad=start_duration=2:color=black"),
    Edit("mirrored", "hflip"),
    Edit("5 % faster", "setpts=PTS/1.05 fps=24"),
    Edit(
        "several at once",
        "crop=2*trunc(iw*0.475):2*trunc(ih*0.475) lutyuv=y=val+25 scale=240:-2 fps=20 "
        "trim=start=0.7 setpts=PTS-STARTPTS",
        options={"preset": "veryfast", "crf": "36"},
    ),
    Edit("mirrored, letterbox, darker", "hflip lutyuv=y=16+(val-16)*0.7 pad=iw:2*trunc(ih*2/3):0:(oh-ih)/2"),
    Edit("middle half", "trim=start={25%}:end={75%} setpts=PTS-STARTPTS"),
)


class Copy(NamedTuple):
    """One file of one content, fingerprinted; `edit` None is the content itself."""

    content: str
    edit: str | None
    fingerprint: Fingerprint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, help="folder of short videos")
    parser.add_argument("--contents", type=int, help="no more than so many of them")
    parser.add_argument("--invented", type=int, default=0, help="add so many invented films of a minute")
    parser.add_argument(
        "--keyframes", action="store_true", help="take keyframes where there are enough, as of long films"
    )
    parser.add_argument("--edits", default="", help="only those with this in their names")
    parser.add_argument("--scratch", type=Path, help="where copies are made (200 MB)")
    asked = parser.parse_args()
    if asked.keyframes:
        sampling.CHEAP_PIXELS = 0
    with tempfile.TemporaryDirectory(dir=asked.scratch) as folder:
        contents = _contents(asked.clips, asked.contents) | _invented(Path(folder), asked.invented)
        copies = []
        for number, (content, files) in enumerate(contents.items()):
            copies += _copies(content, files, Path(folder) / str(number), asked.edits)
    _print_found(copies)
    _print_false(copies)
    _print_costs([files[0] for files in contents.values() if files[0].exists()])


def _contents(clips: Path, most: int | None) -> dict[str, list[Path]]:
    """The files of each content, the content itself first."""
    found: dict[str, list[Path]] = {}
    sources = clips / "SOURCES.tsv"
    if sources.exists():
        with sources.open() as lines:
            for row in csv.DictReader(lines, delimiter="\t"):
                found.setdefault(row["content"], []).append(clips / row["file"])
    else:
        found = {path.name: [path] for path in sorted(clips.iterdir()) if path.is_file()}
    return dict(itertools.islice(found.items(), most))


def _invented(folder: Path, count: int) -> dict[str, list[Path]]:
    found = {}
    for number in range(count):
        path = folder / f"invented-{number}.mp4"
        with path.open("wb") as file:
            footage.write(file, footage.Video(content=1000 + number, seconds=60, size=(_WIDTH, 202), audio=None))
        found[path.name] = [path]
    return found


def _copies(content: str, files: list[Path], folder: Path, wanted: str) -> Iterator[Copy]:
    original, *published = files
    yield _fingerprinted(content, None, original)
    for path in published:
        yield _fingerprinted(content, "as published elsewhere", path)
    folder.mkdir()
    for edit in EDITS:
        if wanted in edit.name:
            path = folder / f"copy{edit.suffix}"
            _make(original, path, edit)
            yield _fingerprinted(content, edit.name, path)
    path = folder / "remuxed.mkv"
    _remux(original, path)
    yield _fingerprinted(content, "remuxed", path)
    shutil.rmtree(folder)


def _make(source: Path, copy: Path, edit: Edit) -> None:
    with av.open(str(source)) as reading, av.open(str(copy), "w") as writing:
        picture = reading.streams.video[0]
        picture.codec_context.thread_count = 1
        output = writing.add_stream(edit.codec, rate=picture.average_rate or 25, options=dict(edit.options))
        assert isinstance(output, VideoStream)
        output.codec_context.time_base = Fraction(1, 30_000)
        output.codec_context.thread_count = 1
        first = True
        for frame in _filtered(reading, picture, _at_times(edit.filters, reading.duration or 0)):
            if first:
                output.width, output.height, output.pix_fmt = frame.width, frame.height, "yuv420p"
            first = False
            frame.pict_type = 0
            writing.mux(output.encode(frame))
        writing.mux(output.encode(None))


def _at_times(filters: str, duration: int) -> str:
    """Filters with what stands in them as a share of the duration (in microseconds) written as seconds."""
    return re.sub(r"\{(\d+)%\}", lambda share: str(duration * int(share[1]) / 100 / 1_000_000), filters)


def _filtered(reading: InputContainer, picture: VideoStream, filters: str) -> Iterator[VideoFrame]:
    graph = Graph()
    first = last = graph.add_buffer(template=picture, time_base=picture.time_base)
    for step in [f"scale={_WIDTH}:-2", "format=yuv420p", *filters.split(), "buffersink"]:
        name, _, arguments = step.partition("=")
        following = graph.add(name, arguments or None)
        last.link_to(following)
        last = following
    assert first is not last
    graph.configure()
    for frame in itertools.chain(reading.decode(picture), [None]):
        try:
            graph.vpush(frame)
        except av.EOFError:  # the filters want no more
            return
        while True:
            try:
                yield graph.vpull()
            except (av.BlockingIOError, av.EOFError):
                break


def _remux(source: Path, copy: Path) -> None:
    with av.open(str(source)) as reading, av.open(str(copy), "w") as writing:
        picture = reading.streams.video[0]
        output = writing.add_stream_from_template(picture)
        for packet in reading.demux(picture):
            if packet.dts is not None:
                packet.stream = output
                writing.mux(packet)


def _hashed(path: Path, video_phash: bool, fingerprint: bool) -> PerceptuallyHashed:
    stamp = stamp_of(os.lstat(path))
    assert stamp is not None
    outcome = attempt(Task(1, os.fsencode(path), stamp, "video", 0, 1, 1, 0), video_phash, fingerprint)
    if isinstance(outcome, Failed | Changed):
        raise SystemExit(f"{path}: {outcome}")
    return outcome


def _fingerprinted(content: str, edit: str | None, path: Path) -> Copy:
    blob = _hashed(path, False, True).fingerprint
    if blob is None:
        raise SystemExit(f"{path}: no fingerprint")
    return Copy(content, edit, unpack(blob))


def _print_found(copies: list[Copy]) -> None:
    """A row for each edit: how many copies are duplicates, probable or contained, and how far they are."""
    originals = {copy.content: copy for copy in copies if copy.edit is None}
    matches: dict[str, list[tuple[Copy, Match]]] = {}
    for copy in copies:
        if copy.edit is not None:
            matches.setdefault(copy.edit, []).append(
                (copy, score(copy.fingerprint, originals[copy.content].fingerprint))
            )
    print(f"{'edit':30}{'copies':>7}{'<= 60':>7}{'<= 75':>7}{'part':>6}{'found':>7}{'median':>8}{'worst':>7}")
    for edit, found in matches.items():
        distances = sorted(match.distance for _, match in found)
        verdicts = [match.verdict for _, match in found]
        duplicate, contained = verdicts.count("duplicate"), verdicts.count("contained")
        print(
            f"{edit:30}{len(found):7}{duplicate:7}{duplicate + verdicts.count('probable'):7}{contained:6}"
            f"{1 - verdicts.count(None) / len(found):7.0%}{statistics.median(distances):8.0f}{distances[-1]:7.0f}"
        )
        for copy, match in found:
            if match.verdict is None:
                count = len(copy.fingerprint.times)
                print(f"    not found: {copy.content}, {count} frames, distance {match.distance:.0f}")
    every = [match.verdict is not None for found in matches.values() for _, match in found]
    print(f"found {sum(every)} of {len(every)} copies: {statistics.mean(every):.1%}")


def _print_false(copies: list[Copy]) -> None:
    """Pairs of different contents that are taken for alike; what different contents share is no excuse."""
    pairs = [(a, b) for a, b in itertools.combinations(copies, 2) if a.content != b.content]
    pairs = random.Random(1).sample(pairs, min(len(pairs), _PAIRS))
    distances, wrong = [], 0
    for a, b in pairs:
        match = score(a.fingerprint, b.fingerprint)
        distances.append(match.distance)
        if match.verdict is not None:
            wrong += 1
            pair = f"{a.content} ({a.edit}) and {b.content} ({b.edit})"
            print(f"    taken for {match.verdict}: {pair}, {match.distance:.0f}")
    if pairs:
        mean, deviation = statistics.mean(distances), statistics.pstdev(distances)
        print(f"{wrong} of {len(pairs)} pairs of different contents pass for alike")
        print(f"their distances: mean {mean:.0f}, deviation {deviation:.1f}, least {min(distances):.0f}")


def _print_costs(paths: list[Path]) -> None:
    """CPU seconds for each content: string and fingerprint, one at a time and together, and four times ffmpeg."""
    print(f"{'CPU seconds':44}{'string':>8}{'print':>8}{'both':>8}{'ffmpeg':>8}")
    for path in paths:
        taken = []
        for asked in ((True, False), (False, True), (True, True)):
            began = time.process_time()
            _hashed(path, *asked)
            taken.append(time.process_time() - began)
        print(f"{path.name:44}" + "".join(f"{seconds:8.2f}" for seconds in (*taken, _cpu_of_ffmpeg(path))))


def _cpu_of_ffmpeg(path: Path) -> float:
    if shutil.which("ffmpeg") is None:
        return float("nan")
    with av.open(str(path)) as reading:
        duration = (reading.duration or 0) / 1e6
    made = ["-frames:v", "1", "-f", "image2", "-vcodec", "mjpeg", "-q:v", "5", "pipe:1"]
    times = (str(duration * number / 5) for number in range(1, 5))
    return sum(cpu_of_command(["ffmpeg", "-v", "quiet", "-ss", time, "-i", str(path), *made]) for time in times)


if __name__ == "__main__":
    main()
