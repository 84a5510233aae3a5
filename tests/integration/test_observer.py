"""What happens in a watched root is reported, by a real child with real inotify."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.wait import wait_until
from tests.watched import RecordingSink, child_of, create, observing, stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mediawatchd.watching.observer import Observer


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    path = tmp_path / "root"
    (path / "films" / "old").mkdir(parents=True)
    (path / "films" / "a.mkv").touch()
    (tmp_path / "outside").mkdir()
    return os.fsencode(path) + b"/"


@pytest.fixture
def observer(tmp_path: Path, sink: RecordingSink, root: bytes) -> Iterator[Observer]:
    with observing(tmp_path, sink) as observer:
        observer.watch(1, root)
        assert observer.sync(30)
        yield observer


def _write(root: bytes) -> None:
    create(root + b"films/b.mkv")


def _rename(root: bytes) -> None:
    os.rename(root + b"films/a.mkv", root + b"films/old/b.mkv")


def _delete(root: bytes) -> None:
    os.unlink(root + b"films/a.mkv")


def _move_in(root: bytes) -> None:
    create(root + b"../outside/b.mkv")
    os.rename(root + b"../outside/b.mkv", root + b"b.mkv")


def _leave_open(root: bytes) -> None:
    os.mkfifo(root + b"films/b.mkv")


def _delete_directory(root: bytes) -> None:
    os.rmdir(root + b"films/old")


def _move_directory_out(root: bytes) -> None:
    os.rename(root + b"films/old", root + b"../outside/old")


@pytest.mark.parametrize(
    ("happens", "reported"),
    [
        (_write, {b"films/b.mkv": True}),
        (_rename, {b"films/a.mkv": False, b"films/old/b.mkv": True}),
        (_delete, {b"films/a.mkv": False}),
        (_move_in, {b"b.mkv": True}),
        (_leave_open, {b"films/b.mkv": False}),
        (_delete_directory, {b"films/old": False}),
        (_move_directory_out, {b"films/old": False}),
    ],
)
def test_events_become_hints(
    observer: Observer,
    sink: RecordingSink,
    root: bytes,
    happens: Callable[[bytes], None],
    reported: dict[bytes, bool],
) -> None:
    happens(root)
    assert observer.sync(30)
    assert sink.names == {(1, root + path): closed for path, closed in reported.items()}
    assert sink.losses == []


def test_reading_raises_no_hint(observer: Observer, sink: RecordingSink, root: bytes) -> None:
    with open(root + b"films/a.mkv", "rb") as file:
        file.read()
    os.listdir(root + b"films")
    assert observer.sync(30)
    assert sink.names == {}
    assert sink.walks == []


@pytest.mark.parametrize("name", [b"\xff\xfe.mkv", b"two\nlines.mkv", b"n" * 255, "音楽.mkv".encode(), b'"\\\x7f.mkv'])
def test_any_name_arrives_byte_for_byte(observer: Observer, sink: RecordingSink, root: bytes, name: bytes) -> None:
    create(root + b"films/" + name)
    os.mkdir(root + name)
    assert observer.sync(30)
    assert (1, root + b"films/" + name) in sink.names
    assert sink.walks == [(1, root + name + b"/", False)]


def test_a_new_tree_is_walked_after_it_is_watched(observer: Observer, sink: RecordingSink, root: bytes) -> None:
    os.makedirs(root + b"new/a/b")
    create(root + b"new/a/b/1.mkv")
    assert observer.sync(30)
    assert sink.knows(root + b"new/a/b/1.mkv")
    sink.clear()
    create(root + b"new/a/b/2.mkv")
    assert observer.sync(30)
    assert sink.names == {(1, root + b"new/a/b/2.mkv"): True}


def test_a_tree_moved_in_is_walked_as_closed(observer: Observer, sink: RecordingSink, root: bytes) -> None:
    os.makedirs(root + b"../outside/show/season")
    os.rename(root + b"../outside/show", root + b"show")
    assert observer.sync(30)
    assert sink.walks == [(1, root + b"show/", True)]
    assert sink.names == {(1, root + b"show"): True}
    sink.clear()
    create(root + b"show/season/1.mkv")
    assert observer.sync(30)
    assert sink.names == {(1, root + b"show/season/1.mkv"): True}


def test_a_tree_renamed_within_the_root_reports_under_its_new_path(
    observer: Observer, sink: RecordingSink, root: bytes
) -> None:
    os.rename(root + b"films", root + b"movies")
    assert observer.sync(30)
    assert sink.walks == [(1, root + b"movies/", True)]
    sink.clear()
    create(root + b"movies/old/1.mkv")
    assert observer.sync(30)
    assert sink.names == {(1, root + b"movies/old/1.mkv"): True}


def test_a_tree_moved_out_is_watched_no_longer(observer: Observer, sink: RecordingSink, root: bytes) -> None:
    watches = observer.statistics().watches
    for _ in range(3):
        os.rename(root + b"films", root + b"../outside/films")
        assert observer.sync(30)
        sink.clear()
        create(root + b"../outside/films/old/1.mkv")
        assert observer.sync(30)
        assert sink.names == {}
        os.rename(root + b"../outside/films", root + b"films")
        assert observer.sync(30)
    assert observer.statistics().watches == watches


def test_symbolic_links_are_not_followed(observer: Observer, sink: RecordingSink, root: bytes) -> None:
    os.symlink(root + b"../outside", root + b"link")
    os.symlink(b".", root + b"films/loop")
    assert observer.sync(30)
    watches = observer.statistics().watches
    sink.clear()
    create(root + b"../outside/1.mkv")
    assert observer.sync(30)
    assert sink.names == {}
    observer.watch(1, root)
    assert observer.sync(30)
    assert observer.statistics().watches == watches


def test_a_root_may_be_a_symbolic_link(tmp_path: Path, sink: RecordingSink, root: bytes) -> None:
    link = os.fsencode(tmp_path) + b"/link"
    os.symlink(root, link)
    with observing(tmp_path, sink) as observer:
        observer.watch(1, link)
        assert observer.sync(30)
        create(root + b"films/1.mkv")
        assert observer.sync(30)
        assert sink.names == {(1, link + b"/films/1.mkv"): True}


def test_roots_report_under_their_own_id_until_they_are_unwatched(
    observer: Observer, sink: RecordingSink, root: bytes
) -> None:
    observer.watch(2, root + b"../outside")
    assert observer.sync(30)
    create(root + b"1.mkv")
    create(root + b"../outside/2.mkv")
    assert observer.sync(30)
    assert set(sink.names) == {(1, root + b"1.mkv"), (2, root + b"../outside/2.mkv")}
    observer.unwatch(1)
    sink.clear()
    create(root + b"3.mkv")
    create(root + b"../outside/4.mkv")
    assert observer.sync(30)
    assert set(sink.names) == {(2, root + b"../outside/4.mkv")}


def test_two_observers_share_a_canary_directory(observer: Observer, tmp_path: Path, root: bytes) -> None:
    other = RecordingSink()
    with observing(tmp_path, other) as second:
        second.watch(7, root)
        assert second.sync(30)
        for number in range(20):
            create(root + b"%d.mkv" % number)
            assert observer.sync(30)
            assert second.sync(30)
            assert (7, root + b"%d.mkv" % number) in other.names


def test_the_canary_may_lie_inside_a_root(tmp_path: Path, sink: RecordingSink, root: bytes) -> None:
    with observing(tmp_path, sink, canary_directory=root + b"films") as observer:
        observer.watch(1, root)
        assert observer.sync(30)
        create(root + b"films/1.mkv")
        assert observer.sync(30)
        assert sink.names == {(1, root + b"films/1.mkv"): True}


def test_polling_needs_no_child(tmp_path: Path, sink: RecordingSink, root: bytes) -> None:
    with observing(tmp_path, sink, backend="polling") as observer:
        observer.watch(1, root)
        wait_until(sink.state, within=10)
        assert sink.states[0][1].kind == "polling"
        assert sink.states[0][1].unwatched == (root,)
        assert observer.sync(0)
        assert not observer.statistics().child_pids
        assert observer.statistics().alive


def test_20000_creations_are_all_reported(observer: Observer, sink: RecordingSink, root: bytes) -> None:
    directories = [root + b"films/", root + b"films/old/"]
    paths = [directories[number % 2] + b"%d.mkv" % number for number in range(20_000)]
    for path in paths:
        create(path)
    assert observer.sync(60)
    assert sink.losses == []
    assert sink.unknown(paths) == []
    assert observer.statistics().events["closed"] == 20_000


def test_directories_made_while_watches_are_set_are_watched(tmp_path: Path, sink: RecordingSink, root: bytes) -> None:
    made: list[bytes] = []
    enough = threading.Event()

    def make() -> None:
        while not enough.is_set() and len(made) < 3_000:
            directory = root + b"%d/%d/" % (len(made) % 10, len(made))
            os.makedirs(directory)
            made.append(directory)

    maker = threading.Thread(target=make)
    with observing(tmp_path, sink) as observer:
        maker.start()
        try:
            observer.watch(1, root)
            wait_until(sink.state, within=30)
        finally:
            enough.set()
            maker.join()
        assert observer.sync(30)
        sink.clear()
        for directory in made:
            create(directory + b"1.mkv")
        assert observer.sync(30)
        assert sink.unknown(directory + b"1.mkv" for directory in made) == []


def test_a_directory_whose_name_a_link_took_is_not_followed(
    observer: Observer, sink: RecordingSink, root: bytes
) -> None:
    with stopped(observer):
        os.mkdir(root + b"new")
        os.rmdir(root + b"new")
        os.symlink(root + b"../outside", root + b"new")
    assert observer.sync(30)
    assert sink.walks == []
    sink.clear()
    create(root + b"../outside/strange.mkv")
    assert observer.sync(30)
    assert sink.names == {}


def test_a_sync_waits_until_a_new_root_is_watched(tmp_path: Path, sink: RecordingSink, root: bytes) -> None:
    for number in range(2_000):
        os.mkdir(root + b"%d" % number)
    with observing(tmp_path, sink) as observer:
        child_of(observer)
        observer.watch(1, root)
        assert observer.sync(30)
        assert sink.state() is not None
        assert observer.statistics().watches == 2_004


def test_a_sync_waits_for_directories_that_are_still_to_be_watched(
    observer: Observer, sink: RecordingSink, root: bytes
) -> None:
    directories = [root + b"%d/a/b/" % number for number in range(1_000)]
    with stopped(observer):
        for directory in directories:
            os.makedirs(directory)
    assert observer.sync(30)
    assert sink.unknown(directory + b"x" for directory in directories) == []
    assert observer.statistics().watches == 3_004


def test_after_a_sync_all_that_came_before_it_is_known(observer: Observer, sink: RecordingSink, root: bytes) -> None:
    failures: list[bytes] = []

    def work(worker: int) -> None:
        for number in range(60):
            directory = root + b"%d-%d/a/b/" % (worker, number)
            os.makedirs(directory)
            paths = [directory + b"%d.mkv" % each for each in range(20)]
            for path in paths:
                create(path)
            if not observer.sync(60):
                failures.append(directory)
            failures.extend(sink.unknown(paths))

    workers = [threading.Thread(target=work, args=(worker,)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert sink.losses == []


def test_a_slow_daemon_makes_names_collapse_and_loses_nothing_unsaid(
    observer: Observer, sink: RecordingSink, root: bytes
) -> None:
    child = child_of(observer)
    sink.go_on.clear()
    create(root + b"first.mkv")
    directories = [root + b"%d/" % number for number in range(6_000)]
    for directory in directories:
        os.mkdir(directory)
    paths = [root + b"films/%d.mkv" % number for number in range(5_000)]
    for path in paths:
        create(path)
    # A child that is slower than this test must have come to all of it before the daemon goes on.
    wait_until(lambda: _kernel_watches(child) > len(directories), within=60)
    with open(f"/proc/{child}/status") as status:
        resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    assert resident < 60_000
    sink.go_on.set()
    assert observer.sync(60)
    assert sink.losses == [(1, "too_many_hints")]
    assert sink.unknown(directory + b"x" for directory in directories) == []
    assert sink.unknown(paths) == []


def test_a_killed_daemon_takes_its_child_along(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys, time
        from mediawatchd.watching.observer import Observer
        observer = Observer(canary_directory=sys.argv[1].encode(), backend="auto", sink=None)
        observer.start()
        while observer.statistics().canary_last_seen is None:
            time.sleep(0.01)
        print(*observer.statistics().child_pids, flush=True)
        time.sleep(60)
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": "."}
    ) as daemon:
        assert daemon.stdout is not None
        child = int(daemon.stdout.readline())
        daemon.kill()
    wait_until(lambda: not _runs(child), within=10)


def test_ctrl_c_does_not_end_the_child(observer: Observer) -> None:
    child = child_of(observer)
    os.kill(child, signal.SIGINT)
    assert observer.sync(30)
    assert observer.statistics().child_pids == (child,)
    assert observer.statistics().restarts == 0


def _runs(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _kernel_watches(pid: int) -> int:
    return sum(path.read_bytes().count(b"inotify wd:") for path in Path(f"/proc/{pid}/fdinfo").iterdir())
