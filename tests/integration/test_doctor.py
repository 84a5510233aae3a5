"""The real doctor asks a real daemon, and does without it when it is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediawatchd.hashing import selftest
from tests.running import running
from tests.trees import size, tree

if TYPE_CHECKING:
    import pytest

    from tests.running import Running

PROJECT = Path(__file__).parents[2]


def doctor(daemon: Running) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    done = subprocess.run(
        [sys.executable, "-m", "mediawatchd.cli.ctl", "--socket", str(daemon.socket), "--json", "doctor",
         "--config", str(daemon.config)],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONWARNINGS": "error"},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(done.stdout)["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    return done.returncode, found


def test_the_doctor_finds_a_root_that_is_away_and_a_daemon_that_is_gone(tmp_path: Path) -> None:
    root, away = tmp_path / "media", tmp_path / "away"
    tree({"films/a.mkv": size(1_000)}).under(root)
    with running(tmp_path / "run", root, away) as daemon:
        daemon.sync()
        status, found = doctor(daemon)
        assert status == 1
        assert [each["level"] for each in found["root"]] == ["error", "ok"]
        for check in ("socket", "catalog", "decoder", "clock", "version"):
            assert [each["level"] for each in found[check]] == ["ok"], found[check]
        assert str(daemon.socket) in found["socket"][0]["text"]
        away.mkdir()
        daemon.sync(walk=True)
        os.unlink(daemon.socket)
        status, found = doctor(daemon)
        assert status == 3
        assert str(daemon.socket) in found["daemon"][0]["text"]
        assert [each["level"] for each in found["config"]] == ["ok"]
        assert [each["level"] for each in found["root"]] == ["ok", "ok"]


def test_a_decoder_that_cannot_be_started_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert selftest.run() is None
    for command, said in (
        ((sys.executable, "-c", "raise RuntimeError('no codec')"), "failed with status 1: RuntimeError: no codec"),
        ((sys.executable, "-c", "import os; os.abort()"), "failed with signal 6: no message"),
        (("/no/such/program",), "cannot be started: No such file or directory"),
    ):
        monkeypatch.setattr(selftest, "COMMAND", command)
        assert said in str(selftest.run())
    monkeypatch.setattr(selftest, "COMMAND", ("sleep", "60"))
    assert "took longer than 0.1 s" in str(selftest.run(timeout_seconds=0.1))
