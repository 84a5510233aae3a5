"""The real daemon and the real mediawatchctl, each a process, for tests that ask them as scripts would."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from mediawatchd.errors import Refused
from tests.media import make_audio, make_video
from tests.running import Running, running
from tests.trees import size, tree

if TYPE_CHECKING:
    from collections.abc import Iterator


WITHIN = 30.0

PROJECT = Path(__file__).parents[1]


class Done(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


def ctl_command(daemon: Running, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "mediawatchd.cli.ctl", "--socket", str(daemon.socket), *arguments]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEDIAWATCHD", "XDG"))}
    return kept | {"PYTHONPATH": str(PROJECT), "PYTHONWARNINGS": "error", "LC_ALL": "C.UTF-8"} | more


def ctl(daemon: Running, *arguments: str) -> Done:
    done = subprocess.run(
        ctl_command(daemon, *arguments), env=environment(), capture_output=True, text=True, timeout=100, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def mediawatchd(*arguments: str | Path, **more: str) -> Done:
    """A daemon that is expected to end by itself."""
    done = subprocess.run(
        [sys.executable, "-m", "mediawatchd", *map(str, arguments)],
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("library") / "media"
    (root / "films").mkdir(parents=True)
    make_video(root / "films" / "a.mkv")
    make_video(root / "films" / "b.mp4", content=2)
    make_audio(root / "song.mp3")
    (root / "broken.mkv").write_bytes(b"this is no film")
    (root / "notes.txt").write_text("not media")
    return root


@pytest.fixture(scope="module")
def shared(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A daemon that has caught up, for tests that leave it as it is."""
    with running(tmp_path_factory.mktemp("shared"), library) as daemon:
        daemon.sync()
        yield daemon


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree({f"{number}.mp3": size(1000 + number) for number in range(5)}).under(tmp_path / "media")
    return tmp_path / "media"


@pytest.fixture
def daemon(tmp_path: Path, root: Path) -> Iterator[Running]:
    with running(tmp_path / "run", root) as made:
        yield made


@pytest.fixture
def unsettled(tmp_path: Path, root: Path) -> Iterator[Running]:
    """A daemon for which nothing ever settles, so a scan walks and then waits for its hashes."""
    with running(tmp_path / "run", root, settings={"watch": {"settle_seconds": 3600}}) as made:
        yield made


def refused(call: Any, *arguments: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        call(*arguments)
    return caught.value


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def answers(address: tuple[str, int]) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(address) == 0
