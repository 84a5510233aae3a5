"""`python -m tests.soak` changes libraries at random under the real daemon, lets everything fail, and compares.

Needs root: it mounts real disks (on loop devices, in a mount namespace of its own) and lowers limits (in a user
namespace of its own). What is done follows from the seed; at which moment the daemon sees it does not, so a seed that
fails may have to run more than once.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
import traceback
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.oracle import quick_hash, regular_files
from tests.soak.faults import KINDS
from tests.soak.world import Found, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.soak.faults import Kind

_UNBROKEN = "\N{NO-BREAK SPACE}"
MEMORY_MB = 400
"""What the daemon and all its processes may take together."""
_IN_NAMESPACE = "MEDIAWATCHD_SOAK_IN_NAMESPACE"
_TROUBLE = re.compile(r" (ERROR|CRITICAL) |^Traceback|Fatal Python error|^Exception ")
_EXPECTED = (
    (re.compile(r"decode process"), "decoders "),
    (re.compile(r"no space|disk is full|disk I/O|database or disk is full", re.IGNORECASE), "catalog disk full"),
)
"""What the daemon may say as an error while a fault of that name is on."""


class Measured(NamedTuple):
    minutes: float
    daemon_mb: float
    all_mb: float


class Soak:
    """One run over one world."""

    def __init__(self, folder: Path, *, seed: int, changes: int) -> None:
        self.world = World(folder, seed)
        self._chance = random.Random(f"faults of {seed}")
        self._changes = changes
        self._open: list[tuple[Kind, Iterator[None]]] = []
        self._logged = 0
        self._began = time.monotonic()
        self.faults: Counter[str] = Counter()
        self.happened: list[str] = []
        self.memory: list[Measured] = []
        self.rounds = 0

    def start(self) -> None:
        """A library to begin with, and a first comparison."""
        changer = self.world.changer
        for root in changer.roots:
            for number in range(12):
                with open(root + b"/%d.mkv" % number, "wb") as file:
                    file.write(changer.random.randbytes(70_000))
        self.world.use_drive()
        self.world.start()
        self.world.judge.look()
        self.world.check()

    def round(self) -> str:
        """Change, break and mend, compare; returns the line that tells of it."""
        began = time.monotonic()
        self.rounds += 1
        self.happened = []
        self.world.use_drive()
        breaks = sorted(self._chance.randrange(self._changes) for _ in range(self._chance.choice([0, 1, 1, 2, 3])))
        for number in range(self._changes):
            for _ in range(breaks.count(number)):
                self._begin()
            if self._chance.random() < 0.1:
                self._end_one()
            self.world.changer.change()
            self.world.judge.look()
            if self._chance.random() < 0.2:
                time.sleep(self._chance.choice([0.02, 0.1, 0.4]))
        for kind, fault in reversed(list(self._open)):
            if not kind.lasts:
                self._end(kind, fault)
        self.world.judge.look()
        self.world.check()
        self._read_log()
        daemon_mb, all_mb = self.world.machine.memory_mb()
        self.memory.append(Measured((time.monotonic() - self._began) / 60, daemon_mb, all_mb))
        if all_mb > MEMORY_MB:
            raise Found(f"the daemon takes {daemon_mb:.0f} MB, all its processes {all_mb:.0f} MB")
        files = sum(1 for root in self.world.changer.roots for _ in regular_files(root))
        directories = sum(1 for root in self.world.changer.roots for _ in os.walk(root))
        return (
            f"round {self.rounds:4}  {self._changes} changes  {files:4} files in {directories:3} directories  true  "
            f"daemon {daemon_mb:4.0f} MB, all {all_mb:4.0f} MB  {time.monotonic() - began:5.1f} s  "
            f"{', '.join(self.happened)}"
        )

    def _begin(self) -> None:
        taken = {kind.occupies for kind, _ in self._open}
        kind = self._chance.choices(KINDS, [kind.weight for kind in KINDS])[0]
        if kind.occupies in taken:
            return
        self._happens(f"{kind.name} begins")
        fault = kind.fault(self.world, self._chance)
        with suppress(StopIteration):
            next(fault)
            self.faults[kind.name] += 1
            self._open.append((kind, fault))

    def _end_one(self) -> None:
        if self._open:
            self._end(*self._chance.choice(self._open))

    def _end(self, kind: Kind, fault: Iterator[None]) -> None:
        self._happens(f"{kind.name} ends")
        self._open.remove((kind, fault))
        next(fault, None)

    def _happens(self, what: str) -> None:
        self.happened.append(what)
        self.world.changer.log.append(f"-- {what}")

    def _read_log(self) -> None:
        """Errors that nothing which happened explains."""
        text = self.world.daemon.log.read_text(errors="replace")
        new, self._logged = text[self._logged :], len(text)
        for line in new.splitlines():
            explained = any(
                pattern.search(line) and any(cause in what for what in self.happened) for pattern, cause in _EXPECTED
            )
            if _TROUBLE.search(line) and not explained:
                raise Found(f"the daemon's log says: {line}")

    def keep_evidence(self, folder: Path, what: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        world = self.world
        lines = [what, *world.judge.evidence()] if world.daemon.database.exists() else [what]
        (folder / "report.txt").write_text("\n".join(lines), errors="backslashreplace")
        places = [*world.changer.roots, world.changer.outside]
        disk = [_shown(file) for place in places for file in sorted(_files(place))]
        (folder / "disk.txt").write_text("\n".join(disk))
        shutil.copy(world.daemon.log, folder)
        shutil.copy(world.daemon.config, folder)
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(f"file:{world.daemon.database}?mode=ro", uri=True)) as catalog,
            closing(sqlite3.connect(folder / "catalog.db")) as copy,
        ):
            catalog.backup(copy)

    def summary(self) -> str:
        done, killed = self.world.changer.done, self.world.machine.killed
        minutes = (time.monotonic() - self._began) / 60
        total = f"{done.total():,} operations, {self.faults.total()} faults, {killed.total()} SIGKILLs"
        return "\n".join(
            [
                _counts("operations", done),
                _counts("faults made", self.faults),
                _counts("killed", killed),
                _wrapped("memory of the daemon/of all its processes in MB: " + self._memory()),
                f"{minutes:.1f} minutes, {self.rounds} rounds, {total}",
            ]
        )

    def _memory(self) -> str:
        if not self.memory:
            return "not measured"
        count = len(self.memory)
        over_time = dict.fromkeys(self.memory[(count - 1) * tenth // 10] for tenth in range(11))
        most = [max(values) for values in zip(*self.memory, strict=True)]
        at = [f"{at.minutes:.0f}{_UNBROKEN}min{_UNBROKEN}{at.daemon_mb:.0f}/{at.all_mb:.0f}" for at in over_time]
        return f"{', '.join(at)}, at most {most[1]:.0f}/{most[2]:.0f}"


def main() -> int:
    arguments = _arguments()
    if os.geteuid() != 0:
        _say("The soak mounts disks of its own: it needs root.")
        return 2
    if _IN_NAMESPACE not in os.environ:
        return _in_namespace(arguments.seed)
    command = f"python -m tests.soak --seed {arguments.seed} --changes {arguments.changes}"
    _say(f"{command} --minutes {arguments.minutes:g}")
    with tempfile.TemporaryDirectory(prefix="mediawatchd-soak-", ignore_cleanup_errors=True) as name:
        soak = Soak(Path(name), seed=arguments.seed, changes=arguments.changes)
        try:
            return _run(soak, arguments, command)
        finally:
            soak.world.machine.end()
            subprocess.run(["umount", "--lazy", *_mounts_below(name)], check=False, capture_output=True)


def _run(soak: Soak, arguments: argparse.Namespace, command: str) -> int:
    end = time.monotonic() + arguments.minutes * 60
    try:
        soak.start()
        while time.monotonic() < end and (arguments.rounds is None or soak.rounds < arguments.rounds):
            _say(soak.round())
    except KeyboardInterrupt:
        _say("ended by hand")
    except (Found, AssertionError, OSError, sqlite3.Error, subprocess.SubprocessError) as error:
        what = f"FAULT in round {soak.rounds}: {error}"
        folder = Path(tempfile.gettempdir()) / f"mediawatchd-soak-{arguments.seed}-{os.getpid()}"
        soak.keep_evidence(folder, "\n".join([what, *soak.happened, *traceback.format_exc().splitlines()]))
        _say((folder / "report.txt").read_text())
        _say(soak.summary())
        _say(f"kept in {folder}; again with: {command} --rounds {soak.rounds}")
        return 1
    _say(soak.summary())
    _say("faults found: none")
    return 0


def _counts(what: str, counts: Counter[str]) -> str:
    """The most frequent first."""
    told = [f"{count:,} {name}".replace(" ", _UNBROKEN) for name, count in (+counts).most_common()]
    return _wrapped(f"{what}: {', '.join(told) or 'none'}")


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 118, subsequent_indent="    ").replace(_UNBROKEN, " ")


def _in_namespace(seed: int) -> int:
    """The same command where its mounts are nobody else's, with the seed that was drawn."""
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", "tests.soak", *sys.argv[1:]]
    child = subprocess.Popen([*command, "--seed", str(seed)], env={**os.environ, _IN_NAMESPACE: "1"})
    while True:
        with suppress(KeyboardInterrupt):  # the child was interrupted too, and says what there is to say
            return child.wait()


def _files(root: bytes) -> list[tuple[bytes, os.stat_result]]:
    with suppress(OSError):
        return list(regular_files(root))
    return []


def _shown(file: tuple[bytes, os.stat_result]) -> str:
    path, status = file
    stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_nlink)
    return f"{path!r} {stamp} {quick_hash(path)}"


def _mounts_below(folder: str) -> list[str]:
    with open("/proc/self/mountinfo") as mounts:
        places = [line.split()[4] for line in mounts]
    return [place for place in reversed(places) if place.startswith(folder + "/")]


def _say(text: str) -> None:
    print(text.encode(errors="backslashreplace").decode(), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rounds", type=int, help="end after so many, whatever the time")
    parser.add_argument("--changes", type=int, default=25, help="how many in a round (25)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
