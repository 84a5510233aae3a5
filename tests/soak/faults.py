"""What goes wrong in a soak. A fault is a generator: what it does up to its `yield` begins it, the rest ends it.

One that cannot begin now returns before its `yield`. Each occupies something, so that no two undo each other.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from tests.oracle import regular_files
from tests.soak.machine import WATCH_LIMIT, signal_all, wait_until_stopped

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from tests.soak.world import World

    Fault = Callable[[World, random.Random], Iterator[None]]


class Kind(NamedTuple):
    """`lasts`: it may go on over some comparisons."""

    fault: Fault
    weight: int
    occupies: str
    lasts: bool = False

    @property
    def name(self) -> str:
        return self.fault.__name__.replace("_", " ")


def daemon_killed(world: World, _chance: random.Random) -> Iterator[None]:
    world.machine.kill_daemon()
    yield
    world.start()


def daemon_killed_twice(world: World, _chance: random.Random) -> Iterator[None]:
    """Killed again while it starts."""
    world.machine.kill_daemon()
    world.start()
    yield
    world.machine.kill_daemon()
    world.start()


def daemon_killed_at_work(world: World, chance: random.Random) -> Iterator[None]:
    """While it is asked to bring all into the catalog."""
    if not world.is_running():
        return
    asking = world.begin_to_ask("sync", "--walk")
    time.sleep(chance.random() * chance.choice([0.1, 0.5, 1.5]))
    world.machine.kill_daemon()
    asking.wait()
    yield
    world.start()


def daemon_ended(world: World, _chance: random.Random) -> Iterator[None]:
    if not world.is_running():
        return
    status = world.daemon.stop()
    assert status == 0, f"the daemon ended with {status}"
    yield
    world.start()


def daemon_stopped(world: World, _chance: random.Random) -> Iterator[None]:
    assert world.daemon.process is not None
    pid = world.daemon.process.pid
    signal_all([pid], signal.SIGSTOP)
    wait_until_stopped(pid)
    world.is_stopped = True
    yield
    world.is_stopped = False
    signal_all([pid], signal.SIGCONT)


def paused(world: World, _chance: random.Random) -> Iterator[None]:
    if not world.try_to_ask("pause"):
        return
    yield
    if not world.try_to_ask("resume"):
        world.resume_due = True


def watcher_killed(world: World, _chance: random.Random) -> Iterator[None]:
    world.machine.kill("watcher", world.machine.watchers())
    yield


def watcher_stopped(world: World, _chance: random.Random) -> Iterator[None]:
    stopped = world.machine.watchers()
    signal_all(stopped, signal.SIGSTOP)
    yield
    signal_all(stopped, signal.SIGCONT)


def decoders_killed(world: World, chance: random.Random) -> Iterator[None]:
    decoders = world.machine.decoders()
    world.machine.kill("decoder", chance.sample(decoders, (len(decoders) + 1) // 2))
    yield


def decoders_stopped(world: World, _chance: random.Random) -> Iterator[None]:
    stopped = world.machine.decoders()
    signal_all(stopped, signal.SIGSTOP)
    yield
    signal_all(stopped, signal.SIGCONT)


def scanned(world: World, _chance: random.Random) -> Iterator[None]:
    """A person scans, and thinks better of it."""
    world.try_to_ask("scan")
    yield
    _cancel_jobs(world)


def phashed(world: World, chance: random.Random) -> Iterator[None]:
    """A person has all videos hashed, and may think better of it."""
    world.try_to_ask("phash")
    yield
    if chance.random() < 0.3:
        _cancel_jobs(world)


def catalog_disk_full(world: World, _chance: random.Random) -> Iterator[None]:
    world.machine.fill_catalog_disk()
    world.is_full = True
    yield
    world.is_full = False
    world.machine.free_catalog_disk()


def watch_limit(world: World, chance: random.Random) -> Iterator[None]:
    world.machine.limit_watches(chance.choice([0, 3, 10, 30]))
    yield
    world.machine.limit_watches(WATCH_LIMIT)


def usb_unmounted(world: World, chance: random.Random) -> Iterator[None]:
    disk = world.machine.usb_disk
    if not world.knows(disk.place):
        return
    world.goes(disk.place)
    disk.unmount(lazily=chance.random() < 0.3)
    world.states[disk.place] = "offline"
    yield
    _elsewhere(world, chance)
    disk.mount()
    world.states[disk.place] = "online"
    world.comes(disk.place)


def usb_replaced(world: World, chance: random.Random) -> Iterator[None]:
    disk, other = world.machine.usb_disk, world.machine.other_disk
    if not world.knows(disk.place):
        return
    world.goes(disk.place)
    disk.unmount(lazily=chance.random() < 0.3)
    other.mount(disk.place)
    world.states[disk.place] = "replaced"
    yield
    other.unmount(lazily=chance.random() < 0.3, place=disk.place)
    disk.mount()
    world.states[disk.place] = "online"
    world.comes(disk.place)


def usb_covered(world: World, chance: random.Random) -> Iterator[None]:
    """Something is mounted over it, and it stays mounted beneath."""
    place = world.machine.usb
    if not world.knows(place):
        return
    world.goes(place)
    subprocess.run(["mount", "-t", "tmpfs", "over", place], check=True)
    if full := chance.random() < 0.5:
        (place / "something.mkv").write_bytes(b"on a disk of memory")
    world.states[place] = "replaced" if full else "offline"
    yield
    subprocess.run(["umount", "--lazy", place], check=True)
    world.states[place] = "online"
    world.comes(place)


def usb_remounted(world: World, chance: random.Random) -> Iterator[None]:
    """Away for a moment that nobody may notice."""
    disk = world.machine.usb_disk
    world.changer.finish_downloads(os.fsencode(disk.place) + b"/")
    disk.unmount(lazily=chance.random() < 0.3)
    disk.mount()
    yield


def drive_unmounted(world: World, chance: random.Random) -> Iterator[None]:
    """A disk below a root; the root stays."""
    disk = world.machine.drive_disk
    is_known = world.knows(disk.place)
    world.goes(disk.place)
    disk.unmount(lazily=chance.random() < 0.3)
    # Of a folder in which nothing was known it is simply news, and then stays known beneath the disk.
    if written := chance.random() < 0.3 and is_known:
        (disk.place / "1.mkv").write_bytes(b"into the bare folder")
    yield
    if written:
        (disk.place / "1.mkv").unlink()
    disk.mount()
    world.comes(disk.place)


def root_renamed(world: World, _chance: random.Random) -> Iterator[None]:
    place = world.machine.media2
    away = place.with_name("media2 away")
    world.goes(place)
    place.rename(away)
    world.states[place] = "offline"
    yield
    away.rename(place)
    world.states[place] = "online"
    world.comes(place)


def root_recreated(world: World, _chance: random.Random) -> Iterator[None]:
    place = world.machine.media2
    world.changer.finish_downloads(os.fsencode(place) + b"/")
    shutil.rmtree(place)
    place.mkdir()
    (place / "1.mkv").write_bytes(b"a new beginning")
    yield


def root_emptied(world: World, chance: random.Random) -> Iterator[None]:
    """So much at once that it may be held."""
    root = chance.choice(world.changer.roots)
    for path, _ in regular_files(root):
        if not path.startswith(tuple(world.changer.away)):
            os.unlink(path)
    yield


def names_ignored(world: World, chance: random.Random) -> Iterator[None]:
    names = set(chance.sample([b"1", b"7", b"12", b"20", b"3.mkv", b"5.mp3"], 3))
    world.ignored |= names
    world.configure()
    yield
    world.ignored -= names
    world.configure()


def root_unconfigured(world: World, _chance: random.Random) -> Iterator[None]:
    place = world.machine.media2
    world.goes(place)
    world.unconfigured.add(place)
    world.configure()
    yield
    world.unconfigured.discard(place)
    world.configure()
    world.comes(place)


def _cancel_jobs(world: World) -> None:
    with suppress(OSError):
        if world.is_running():
            for job in world.daemon.get("/api/jobs")["items"]:
                if job["state"] == "running":
                    world.try_to_ask("cancel", str(job["id"]))


def _elsewhere(world: World, chance: random.Random) -> None:
    """The disk is used on another machine: what happens there nobody watches."""
    if chance.random() < 0.5:
        return
    disk = world.machine.usb_disk
    place = world.machine.folder / "other"
    disk.mount(place)
    files = sorted(path for path, _ in regular_files(os.fsencode(place)))
    for path in chance.sample(files, min(4, len(files))):
        match chance.randrange(4):
            case 0:
                os.unlink(path)
            case 1:
                with open(path, "ab") as file:
                    file.write(b"more")
            case 2:
                os.rename(path, os.path.dirname(path) + b"/renamed elsewhere.mkv")
            case _:
                with suppress(FileExistsError):  # from the last time it was there
                    os.link(path, os.path.dirname(path) + b"/linked elsewhere.mkv")
    disk.unmount(lazily=False, place=place)


KINDS = (
    Kind(daemon_killed, 8, "daemon"),
    Kind(daemon_killed_twice, 4, "daemon"),
    Kind(daemon_killed_at_work, 4, "daemon"),
    Kind(daemon_ended, 2, "daemon"),
    Kind(daemon_stopped, 3, "daemon"),
    Kind(paused, 2, "daemon"),
    Kind(watcher_killed, 3, "watcher"),
    Kind(watcher_stopped, 3, "watcher"),
    Kind(decoders_killed, 4, "decoders"),
    Kind(decoders_stopped, 2, "decoders"),
    Kind(scanned, 2, "job"),
    Kind(phashed, 4, "job"),
    Kind(catalog_disk_full, 3, "catalog"),
    Kind(watch_limit, 3, "limit", lasts=True),
    Kind(usb_unmounted, 4, "usb", lasts=True),
    Kind(usb_replaced, 2, "usb", lasts=True),
    Kind(usb_covered, 2, "usb", lasts=True),
    Kind(usb_remounted, 2, "usb"),
    Kind(drive_unmounted, 4, "drive", lasts=True),
    Kind(root_renamed, 2, "media2", lasts=True),
    Kind(root_recreated, 1, "media2"),
    Kind(root_emptied, 1, "media2"),
    Kind(names_ignored, 2, "rules", lasts=True),
    Kind(root_unconfigured, 2, "media2", lasts=True),
)
