"""The README names what programs rely on; these tests keep it true."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from mediawatchd.control.answers import CODES

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "README.md").read_text()


def test_every_error_code_is_listed_with_its_meaning() -> None:
    section = README[README.index("| code | |") :]
    table = section[: section.index("\n\n")]
    assert dict(re.findall(r"^\| `([a-z_]+)` \| (.*) \|$", table, re.MULTILINE)) == dict(CODES)


def test_every_refusal_uses_a_listed_code() -> None:
    used = set()
    for file in (PROJECT / "mediawatchd").rglob("*.py"):
        used |= set(re.findall(r'Refused\(\s*\d{3},\s*"([a-z_]+)"', file.read_text()))
    assert used
    assert used <= set(CODES)


def test_the_columns_of_the_view_are_listed() -> None:
    with sqlite3.connect(":memory:") as connection:
        connection.executescript((PROJECT / "mediawatchd/catalog/migrations/0001_catalog.sql").read_text())
        columns = [row[1] for row in connection.execute("PRAGMA table_info(files)")]
    connection.close()
    assert ", ".join(columns) in " ".join(README.split())
