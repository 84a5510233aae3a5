from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from mediawatchd.cli import arguments, ctl
from mediawatchd.cli.console import absolute

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDIAWATCHD_SOCKET", raising=False)


@pytest.mark.parametrize(
    "line",
    [
        "--json --socket /s status",
        "status --json --socket /s",
        "--json status --socket /s",
        "--socket=/s status --json",
    ],
)
def test_common_options_on_either_side(line: str) -> None:
    parsed = arguments.parse(line.split())
    assert (parsed.json, parsed.socket, parsed.command) == (True, "/s", "status")


def test_socket_of_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIAWATCHD_SOCKET", "/env")
    assert arguments.parse(["status"]).socket == "/env"
    assert arguments.parse(["status", "--socket", "/s"]).socket == "/s"


def test_defaults() -> None:
    parsed = arguments.parse(["status"])
    assert (parsed.json, parsed.socket) == (False, None)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "unknown",
        "job",
        "job twelve",
        "files --sort colour",
        "files --limit -1",
        "sync --timeout 0",
        "sync --timeout nan",
        "sync --timeout soon",
        "show",
        "files --mis",
        "status --socket",
    ],
)
def test_wrong_command_lines_leave_with_2(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        arguments.parse(line.split())
    assert leaving.value.code == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert "usage: mediawatchctl" in written.err


def test_empty_path_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments.parse(["show", ""])
    assert "an empty path" in capsys.readouterr().err


def test_help_names_exit_statuses_and_environment(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        arguments.parse(["--help"])
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    statuses = re.findall(r"^  (\d+)  ", text.replace("    ", "  ").replace("   ", "  "), re.MULTILINE)
    assert statuses == ["0", "1", "2", "3", "4", "5", "6", "124", "130"]
    assert "MEDIAWATCHD_SOCKET" in text
    assert "NO_COLOR" in text


@pytest.mark.parametrize("command", sorted(ctl.MODULES))
def test_each_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        arguments.parse([command, "--help"])
    assert leaving.value.code == 0
    assert re.search(rf"example:\n  .*mediawatchctl (--json )?{command}", capsys.readouterr().out)


def test_paths_are_made_absolute_as_the_shell_sees_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "media").symlink_to(tmp_path / "disk")
    monkeypatch.chdir(tmp_path / "media")
    monkeypatch.setenv("PWD", str(tmp_path / "media"))
    assert absolute("a/../b.mkv") == os.fsencode(tmp_path / "media/b.mkv")
    assert absolute(".") == os.fsencode(tmp_path / "media")
    monkeypatch.setenv("PWD", "/")
    assert absolute("b.mkv") == os.fsencode(tmp_path / "disk/b.mkv")
    monkeypatch.delenv("PWD")
    assert absolute("b.mkv") == os.fsencode(tmp_path / "disk/b.mkv")
    assert absolute("//srv//films/") == b"/srv/films"
    assert absolute(os.fsdecode(b"/a\xff")) == b"/a\xff"
