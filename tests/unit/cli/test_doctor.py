from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import mediawatchd
from tests.unit.cli.fake_daemon import FakeDaemon, answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from tests.unit.cli.conftest import Outcome


def finding(level: str, check: str, text: str, fix: str = "") -> dict[str, Any]:
    return {"level": level, "check": check, "text": text, "fix": fix}


def findings(*found: dict[str, Any], version: str = mediawatchd.__version__) -> bytes:
    return answer(200, {"version": version, "findings": list(found)})


def test_all_is_well(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/doctor", findings(finding("ok", "clock", "it runs evenly")))
    outcome = run("doctor")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        f"ok      version  daemon and mediawatchctl are both {mediawatchd.__version__}",
        "ok      clock    it runs evenly",
        "",
        "all is well: 2 checks",
    ]


def test_the_worst_first_with_what_to_do_and_a_sum(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on(
        "GET",
        "/api/doctor",
        findings(
            finding("ok", "clock", "it runs evenly"),
            finding("error", "root", "/srv/\x1b is offline", "sudo mount /srv"),
            version="0.0.9",
        ),
    )
    outcome = run("doctor")
    assert outcome.status == 1
    lines = outcome.out.splitlines()
    assert lines[:2] == ["error   root     /srv/\\x1b is offline", "                 fix: sudo mount /srv"]
    assert lines[2].startswith("warning version  the daemon is 0.0.9 and this mediawatchctl is ")
    assert lines[3] == "                 fix: sudo systemctl restart mediawatchd"
    assert lines[-1] == "1 error, 1 warning, 1 ok"


def test_warnings_alone_are_no_failure(daemon: FakeDaemon, run: Callable[..., Outcome]) -> None:
    daemon.on("GET", "/api/doctor", findings(finding("warning", "daemon", "paused", "mediawatchctl resume")))
    outcome = run("doctor", "--json")
    assert outcome.status == 0
    answer = json.loads(outcome.out)
    assert answer["counts"] == {"error": 0, "warning": 1, "ok": 1}
    assert answer["findings"][0] == finding("warning", "daemon", "paused", "mediawatchctl resume")


def test_lines_are_wrapped_to_the_terminal(
    daemon: FakeDaemon, run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mediawatchd.cli.screen import Screen  # noqa: PLC0415

    making = Screen.__init__

    def narrow(self: Screen, *arguments: Any, **more: Any) -> None:
        making(self, *arguments, **more)
        self.width = 50

    monkeypatch.setattr(Screen, "__init__", narrow)
    daemon.on("GET", "/api/doctor", findings(finding("error", "root", "word " * 12 + "/a/long/path" * 5)))
    lines = run("doctor").out.splitlines()
    assert lines[0] == "error   root     word word word word word word"
    assert lines[1] == "                 word word word word word word"
    assert lines[2].strip() == "/a/long/path" * 5, "what may be copied stays whole"


def test_without_a_daemon_it_checks_what_it_can(
    daemon: FakeDaemon, run: Callable[..., Outcome], tmp_path: Path
) -> None:
    daemon.stop()
    config = tmp_path / "mediawatchd.yaml"
    config.write_text(f"scan_dirs: [{tmp_path}, {tmp_path}2]\n")
    outcome = run("doctor", "--config", str(config))
    assert outcome.status == 3
    lines = outcome.out.splitlines()
    assert lines[0].startswith("error   daemon   the daemon is not running; no socket answers:")
    assert f"error   root     {tmp_path}2 is not there" in lines
    assert f"ok      config   {config} is valid" in lines
    assert f"ok      root     {tmp_path} can be listed by this user" in lines
    assert any(line.split()[1] == "inotify" for line in lines if line)
    assert lines[-1].endswith("the daemon was not asked, so what only it knows was not checked")


def test_without_a_daemon_a_configuration_with_mistakes_is_an_error(
    daemon: FakeDaemon, run: Callable[..., Outcome], tmp_path: Path
) -> None:
    daemon.stop()
    config = tmp_path / "mediawatchd.yaml"
    config.write_text("scan_dir: [/srv]\n")
    answer = json.loads(run("doctor", "--json", "--config", str(config)).out)
    assert answer["version"] is None
    assert "did you mean" in next(each for each in answer["findings"] if each["check"] == "config")["text"]
    assert run("doctor", "--config", str(tmp_path / "none")).status == 3
