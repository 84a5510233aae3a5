"""A first scan of a warm library, without decoding, against a C program that stores nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.costs import cpu_of_command, in_turns
from benchmarks.libraries import make_files
from benchmarks.report import Line, at_most

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 1.25
LEAST_BYTES, MOST_BYTES = 131_072, 204_800
"""Head and tail of such files are read whole, and the page cache of an ordinary machine holds 20,000 of them."""
SETTLED_SECONDS = 2.0
_WHAT = "first scan, warm, no probing"
_SOURCE = Path(__file__).with_name("floor.c")


def run(folder: Path, *, files: int, turns: int) -> Iterator[Line]:
    library, compiler = _libcrypto(), shutil.which("cc")
    if library is None or compiler is None:
        yield Line(_WHAT, "not measured", detail="it needs a C compiler, and a Python that uses libcrypto")
        return
    floor = folder / "floor"
    subprocess.run([compiler, "-O2", "-o", floor, _SOURCE, "-ldl"], check=True)
    root = folder / "library"
    make_files(root, 0, files, least_bytes=LEAST_BYTES, most_bytes=MOST_BYTES)
    time.sleep(SETTLED_SECONDS)  # or its files would be too fresh to be hashed at once
    expected = subprocess.run([floor, root, library], check=True, capture_output=True, text=True).stdout.strip()

    def scan() -> float:
        state = folder / "state"
        state.mkdir()
        command = [sys.executable, "-m", "benchmarks.scan", "--no-probes", str(root), str(state / "catalog.db")]
        spent, summary = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split(maxsplit=1)
        shutil.rmtree(state)
        if summary.strip() != expected:
            raise RuntimeError(f"the scan has hashed {summary} where the floor has {expected}")
        return float(spent)

    pair = in_turns(scan, lambda: cpu_of_command([str(floor), str(root), library]), turns)
    each = f"{1e6 * pair.ours / files:.1f} against {1e6 * pair.theirs / files:.1f} us of CPU a file, {files:,} files"
    yield at_most(_WHAT, pair.ratio, LIMIT, "x the floor in C", each)


def _libcrypto() -> str | None:
    """The library that hashlib itself uses, so that both take the same SHA-256."""
    import hashlib  # noqa: PLC0415 - it loads the library that is looked for

    hashlib.new("sha256")
    with open("/proc/self/maps") as maps:
        return next((line.split()[-1] for line in maps if "libcrypto" in line), None)
