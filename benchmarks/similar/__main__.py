"""`python -m benchmarks.similar CLIPS`, or `make bench-similar CLIPS=DIR`.

CLIPS is a folder of short videos of your own; nothing in it is changed. Its SOURCES.tsv, if there is one, says in its
columns `file` and `content` which of them show the same. Each content is edited in every way of `edits`, long films are
cut together from all of them and encoded in every way of `films`, and videos that only look alike are made beside them;
all are hashed, searched for and scored as the daemon does it, at its own thresholds. Prints what is found, what is
mistaken and what it costs, and draws how far apart the videos are. Exit status 1 when fewer than 99.5 % of the copies
of clips are found, or two clips pass for alike that are not.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import av

from benchmarks.similar import cpu, films, findings, lookalikes, picture
from benchmarks.similar.edits import EDITS, FEW
from benchmarks.similar.hashing import CLIP, FILM, Source, Work, hash_all, tell

AIM = 0.995


def main() -> None:
    asked = _arguments()
    began = time.monotonic()
    os.environ["SVT_LOG"] = "0"  # the AV1 encoder tells thirty lines for each video
    contents = _contents(asked.clips, asked.contents)
    clips = [files[0] for files in contents.values()]
    videos = hash_all(list(_works(contents, asked)), asked.scratch, asked.processes)
    found = findings.compare(videos, asked.processes)
    tell("")
    print(*findings.found_table(found.copies), "", *findings.false_table(found), sep="\n")
    if asked.cpu:
        with tempfile.TemporaryDirectory(dir=asked.scratch) as folder:
            costs = list(cpu.measure(clips, Path(folder), films=asked.long_cpu))
        tell("")
        print("", *cpu.table(costs), sep="\n")
    picture.draw(found, asked.picture)
    recall, mistaken = findings.recall(found.copies, CLIP), findings.false_among_clips(found.others)
    met = recall >= AIM and not mistaken
    print(f"\nThe distances, drawn: {asked.picture}")
    print(
        f"Found of all copies of clips: {recall:.2%}, aim {AIM:.1%}; false pairs among clips and their copies: "
        f"{len(mistaken)}, aim 0: {'met' if met else 'MISSED'}. It took {time.monotonic() - began:.0f} s."
    )
    if asked.films:
        print(f"Found of all copies of long films: {findings.recall(found.copies, FILM):.2%}.")
    sys.exit(not met)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.similar", description=__doc__.split("\n\n")[1])
    parser.add_argument("clips", type=Path, help="folder of short videos")
    parser.add_argument("--contents", type=int, help="no more than so many of them")
    parser.add_argument("--invented", type=int, default=4, help="lookalikes of each kind")
    parser.add_argument("--films", type=int, default=3, help="long films cut together from them")
    parser.add_argument("--edits", default="", help="only those with this in their names")
    parser.add_argument("--no-cpu", dest="cpu", action="store_false", help="do not measure CPU")
    parser.add_argument("--no-long-cpu", dest="long_cpu", action="store_false", help="CPU of the clips alone")
    parser.add_argument("--picture", type=Path, default=Path("build/similar.png"), help="where it is drawn")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--scratch", type=Path, help="where copies are made (300 MB)")
    asked = parser.parse_args()
    if not asked.clips.is_dir():
        parser.error(f"there is no folder {asked.clips}")
    asked.picture.parent.mkdir(parents=True, exist_ok=True)
    return asked


def _contents(clips: Path, most: int | None) -> dict[str, list[Path]]:
    """The files of each content, the content itself first."""
    found: dict[str, list[Path]] = {}
    sources = clips / "SOURCES.tsv"
    if sources.exists():
        with sources.open() as lines:
            for row in csv.DictReader(lines, delimiter="\t"):
                found.setdefault(row["content"], []).append(clips / row["file"])
    else:
        found = {path.name: [path] for path in sorted(clips.iterdir()) if path.is_file() and _is_video(path)}
    if not found:
        raise SystemExit(f"no videos in {clips}")
    return dict(itertools.islice(found.items(), most))


def _is_video(path: Path) -> bool:
    try:
        with av.open(str(path)) as reading:
            return bool(reading.streams.video and reading.duration)
    except (av.FFmpegError, OSError):
        return False


def _works(contents: dict[str, list[Path]], asked: argparse.Namespace) -> list[Work]:
    """Parts of a few seconds each, so that no process is left with a long one at the end."""
    works = []
    for content, files in contents.items():
        source = Source(CLIP, content, frozenset(), files[0])
        works.append(Work(source, True, (), files[1:]))
        works += [Work(source, False, (edit,)) for edit in EDITS if asked.edits in edit.name]
    clips = [files[0] for files in contents.values()]
    for number in range(asked.films):
        film = Source(FILM, f"film {number + 1}", frozenset(contents), partial(films.make, clips, number))
        works.append(Work(film, True, [edit for edit in films.EDITS if asked.edits in edit.name]))
    alike = lookalikes.invented(asked.invented) + lookalikes.cut_from(clips)
    few = [edit for edit in FEW if asked.edits in edit.name]
    works += [Work(Source(one.kind, one.content, one.shows, one.make), True, few) for one in alike]
    return works


if __name__ == "__main__":
    main()
