"""A real systemd to install the daemon under: booted in under a second, thrown away afterwards.

`boot.sh` says what it is made of. Nothing of it is seen outside, and it ends with the process that started it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

BOOT_SECONDS = 60
_ENVIRONMENT = ("HOME=/root", "LANG=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_PAGER=")


class Sandbox:
    """`binds`: what is seen inside, read-only, by the place where it is seen."""

    def __init__(self, folder: Path, *, binds: Mapping[str, Path]) -> None:
        self._folder = folder
        self._binds = binds
        self._name = f"mediawatchd-tests-{os.getpid()}"
        self._console = folder.with_suffix(".console")
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0

    def __enter__(self) -> Self:
        self._folder.mkdir()
        command = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "--",
            "/bin/bash",
        ]
        command += [str(Path(__file__).with_name("boot.sh")), str(self._folder), self._name]
        command += [f"{source}:{target}" for target, source in self._binds.items()]
        with self._console.open("wb") as console:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        try:
            wait_until(self._has_booted, within=BOOT_SECONDS, poll=0.05, shows=self._console.read_text)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._process is not None
        if self._init:
            os.kill(self._init, signal.SIGKILL)
        self._process.kill()
        self._process.wait(30)
        for hierarchy in Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup/systemd"):
            for folder, _, _ in os.walk(hierarchy / self._name, topdown=False):
                wait_until(lambda folder=folder: _removed(folder), within=30)

    def run(self, *command: str | bytes, text: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command inside as root, with `text` as its input; fails when it does, unless `check` is False."""
        into = ["nsenter", f"--target={self._init}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"]
        done = subprocess.run(
            [*into, "env", "-i", *_ENVIRONMENT, *command],
            input=text, capture_output=True, encoding="utf-8", timeout=60, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def write(self, path: str, text: str) -> None:
        """Write a file inside, and make its folder."""
        self.run("sh", "-c", 'mkdir -p "${1%/*}" && cat >"$1"', "-", path, text=text)

    def _has_booted(self) -> bool:
        assert self._process is not None
        pid = self._process.pid
        assert self._process.poll() is None, f"systemd did not start: {self._console.read_text()}"
        [*children] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        try:
            if not children or Path(f"/proc/{children[0]}/comm").read_text() != "systemd\n":
                return False
        except (FileNotFoundError, ProcessLookupError):
            return False  # a command on the way to it, that has ended meanwhile
        self._init = int(children[0])
        return self.run("systemctl", "is-system-running", check=False).stdout in {"running\n", "degraded\n"}


def _removed(folder: str) -> bool:
    """Whether a control group is gone; the kernel takes a moment after its last process."""
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
