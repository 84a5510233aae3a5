"""The installed daemon under a real systemd: one installation and one sandbox for all tests of this folder."""

from __future__ import annotations

import json
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

    def ctl(self, *arguments: str) -> Any:
        """What a command of mediawatchctl answers."""
        return json.loads(self.run(f"{INSTALLED}/bin/mediawatchctl", "--json", *arguments).stdout)

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
        listed = self.run("ps", "-o", "args=", "-u", "mediawatchd", check=False).stdout
        return listed.splitlines()

    def wait_for(self, name: str, value: str, *, within: float = 30) -> None:
        wait_until(lambda: self.show(name) == value, within=within, poll=0.05, shows=lambda: self.show(name))


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project in a virtual environment of the system's own Python, with the locked versions of what it needs."""
    folder = tmp_path_factory.mktemp("installation")
    source = folder / "source"
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        source.mkdir(exist_ok=True)
        shutil.copy(PROJECT / name, source)
    shutil.copytree(PROJECT / "mediawatchd", source / "mediawatchd", ignore=shutil.ignore_patterns("__pycache__"))
    locked = (PROJECT / "requirements-dev.txt").read_text()
    (build_tool,) = re.findall(r"^setuptools==.*\n(?: .*\n)+", locked, re.MULTILINE)
    (folder / "build-tool.txt").write_text(build_tool)
    made = folder / "mediawatchd"
    _run(str(PYTHON), "-m", "venv", str(made))
    pip = [str(made / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "--use-pep517"]
    _run(*pip, "--require-hashes", "-r", str(folder / "build-tool.txt"), "-r", str(source / "requirements.txt"))
    _run(*pip, "--no-index", "--no-deps", "--no-build-isolation", str(source))
    # Made here and used there; nothing else in a virtual environment knows where it lies.
    for command in ("mediawatchd", "mediawatchctl"):
        script = made / "bin" / command
        script.write_text(re.sub(r"^#!.*", f"#!{INSTALLED}/bin/python", script.read_text(), count=1))
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


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}"
