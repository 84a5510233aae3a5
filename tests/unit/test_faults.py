"""The page of faults names tests; these keep it true."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
FAULTS = TESTS / "fault"
PAGE = (FAULTS / "README.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| what goes wrong ")]
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def test_every_fault_has_a_test_and_every_test_that_is_named_exists() -> None:
    for row in ROWS:
        named = NAMED.findall(row.split(" | ")[-1])
        assert named, row
        for file, test in named:
            path = (TESTS if "/" in file else FAULTS) / file
            assert f"\ndef {test}(" in path.read_text(), f"{file} has no {test}"


def test_every_module_of_faults_is_named() -> None:
    named = {file for file, _ in NAMED.findall(PAGE)}
    assert {path.name for path in FAULTS.glob("test_*.py")} <= named


def test_no_fault_is_there_twice() -> None:
    assert len({row.split(" | ")[0] for row in ROWS}) == len(ROWS) > 50
