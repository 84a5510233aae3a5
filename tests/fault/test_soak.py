"""The soak itself stays sound: a few rounds of it, with a seed whose faults are of many kinds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(not Path("/dev/loop-control").exists(), reason="needs loop devices"),
]


def test_a_short_soak_finds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.soak", "--rounds", "3", "--changes", "12", "--seed", "5"]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], check=False, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "faults found: none" in done.stdout
