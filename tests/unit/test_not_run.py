from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run_pytest(directory: Path, *, ci: str, test: str) -> subprocess.CompletedProcess[str]:
    (directory / "test_it.py").write_text(f"import pytest\n\n{test}\n")
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.conftest",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            "test_it.py",
        ],
        cwd=directory,
        env={**os.environ, "CI": ci, "PYTHONPATH": HERE, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


SKIPS = "def test_skips(): pytest.skip('needs ffmpeg')"


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_what_was_not_run_is_listed_and_fails_in_ci(tmp_path: Path, ci: str, status: int) -> None:
    run = run_pytest(tmp_path, ci=ci, test=SKIPS)
    assert run.returncode == status, run.stdout
    assert "needs ffmpeg (1)\n    test_it.py::test_skips\n" in run.stdout
    assert "1 skipped" in run.stdout.splitlines()[-1]


def test_nothing_is_said_when_all_was_run(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, ci="true", test="def test_runs(): pass")
    assert run.returncode == 0, run.stdout
    assert "not run" not in run.stdout
