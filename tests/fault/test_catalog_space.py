"""A disk without space, or that cannot be written: in a mount namespace of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests import legacy_catalog
from tests.legacy_catalog import file

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs_root

START = """
import sys
from mediawatchd.catalog.database import Database
from mediawatchd.errors import MediawatchdError
try:
    database = Database(sys.argv[1])
    database.open()
except MediawatchdError as exc:
    print(type(exc).__name__, exc, exc.hint)
else:
    print("open", database.notices)
    database.close()
"""


def run(script: str, *arguments: str | bytes) -> str:
    """What a shell script prints that runs where its mounts are nobody else's; `$0` opens a catalog."""
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-euc", script, "sh", *arguments],
        check=True,
        capture_output=True,
        timeout=60,
        env={**os.environ, "PYTHON": sys.executable, "START": START},
    )
    return done.stdout.decode()


def test_a_folder_that_is_mounted_read_only(tmp_path: Path) -> None:
    said = run(
        'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; "$PYTHON" -c "$START" "$1/catalog.db"', str(tmp_path)
    )
    assert said.startswith("CatalogUnreadable")
    assert "cannot be written" in said
    assert "writable" in said
    assert os.listdir(tmp_path) == []


def test_a_folder_of_another_user(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    said = run(
        'mkdir "$1/state"; exec setpriv --reuid 65534 --clear-groups "$PYTHON" -c "$START" "$1/state/catalog.db"',
        str(tmp_path),
    )
    assert said.startswith("CatalogUnreadable")


def test_no_space_for_a_new_catalog(tmp_path: Path) -> None:
    said = run('mount -t tmpfs -o size=64k tmpfs "$1"; "$PYTHON" -c "$START" "$1/catalog.db"', str(tmp_path))
    assert said.startswith("CatalogUnreadable")
    assert "space" in said


def test_no_space_for_an_upgrade_leaves_the_old_database(tmp_path: Path) -> None:
    old = bytes(tmp_path / "old.db")
    legacy_catalog.write(old, [file(f"/films/{n}.mkv", id=n) for n in range(1, 3000)])
    (tmp_path / "disk").mkdir()
    said = run(
        'mount -t tmpfs -o size=1200k tmpfs "$1/disk"; cp "$1/old.db" "$1/disk/catalog.db"; '
        '"$PYTHON" -c "$START" "$1/disk/catalog.db"; cmp "$1/old.db" "$1/disk/catalog.db"; '
        'mount -o remount,size=20m "$1/disk"; "$PYTHON" -c "$START" "$1/disk/catalog.db"',
        str(tmp_path),
    )
    refused, opened = said.splitlines()
    assert refused.startswith("CatalogUnreadable")
    assert "space" in refused
    assert opened.startswith("open")
    assert "2999 of 2999" in opened
