"""`python -m benchmarks` measures what the daemon promises of speed and memory, and prints one table.

Names choose some of the benchmarks; without any, all are run. The numbers of files are options, so that what is
claimed of a million files can be measured with a million.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import bounded, burst, first_scan, idle, latency, matching, memory, renames, rescan, size
from benchmarks.daemon import running
from benchmarks.libraries import make_files, scratch
from benchmarks.report import Line, table

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("first_scan", "rescan", "size", "idle", "latency", "memory", "burst", "events", "tree", "renames", "matching")


def main() -> None:
    arguments = _arguments()
    chosen = set(arguments.names or NAMES)
    lines: list[Line] = []
    with scratch(arguments.folder, "benchmarks") as folder:
        for line in _run(folder, chosen, arguments):
            print(line.what, line.measured, line.detail, sep=": ", file=sys.stderr, flush=True)
            lines.append(line)
    print(table(lines))
    sys.exit(any(line.met is False for line in lines))


def _run(folder: Path, chosen: set[str], arguments: argparse.Namespace) -> Iterator[Line]:
    if "first_scan" in chosen:
        with scratch(folder, "first") as part:
            yield from first_scan.run(part, files=arguments.hashed, turns=arguments.turns)
    if chosen & {"rescan", "size", "idle", "latency"}:
        with scratch(folder, "known") as part:
            yield from _of_known_library(part, chosen, arguments)
    if "memory" in chosen:
        with scratch(folder, "memory") as part:
            yield from memory.run(part, _empty(part), files=arguments.files)
    if "burst" in chosen:
        with scratch(folder, "burst") as part:
            yield from burst.run(part, _empty(part))
    if "events" in chosen:
        with scratch(folder, "events") as part:
            yield from bounded.events(part, _empty(part), files=arguments.events // bounded.EVENTS_OF_A_FILE)
    if "tree" in chosen:
        with scratch(folder, "tree") as part:
            yield from bounded.tree(part, _empty(part), directories=arguments.directories)
    if "renames" in chosen:
        with scratch(folder, "renames") as part:
            yield from renames.run(part, _empty(part), files=arguments.renamed)
    if "matching" in chosen:
        with scratch(folder, "matching") as part:
            yield from matching.run(part, videos=arguments.fingerprints)


def _of_known_library(folder: Path, chosen: set[str], arguments: argparse.Namespace) -> Iterator[Line]:
    """What is measured on a library that the catalog knows already."""
    root = _empty(folder)
    make_files(root, 0, arguments.files)
    state = rescan.prepare(folder, root)
    if "size" in chosen:
        yield from size.run(state, files=arguments.files)
    if "rescan" in chosen:
        yield from rescan.run(state, root, files=arguments.files, turns=arguments.turns)
    if chosen & {"idle", "latency"}:
        with running(state, root) as daemon:
            daemon.sync()
            if "idle" in chosen:
                yield from idle.run(daemon)
            if "latency" in chosen:
                yield from latency.run(daemon, root)


def _empty(folder: Path) -> Path:
    root = folder / "library"
    root.mkdir()
    return root


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(NAMES)}")
    parser.add_argument("--files", type=int, default=200_000, help="files of the library (default: %(default)s)")
    parser.add_argument(
        "--hashed", type=int, default=20_000, help="files of the first scan, 170 kB each (default: %(default)s)"
    )
    parser.add_argument(
        "--fingerprints", type=int, default=200_000, help="videos that are matched, 2 kB each (default: %(default)s)"
    )
    parser.add_argument("--events", type=int, default=300_000, help="events of each flood (default: %(default)s)")
    parser.add_argument(
        "--directories", type=int, default=100_000, help="directories of the tree (default: %(default)s)"
    )
    parser.add_argument("--renamed", type=int, default=100_000, help="files of what is renamed (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=5, help="turns of each comparison (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where files may be made")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    if shutil.disk_usage(arguments.folder).free < 200_000 * arguments.hashed + 2_000 * arguments.files:
        parser.error(f"there is too little space in {arguments.folder}")
    return arguments


if __name__ == "__main__":
    main()
