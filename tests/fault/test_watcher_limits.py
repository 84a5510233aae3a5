"""The kernel's limits, and directories that may not be read: said by number and by name, and healed by themselves.

The limits are those of a user namespace that the child alone lives in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest

from mediawatchd.watching.link import COMMAND
from tests.wait import wait_until
from tests.watched import RecordingSink, child_of, create, observing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mediawatchd.watching.observer import Observer, WatchState


def limited(name: str, value: int) -> tuple[str, ...]:
    """The command of a child under a limit of its own."""
    return (
        "unshare",
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        f'echo {value} > {_file(name)}; exec "$@"',
        "sh",
        *COMMAND,
    )


def raise_limit(observer: Observer, name: str, value: int) -> None:
    namespace = ["nsenter", "--user", "--preserve-credentials", "--target", str(observer.statistics().child_pids[0])]
    subprocess.run([*namespace, "sh", "-c", f"echo {value} > {_file(name)}"], check=True)


def _file(name: str) -> str:
    return f"/proc/sys/user/{name}"


def _may_unshare() -> bool:
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return False
    return subprocess.run(["unshare", "--user", "--map-root-user", "true"], check=False).returncode == 0


needs_user_namespace = pytest.mark.skipif(not _may_unshare(), reason="needs user namespaces, unshare and nsenter")


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    for number in range(10):
        for inner in range(9):
            (tmp_path / "media" / str(number) / str(inner)).mkdir(parents=True)
    return os.fsencode(tmp_path) + b"/media/"


def _directories(root: bytes) -> list[bytes]:
    return [os.path.join(directory, b"") for directory, _, _ in os.walk(root)]


@needs_user_namespace
def test_a_watch_limit_below_the_root_is_said_and_heals(tmp_path: Path, sink: RecordingSink, root: bytes) -> None:
    command = limited("max_inotify_watches", 50)
    with observing(tmp_path, sink, command=command, retry_seconds=0.3) as observer:
        observer.watch(1, root)
        assert observer.sync(30)
        state = _state(sink)
        # 1 root, 10 and 90 directories; one of the 50 watches is the canary's.
        assert (state.kind, state.unwatched_count) == ("degraded", 52)
        assert "52 directories are not watched" in (state.message or "")
        assert state.hint == "sysctl user.max_inotify_watches=524288"
        assert sink.losses == [(1, "limit")]
        directories = _directories(root)
        sink.clear()
        for directory in directories:
            create(directory + b"1.mkv")
        assert observer.sync(30)
        polled = [each for each in directories if each.startswith(state.unwatched)]
        assert len(polled) == 52
        assert set(sink.names) == {(1, each + b"1.mkv") for each in directories if each not in polled}
        raise_limit(observer, "max_inotify_watches", 500)
        wait_until(lambda: _state(sink).kind == "inotify", within=30)
        assert _state(sink).unwatched == ()
        assert sink.unknown(each + b"1.mkv" for each in directories) == []
        sink.clear()
        for directory in directories:
            create(directory + b"2.mkv")
        assert observer.sync(30)
        assert sink.unknown(each + b"2.mkv" for each in directories) == []
        assert observer.statistics().restarts == 0


@needs_user_namespace
def test_a_new_directory_beyond_the_limit_is_said(tmp_path: Path, sink: RecordingSink, root: bytes) -> None:
    with observing(tmp_path, sink, command=limited("max_inotify_watches", 102)) as observer:
        observer.watch(1, root)
        assert observer.sync(30)
        assert _state(sink).kind == "inotify"
        os.makedirs(root + b"new/a/b")
        assert observer.sync(30)
        assert _state(sink).kind == "degraded"
        assert _state(sink).unwatched == (root + b"new/",)
        # Those below it count too when they were there as it was found.
        assert _state(sink).unwatched_count >= 1
        assert sink.knows(root + b"new/a/b/1.mkv")
        shutil.rmtree(root + b"new")
        os.rename(root + b"0", root + b"1/0")
        assert observer.sync(30)


@needs_user_namespace
@pytest.mark.parametrize(("backend", "kind"), [("auto", "polling"), ("inotify", "degraded")])
def test_no_inotify_instance_left_is_said_and_heals(
    tmp_path: Path, sink: RecordingSink, root: bytes, backend: str, kind: str
) -> None:
    command = limited("max_inotify_instances", 0)
    with observing(tmp_path, sink, command=command, backend=backend, retry_seconds=0.3) as observer:
        observer.watch(1, root)
        wait_until(sink.state, within=30)
        assert (_state(sink).kind, _state(sink).unwatched) == (kind, (root,))
        assert _state(sink).hint == "sysctl user.max_inotify_instances=256"
        assert observer.sync(30)
        child_of(observer)
        raise_limit(observer, "max_inotify_instances", 10)
        wait_until(lambda: (1, "watched_again") in sink.losses, within=30)
        assert _state(sink).kind == "inotify"
        create(root + b"0/1.mkv")
        assert observer.sync(30)
        assert (1, root + b"0/1.mkv") in sink.names


@pytest.fixture
def foreign() -> Iterator[bytes]:
    """A root that another user may reach; pytest's own folders are closed to others."""
    base = tempfile.mkdtemp()
    os.chmod(base, 0o777)
    os.makedirs(base + "/media/secret/a")
    os.makedirs(base + "/media/films")
    os.makedirs(base + "/canary")
    os.chmod(base + "/canary", 0o777)
    os.chmod(base + "/media/secret", 0o000)
    yield os.fsencode(base)
    os.chmod(base + "/media/secret", 0o755)
    shutil.rmtree(base)


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="needs setpriv when run as root")
def test_a_directory_that_may_not_be_read_is_named_and_no_error_of_the_root(
    sink: RecordingSink, foreign: bytes
) -> None:
    root = foreign + b"/media/"
    other = ("setpriv", "--reuid", "65534", "--clear-groups") if os.geteuid() == 0 else ()
    with observing(foreign, sink, command=(*other, *COMMAND), retry_seconds=0.3) as observer:
        observer.watch(1, root)
        assert observer.sync(30)
        assert _state(sink).kind == "inotify"
        assert _state(sink).unwatched == (root + b"secret/",)
        assert _state(sink).message == "1 directory cannot be watched: Permission denied"
        create(root + b"films/1.mkv")
        assert observer.sync(30)
        assert set(sink.names) == {(1, root + b"films/1.mkv")}
        assert sink.losses == []
        os.chmod(root + b"secret", 0o755)
        wait_until(lambda: not _state(sink).unwatched, within=30)
        create(root + b"secret/a/2.mkv")
        assert observer.sync(30)
        assert (1, root + b"secret/a/2.mkv") in sink.names


def _state(sink: RecordingSink) -> WatchState:
    state = sink.state()
    assert state is not None
    return state
