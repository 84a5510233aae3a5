"""The installed daemon under a real systemd: one installation and one sandbox for all tests of this folder."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.system.sandbox import Sandbox
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[2]
INSTALLED = "/opt/mediawatchd"
PYTHON = Path("/usr/bin/python3")
INSTALL_SECONDS = 300
IMPORTED = [f"mediawatchd.{name}" for name in ("cli.ctl", "cli.daemon", "daemon", "hashing.streams", "watching.child")]
CONFIG = "/etc/mediawatchd/mediawatchd.yaml"
MEDIA = "/srv/media"
QUICK = {"watch": {"settle_seconds": 0.2}, "server": {"port": None}}


class Service:
    """mediawatchd.service in the sandbox, stopped and as new."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.run = sandbox.run

    def configure(self, *roots: str, **settings: object) -> None:
        self.sandbox.write(CONFIG, yaml.safe_dump({"scan_dirs": list(roots or [MEDIA]), **QUICK, **settings}))

    def drop_in(self, *lines: str) -> None:
        """What the tests do not want to wait for, such as the pause before a restart."""
        self.sandbox.write("/etc/systemd/system/mediawatchd.service.d/test.conf", "\n".join(("[Service]", *lines, "")))
        self.run("systemctl", "daemon-reload")

    def start(self) -> None:
        self.run("systemctl", "start", "mediawatchd")

    def show(self, name: str) -> str:
        """A property of the unit."""
        return self.run("systemctl", "show", "--property", name, "--value", "mediawatchd").stdout.rstrip("\n")

    def ctl(self, *arguments: str, status: int = 0) -> Any:
        """What a command of mediawatchctl answers, and that it ends with this status."""
        done = self.run(f"{INSTALLED}/bin/mediawatchctl", "--json", *arguments, check=False)
        assert done.returncode == status, f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def journal(self) -> str:
        return self.run("journalctl", "--no-pager", "-o", "short-monotonic", "-u", "mediawatchd").stdout

    def files(self, count: int, folder: str = MEDIA) -> None:
        """Make so many files that are no media inside, whatever their names say."""
        script = 'mkdir -p "$1"; cd "$1"; for n in $(seq "$2"); do echo "$n" >"film-$n.mkv"; done'
        self.run("sh", "-c", script, "-", folder, str(count))

    def main_pid(self) -> int:
        return int(self.show("MainPID"))

    def processes(self) -> list[str]:
        """The command lines of all processes of its user."""
        command_line = 'tr "\\0\\n" "  " <"$p/cmdline"; echo'
        each = f'for p in /proc/[0-9]*; do [ "$(stat -c %U "$p")" != mediawatchd ] || {{ {command_line}; }}; done'
        return [line for line in self.run("sh", "-c", each).stdout.splitlines() if line]

    def wait_for(self, name: str, value: str, *, within: float = 30) -> None:
        wait_until(lambda: self.show(name) == value, within=within, poll=0.05, shows=lambda: self.show(name))


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project in a virtual environment of the system's own Python, with the locked versions of what it needs."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    shutil.copytree(PROJECT / "mediawatchd", source / "mediawatchd", ignore=shutil.ignore_patterns("__pycache__"))
    dependencies = _dependencies(PROJECT / "build")
    made = dependencies.with_name(f"{dependencies.name}-{os.getpid()}")
    try:
        _run("cp", "--archive", "--link", str(dependencies), str(made))
        _run(*_pip(made), "--no-index", "--no-deps", "--no-build-isolation", str(source))
        # Inside it is read-only: what is imported is compiled now, and not the thousands of modules that are not.
        _run(str(made / "bin" / "python"), "-c", f"import {', '.join(IMPORTED)}")
        # Made here and used there; nothing else in a virtual environment knows where it lies.
        for command in ("mediawatchd", "mediawatchctl"):
            script = made / "bin" / command
            script.write_text(re.sub(r"^#!.*", f"#!{INSTALLED}/bin/python", script.read_text(), count=1))
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _dependencies(folder: Path) -> Path:
    """All but the project itself; kept for the next time, until the locked versions are others."""
    locked = (PROJECT / "requirements.txt").read_text()
    (build_tool,) = re.findall(
        r"^setuptools==.*\n(?: .*\n)+", (PROJECT / "requirements-dev.txt").read_text(), re.MULTILINE
    )
    wanted = locked + build_tool + str(PYTHON.resolve())
    made = folder / f"system-tests-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"
    if not made.exists():
        for old in folder.glob("system-tests-*"):
            shutil.rmtree(old, ignore_errors=True)
        half = folder / f"half-{made.name}-{os.getpid()}"
        _run(str(PYTHON), "-m", "venv", str(half))
        requirements = half / "requirements.txt"
        requirements.write_text(locked + build_tool)
        _run(*_pip(half), "--require-hashes", "-r", str(requirements))
        half.rename(made)
    return made


@pytest.fixture(scope="session")
def sandbox(installation: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("systemd") / "sandbox"
    with Sandbox(folder, binds={INSTALLED: installation}) as sandbox:
        for name, place in (
            ("mediawatchd.service", "/etc/systemd/system"),
            ("sysusers.d/mediawatchd.conf", "/etc/sysusers.d"),
            ("sysctl.d/60-mediawatchd.conf", "/etc/sysctl.d"),
        ):
            sandbox.write(f"{place}/{Path(name).name}", (PROJECT / "systemd" / name).read_text())
        sandbox.run("systemd-sysusers")
        yield sandbox


@pytest.fixture
def service(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> Iterator[Service]:
    service = Service(sandbox)
    sandbox.run("journalctl", "--rotate", "--vacuum-time=1ms")
    service.drop_in("RestartSec=100ms")
    service.configure()
    sandbox.run("mkdir", "-p", MEDIA)
    yield service
    print(service.journal()[-8000:])
    sandbox.run("sh", "-c", "systemctl stop mediawatchd.socket mediawatchd; systemctl reset-failed; "
                "rm -rf /srv/* /var/lib/mediawatchd /etc/systemd/system/mediawatchd.socket", check=False)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.needs_root)
            # The first one installs everything.
            item.add_marker(pytest.mark.timeout(INSTALL_SECONDS))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for command in ("systemctl", "unshare", "nsenter", "setpriv"):
        if shutil.which(command) is None:
            pytest.skip(f"needs {command}")
    if not PYTHON.exists():
        pytest.skip(f"needs {PYTHON}")


def _pip(environment: Path) -> list[str]:
    python = str(environment / "bin" / "python")
    return [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--use-pep517", "--no-compile"]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}"
