"""The command line of the daemon, as far as it goes without one: what is read, and what is refused."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from mediawatchd import config
from mediawatchd.cli import daemon
from mediawatchd.config import CommandLine
from mediawatchd.errors import CatalogLocked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Ended(Exception):
    """The process would have ended."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a command line that starts no daemon; the exit status."""

    def leave(status: int) -> NoReturn:
        raise Ended(status)

    def run_command(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["mediawatchd", *arguments])
        monkeypatch.setattr(os, "_exit", leave)
        monkeypatch.setattr("faulthandler.enable", lambda: None)  # it is the test run's own
        with pytest.raises((Ended, SystemExit)) as ended:
            daemon.main()
        error: Any = ended.value
        return int(error.status if isinstance(error, Ended) else error.code or 0)

    return run_command


def parsed(*arguments: str) -> Any:
    return daemon._parser().parse_args(arguments)


@pytest.mark.parametrize(("text", "port"), [("none", 0), ("0", 0), ("8081", 8081), ("65535", 65535)])
def test_a_port(text: str, port: int) -> None:
    assert parsed("--port", text).port == port


@pytest.mark.parametrize("text", ["", "-1", "65536", "http", "8080 ", "٨", "1e3"])
def test_what_is_no_port_is_refused(run: Callable[..., int], capfd: pytest.CaptureFixture[str], text: str) -> None:
    assert run("/srv", f"--port={text}") == 2
    assert "is no port" in capfd.readouterr().err


def test_a_port_of_the_command_line_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("server: {port: 9000}\n")
    environment = {"XDG_STATE_HOME": "/s"}

    def port(given: int | None) -> int | None:
        return config.load(file, overrides=CommandLine(port=given), environment=environment).server.port

    assert (port(None), port(0), port(1234)) == (9000, None, 1234)


def test_a_port_of_the_command_line_makes_a_wrong_one_in_the_file_harmless(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("server: {port: 8080}\n")
    loaded = config.load(None, overrides=CommandLine((b"/srv",), port=0), environment={"XDG_STATE_HOME": "/s"})
    assert loaded.server.port is None


def test_a_port_on_all_addresses_needs_a_secret_also_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("server: {host: 0.0.0.0, port: null}\n")
    overrides = CommandLine((b"/srv",), port=8080)
    mistakes = config.check(file, overrides=overrides, environment={"XDG_STATE_HOME": "/s"})
    assert len(mistakes) == 1
    assert "secret_token" in mistakes[0]


def test_the_version(run: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capfd.readouterr().out.startswith("mediawatchd ")


def test_a_good_configuration(run: Callable[..., int], capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("--check-config", str(tmp_path)) == 0
    assert capfd.readouterr().out == "the command line: the configuration is good\n"


def test_roots_that_overlap_are_told_of(
    run: Callable[..., int], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(str(tmp_path), str(tmp_path / "films")) == 78
    told = capfd.readouterr().err
    assert "lies inside the root" in told
    assert "--check-config" in told


def test_what_prevents_the_start_is_told_with_its_hint_and_status(
    run: Callable[..., int], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_arguments: object) -> NoReturn:
        raise CatalogLocked("The catalog is in use by the daemon with process id 7.")

    monkeypatch.setattr(daemon, "_run", fail)
    assert run("/srv") == 1
    assert capfd.readouterr().err == (
        "mediawatchd: The catalog is in use by the daemon with process id 7.\n"
        "Stop the other daemon, or give this one a db_path of its own.\n"
    )


def test_an_interrupt_while_it_starts_is_no_traceback(
    run: Callable[..., int], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_arguments: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(daemon, "_run", interrupt)
    assert run("/srv") == 130
    assert capfd.readouterr().err == ""
