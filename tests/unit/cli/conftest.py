"""What the tests of mediawatchctl share: a fake daemon, and a way to run the command in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from mediawatchd.cli import ctl
from tests.unit.cli.fake_daemon import FakeDaemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    fake = FakeDaemon(tmp_path / "s").start()
    yield fake
    fake.stop()


@pytest.fixture
def run(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Runs a command line against the fake daemon; what it wrote and its exit status."""
    monkeypatch.setenv("MEDIAWATCHD_SOCKET", daemon.path)
    monkeypatch.setenv("TZ", "UTC")

    def run_command(*arguments: str) -> Outcome:
        try:
            status = ctl.main(list(arguments))
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else 1
        written = capsys.readouterr()
        return Outcome(status, written.out, written.err)

    return run_command
