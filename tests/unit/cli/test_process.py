"""mediawatchctl as a process of its own: what it imports, and how it takes pipes, locales and terminals."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.unit.cli.fake_daemon import FakeDaemon, answer, refusal
from tests.unit.cli.test_files import a_file, stream
from tests.unit.cli.test_jobs import DONE, JOB
from tests.unit.cli.test_status import STATUS

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAVY = {
    *(
        "rich",
        "flask",
        "werkzeug",
        "cheroot",
        "yaml",
        "av",
        "numpy",
        "PIL",
        "imagehash",
        "pebble",
        "watchdog",
        "sqlite3",
    ),
    *("http", "urllib", "email", "ssl", "asyncio", "concurrent", "multiprocessing", "threading", "subprocess"),
    *("dataclasses", "inspect", "typing", "contextlib", "shutil", "tempfile", "logging", "pathlib", "base64", "shlex"),
    *("prometheus_client", "importlib.metadata", "unittest", "pkg_resources", "mediawatchd.model"),
}
CTL = "import sys; from mediawatchd.cli.ctl import main; sys.exit(main())"
# Without site: what an installation adds to each interpreter is not ours to test.
IMPORTED = """
import sys
from mediawatchd.cli.ctl import main
try:
    main(sys.argv[1:])
finally:
    print("imported", *sys.modules, file=sys.stderr)
"""


def environment(daemon: FakeDaemon, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {"MEDIAWATCHD_SOCKET": daemon.path, "LC_ALL": "C.UTF-8", "TZ": "UTC"} | more


def ctl(daemon: FakeDaemon, *arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", CTL, *arguments],
        env=environment(daemon, **more),
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", [["status"], ["status", "--json"], ["--help"], ["files", "--help"]])
def test_nothing_heavy_is_imported(daemon: FakeDaemon, arguments: list[str]) -> None:
    daemon.on("GET", "/api/status", answer(200, STATUS))
    done = subprocess.run(
        [sys.executable, "-S", "-c", IMPORTED, *arguments],
        env=environment(daemon, PYTHONPATH=os.pathsep.join(path for path in sys.path if path) or "."),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    last = done.stderr.splitlines()[-1].split()
    assert last[0] == "imported"
    assert "argparse" in last
    assert not HEAVY & set(last)


def test_reader_that_has_enough_ends_it_silently(daemon: FakeDaemon) -> None:
    daemon.on("GET", "/api/files", stream(a_file(b"/srv/%d.mkv" % number) for number in range(5000)))
    for json_option in ([], ["--json"]):
        with subprocess.Popen(
            [sys.executable, "-c", CTL, "files", *json_option],
            env=environment(daemon),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(30) == 0


def test_reader_that_left_before_the_first_line(daemon: FakeDaemon) -> None:
    daemon.on("GET", "/api/status", answer(200, STATUS))
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", CTL, "status"],
        env=environment(daemon),
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_full_disk_behind_the_output_is_told(daemon: FakeDaemon) -> None:
    daemon.on("GET", "/api/status", answer(200, STATUS))
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", CTL, "status"],
            env=environment(daemon),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"mediawatchctl: the output cannot be written: No space left on device\n"


def test_locale_without_utf8_escapes(daemon: FakeDaemon) -> None:
    daemon.on("GET", "/api/files", stream([a_file("/srv/日本.mkv".encode())]))
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = ctl(daemon, "files", **ascii_only)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(rb"/srv/\u65e5\u672c.mkv" + b"\n")
    assert ctl(daemon, "files", "--json", **ascii_only).stdout.isascii()
    daemon.on("GET", "/api/status", answer(200, STATUS | {"state": "müde"}))
    assert rb"m\xfcde" in ctl(daemon, "status", **ascii_only).stdout


def test_closed_streams(daemon: FakeDaemon) -> None:
    daemon.on("GET", "/api/status", answer(200, STATUS))
    script = f"exec {sys.executable} -c '{CTL}' status >&- 2>&-"
    assert subprocess.run(["sh", "-c", script], env=environment(daemon), timeout=60, check=False).returncode == 0


def on_a_terminal(arguments: list[str], variables: Mapping[str, str]) -> tuple[int, str]:
    """Runs the command with a terminal of its own; its exit status and all that the terminal was sent."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-c", CTL, *arguments], dict(variables))
    received = b""
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 1)[0]:
                continue
            piece = os.read(terminal, 65_536)
            if not piece:
                break
            received += piece
    except OSError:
        pass  # EIO: the other end has closed
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), received.decode()


def test_first_files_are_enough_for_a_terminal(daemon: FakeDaemon) -> None:
    items = [a_file(b"/srv/" + b"long/" * 30 + b"%d.mkv" % number) for number in range(101)]
    daemon.on("GET", "/api/files", lambda request: answer(200, {"items": items[: int(request.query["limit"])]}))
    status, text = on_a_terminal(["files"], environment(daemon, TERM="xterm", COLUMNS="80"))
    lines = re.sub(r"\x1b\[\d*m", "", text).splitlines()
    assert status == 0
    assert len(lines) == 102
    assert lines[-1] == "the first 100 are shown; --limit 0 shows all"
    assert {len(line) for line in lines[1:-1]} == {80}
    assert lines[1].endswith("long/0.mkv")


def test_wait_shows_a_bar_on_a_terminal(daemon: FakeDaemon) -> None:
    daemon.on("GET", "/api/jobs/12", answer(200, JOB))
    daemon.on("GET", "/api/jobs/12/wait", refusal(504, "timeout", "not yet"), answer(200, DONE))
    status, text = on_a_terminal(["job", "12", "--wait"], environment(daemon, TERM="xterm", COLUMNS="100"))
    assert status == 0
    assert "1,204 of 2,000 files, 60.2 %" in text
    assert "0:12:04 left" in text
    assert "a\\x1b.mkv" in text
    assert "━" in text
    assert text.splitlines()[-1].endswith("0 failed, in 0:01:30")


def test_wait_on_a_dumb_terminal_prints_lines(daemon: FakeDaemon) -> None:
    daemon.on("GET", "/api/jobs/12", answer(200, JOB))
    daemon.on("GET", "/api/jobs/12/wait", answer(200, DONE))
    status, text = on_a_terminal(["job", "12", "--wait"], environment(daemon, TERM="dumb"))
    assert status == 0
    assert "\x1b" not in text
    assert text.startswith("scan 12: 1,204 of 2,000 files")


def test_interrupt_on_a_terminal_detaches(daemon: FakeDaemon) -> None:
    daemon.on("GET", "/api/jobs/12", answer(200, JOB))
    daemon.on("GET", "/api/jobs/12/wait", lambda _request: refusal(504, "timeout", "not yet"))
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-c", CTL, "job", "12", "--wait"], environment(daemon, TERM="xterm"))
    text = b""
    is_sent = False
    try:
        while piece := os.read(terminal, 65_536):
            text += piece
            if not is_sent and b"1,204" in text:
                os.write(terminal, b"\x03")
                is_sent = True
    except OSError:
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    assert b"detached; job 12 goes on" in text
    assert b"Traceback" not in text
