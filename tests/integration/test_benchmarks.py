"""The benchmarks that put parts together by themselves still do, with a library that is far too small to measure."""

from __future__ import annotations

import subprocess
import sys

SMALL = ("--files", "200", "--hashed", "20", "--fingerprints", "200", "--turns", "1")
FIGURES = (
    "first scan, warm, no probing",
    "catalog",
    "unchanged rescan, whole daemon",
    "memory of the index and all else",
    "building the index",
    "one search",
    "a copy that arrives",
)


def test_benchmarks_measure_what_they_say() -> None:
    command = [sys.executable, "-m", "benchmarks", "first_scan", "rescan", "size", "matching", *SMALL]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert "Traceback" not in ran.stderr, ran.stderr
    assert [line.split(":")[0] for line in ran.stderr.splitlines()] == list(FIGURES)
    assert len(ran.stdout.splitlines()) == 1 + len(FIGURES)
