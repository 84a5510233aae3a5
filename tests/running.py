"""The real daemon in a process of its own, asked over its socket as a script would, and its catalog read beside it.

`with running(tmp_path, root) as daemon:` starts it with short times; `daemon.kill()` and `daemon.start()` are the
faults of its life. The catalog is read through the view `files` with plain sqlite3, independent of the product.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mediawatchd.control.client import Client
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

START_SECONDS = 120
"""A start takes a second of one core, of which a busy machine may give it one in thirty."""
STOP_SECONDS = 60
SETTLE_SECONDS = 0.2


class Running:
    """One daemon over one state folder. `settings` are merged into a configuration of short times; `first` is Python
    code that each of its processes runs before anything else."""

    def __init__(
        self, folder: Path, roots: list[Path], settings: Mapping[str, Any], command: list[str], first: str = ""
    ) -> None:
        self.folder = folder
        self.socket = folder / "control.sock"
        self.database = folder / "state" / "catalog.db"
        self.config = folder / "mediawatchd.yaml"
        self.log = folder / "daemon.log"
        self._command = command
        self._first = folder / "first"
        self._first.mkdir(exist_ok=True)
        (self._first / "sitecustomize.py").write_text(first)
        self.process: subprocess.Popen[bytes] | None = None
        self.configure(roots, settings)

    def configure(self, roots: list[Path], settings: Mapping[str, Any]) -> None:
        """Write the configuration; a running daemon does not see it before `reload`."""
        values: dict[str, Any] = {
            "scan_dirs": [str(root) for root in roots],
            "db_path": str(self.database),
            "watch": {"settle_seconds": SETTLE_SECONDS},
            "server": {"port": None},
            "control": {"socket": str(self.socket)},
        }
        for key, value in settings.items():
            values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
        self.config.write_text(yaml.safe_dump(values))

    def start(self, *, wait: bool = True) -> None:
        # To compile itself anew takes a daemon three times as long as all else of its start.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._command, sys.executable, "-m", "mediawatchd", "--config", str(self.config)],
                stdout=log,
                stderr=log,
                env={
                    **environment,
                    "PYTHONWARNINGS": "error",
                    "PYTHONPATH": f"{self._first}:{Path(__file__).parents[1]}",
                },
            )
        if wait:
            self.wait_until_answering()

    def wait_until_answering(self) -> None:
        """Fails, with the stacks of all its threads, when a daemon that was started does not get that far."""
        wait_until(self._answers, within=START_SECONDS, shows=self._stacks)

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(STOP_SECONDS)
        self.process = None
        return status

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(STOP_SECONDS)
        self.process = None

    def said(self, characters: int = 4000) -> str:
        """What the daemon has logged, the end of it."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    def _stacks(self) -> str:
        """What it is at, as systemd's watchdog would have it said; that ends it."""
        assert self.process is not None
        stage = Path(f"/proc/{self.process.pid}/status").read_text().partition("State:")[2].partition("\n")[0].strip()
        self.process.send_signal(signal.SIGABRT)
        self.process.wait(STOP_SECONDS)
        return f"{stage}: {self.said(20_000)}"

    @property
    def client(self) -> Client:
        return Client(sockets=[os.fsencode(self.socket)])

    def get(self, path: str, fields: Mapping[str, Any] | None = None) -> Any:
        return self.client.get(path, fields)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self.client.post(path, body, silence_seconds=100)

    def status(self) -> Any:
        return self.get("/api/status")

    def root(self, path: Path) -> Any:
        """What status says of a root."""
        return next(each for each in self.status()["roots"] if each["path"] == str(path))

    def sync(self, *, walk: bool = False, timeout: float = 60) -> Any:
        """Wait until the catalog is true to the disk."""
        return self.post("/api/sync", {"timeout": timeout, "walk": walk})

    def rows(self, where: str = "1") -> list[dict[str, Any]]:
        """Rows of the view `files`."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            connection.text_factory = bytes
            rows = connection.execute(f"SELECT * FROM files WHERE {where} ORDER BY id").fetchall()
            return [{key: _decoded(key, row[key]) for key in row.keys()} for row in rows]  # noqa: SIM118 - a row iterates over its values

    def present(self) -> dict[bytes, dict[str, Any]]:
        """The present rows by their raw path."""
        return {row["file_path"]: row for row in self.rows("missing_since IS NULL")}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another program has the catalog locked for writing."""
        with closing(sqlite3.connect(self.database, isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    def _answers(self) -> bool:
        assert self.process is not None
        status = self.process.poll()
        assert status is None, f"the daemon ended with status {status}: {self.said()}"
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0


@contextmanager
def running(
    folder: Path,
    *roots: Path,
    settings: Mapping[str, Any] | None = None,
    command: list[str] | None = None,
    first: str = "",
) -> Iterator[Running]:
    """A started daemon, ended at the end. `command` goes before it, such as ["unshare", "-Ur"]; `first` as above."""
    folder.mkdir(parents=True, exist_ok=True)
    daemon = Running(folder, list(roots), settings or {}, command or [], first)
    try:
        daemon.start()
        yield daemon
    finally:
        if daemon.process is not None:
            daemon.process.send_signal(signal.SIGCONT)
            daemon.process.terminate()
            try:
                daemon.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                daemon.process.kill()
                daemon.process.wait(STOP_SECONDS)
                raise AssertionError(f"the daemon did not stop: {daemon.said()}") from None
        sys.stderr.write(daemon.said())


def _decoded(key: str, value: object) -> object:
    """Paths stay bytes, everything else is text."""
    return value.decode() if isinstance(value, bytes) and key not in {"file_path", "filename", "root"} else value
