"""The installed daemon in a process of its own, with nothing of it left out."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks.costs import family
from benchmarks.scan import SETTLE_SECONDS
from mediawatchd.control.client import Client, NotRunning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WAIT_SECONDS = 1800.0


class Daemon:
    """`database` is the catalog, `root` the one folder it is of."""

    def __init__(self, folder: Path, root: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.database = folder / "catalog.db"
        self.log = folder / "daemon.log"
        self._socket = folder / "control.sock"
        self._config = folder / "mediawatchd.yaml"
        self._config.write_text(
            yaml.safe_dump(
                {
                    "scan_dirs": [str(root)],
                    "db_path": str(self.database),
                    "watch": {"settle_seconds": SETTLE_SECONDS},
                    "control": {"socket": str(self._socket)},
                    "server": {"port": _free_port()},
                }
            )
        )

    def start(self) -> None:
        """Returns when it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mediawatchd", "--config", self._config], stdout=log, stderr=log
            )
        self.wait(self._answers)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def watcher_pid(self) -> int:
        """The process that watches."""
        return next(pid for pid in family(self.pid) if b"mediawatchd.watching.child" in _command(pid))

    @property
    def client(self) -> Client:
        return Client(sockets=[str(self._socket)])

    def status(self) -> Any:
        return self.client.get("/api/status")

    def post(self, path: str, body: dict[str, object] | None = None) -> Any:
        return self.client.post(path, body or {}, silence_seconds=WAIT_SECONDS)

    def sync(self, *, walk: bool = False) -> None:
        self.post("/api/sync", {"timeout": WAIT_SECONDS, "walk": walk})

    def metrics(self) -> dict[str, float]:
        """What Prometheus would read, by name and labels."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._socket))
            connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            text = b"".join(iter(lambda: connection.recv(65_536), b"")).decode()
        lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith("mediawatchd_"))
        return {name: float(value) for name, _, value in lines}

    def rows(self, sql: str) -> list[Any]:
        """What a query over the catalog gives, beside the daemon."""
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            return connection.execute(sql).fetchall()

    def wait(self, condition: Callable[[], bool], *, every_seconds: float = 0.5) -> None:
        """Until the condition holds; raises when the daemon ends or it takes longer than any benchmark should."""
        end = time.monotonic() + WAIT_SECONDS
        while not condition():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the daemon did not get there: {self.log.read_text()[-2000:]}")
            time.sleep(every_seconds)

    def _answers(self) -> bool:
        try:
            self.status()
        except NotRunning:
            return False
        return True


@contextmanager
def running(folder: Path, root: Path) -> Iterator[Daemon]:
    """A started daemon, ended at the end."""
    daemon = Daemon(folder, root)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


def _command(pid: int) -> bytes:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()


def _free_port() -> int:
    """Both listeners are part of what an idle daemon costs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
