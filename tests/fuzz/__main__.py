"""`python -m tests.fuzz` gives damaged media files to the real daemon, which is to find out all of them unharmed.

Every file is quick-hashed, probed and, where it says that it is a video, hashed perceptually. The seed decides the
files, to the byte on one machine; a file that is the daemon's undoing is kept.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.damage import damaged, originals
from tests.running import Running, running
from tests.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_SECONDS = 10
MEMORY_MB = 384
DECODERS = 2
BATCH = 250
GROWTH_MB = 40
"""How much the daemon itself may take more at the end than after the first batch; a leak of each file is more."""
_WITHIN_SECONDS = 600
_TROUBLE = re.compile(r" (ERROR|CRITICAL) |^Traceback|Fatal Python error|^Exception ", re.MULTILINE)
# Of its confinement the last thing is to offer itself to a kernel that is out of memory.
_PLUMBING = re.compile(r"^(/dev/null|pipe:\[\d+\]|anon_inode:.*|/proc/\d+/oom_score_adj)$")

_CODE = str(Path(__file__).parents[2] / "mediawatchd")


class Found(Exception):
    """What the daemon did that it may not."""


class Fuzz:
    """One daemon and what it makes of the files. The thread `watch` owns what is seen of decode processes."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        self.seed = seed
        self.kinds: Counter[tuple[str, str]] = Counter()
        self.damages: Counter[tuple[str, str]] = Counter()
        self.daemon_mb: list[float] = []
        self.most_data_mb = 0.0
        self.decoders: set[int] = set()
        self.opened: set[str] = set()
        self._media = folder / "media"
        self._folder = folder
        self._chance = random.Random(f"damage of {seed}")
        self._ended = threading.Event()

    def run(self, files: int) -> None:
        """Raises `Found`."""
        self._media.mkdir()
        (self._folder / "sound").mkdir()
        sound = originals(self._folder / "sound")
        hashing = {
            "phash": True,
            "decoders": DECODERS,
            "decode_timeout_seconds": TIMEOUT_SECONDS,
            "decode_memory_mb": MEMORY_MB,
        }
        with running(self._folder / "run", self._media, settings={"hashing": hashing}) as daemon:
            assert daemon.process is not None
            watch = threading.Thread(target=self._watch, args=(daemon.process.pid,))
            watch.start()
            try:
                for start in range(0, files, BATCH):
                    self._batch(daemon, start, min(files, start + BATCH), sound)
            finally:
                self._ended.set()
                watch.join()
        self._judge()

    def _batch(self, daemon: Running, start: int, end: int, sound: dict[str, bytes]) -> None:
        names = {}
        suffixes = list(sound)
        for number in range(start, end):
            suffix = suffixes[number % len(suffixes)]
            damage, content = damaged(self._chance, suffix, sound)
            path = self._media / f"{number:06}{suffix}"
            path.write_bytes(content)
            names[os.fsencode(path)] = (suffix, damage)
        daemon.sync(timeout=_WITHIN_SECONDS)
        wait_until(lambda: _pending(daemon) == 0, within=_WITHIN_SECONDS, poll=0.1, shows=daemon.said)
        reasons = _reasons(daemon)
        for path, row in daemon.present().items():
            if path not in names:
                continue
            suffix, damage = names.pop(path)
            reason = reasons.get(row["id"])
            if reason is None:
                reason = "hashed" if row["video_phash"] else "no picture" if row["media_type"] == "video" else "probed"
            elif not row["problem"]:
                raise Found(f"{path!r} has a problem without words")
            if row["quick_hash"] is None or (reason == "probed" and row["container_format"] is None):
                raise Found(f"{path!r} has neither a result nor a problem")
            self.kinds[suffix, reason] += 1
            for one in set(damage.split("+")):
                self.damages[one, reason] += 1
        if names:
            raise Found(f"not in the catalog: {sorted(names)}")
        assert daemon.process is not None
        if daemon.process.poll() is not None:
            raise Found(f"the daemon ended with status {daemon.process.returncode}")
        self.daemon_mb.append(_status_mb(daemon.process.pid, "VmRSS"))
        print(f"{end} files, daemon {self.daemon_mb[-1]:.0f} MB", flush=True)
        trouble = _TROUBLE.search(daemon.log.read_text(errors="replace"))
        if trouble is not None:
            raise Found(f"the daemon's log has {trouble[0]!r}")

    def _judge(self) -> None:
        if self.daemon_mb[-1] > self.daemon_mb[0] + GROWTH_MB:
            raise Found(f"the daemon grew: {self.daemon_mb}")
        if self.most_data_mb > MEMORY_MB:
            raise Found(f"a decode process took {self.most_data_mb:.0f} MB")
        if outside := {path for path in self.opened if not path.startswith(f"{self._media}/")}:
            raise Found(f"opened: {sorted(outside)}")

    def _watch(self, pid: int) -> None:
        while not self._ended.wait(0.02):
            for child in _children(pid):
                with suppress(OSError, StopIteration):
                    if b"spawn_main" not in Path(f"/proc/{child}/cmdline").read_bytes():
                        continue
                    if _status(child, "NoNewPrivs") != "1":  # it is not confined yet: it still loads its code
                        continue
                    self.decoders.add(child)
                    self.most_data_mb = max(self.most_data_mb, _status_mb(child, "VmData"))
                    for number in os.listdir(f"/proc/{child}/fd"):
                        if int(number) > 2:
                            path = os.readlink(f"/proc/{child}/fd/{number}")
                            if not _is_own(path):
                                self.opened.add(path)

    def told(self) -> Iterator[str]:
        """Lines that tell what came of it."""
        yield f"seed {self.seed}: {self.kinds.total()} files, {len(self.decoders)} decode processes"
        yield from _table("kind", self.kinds)
        yield from _table("damage", self.damages)
        yield (
            f"daemon {self.daemon_mb[0]:.0f} MB at first, {self.daemon_mb[-1]:.0f} MB at last; "
            f"a decode process at most {self.most_data_mb:.0f} of {MEMORY_MB} MB"
        )


def _table(title: str, counts: Counter[tuple[str, str]]) -> Iterator[str]:
    columns = sorted({reason for _, reason in counts})
    yield f"{title:12}" + "".join(f"{column:>12}" for column in columns)
    for name in sorted({name for name, _ in counts}):
        yield f"{name:12}" + "".join(f"{counts[name, column]:12}" for column in columns)


def _pending(daemon: Running) -> int:
    catalog = daemon.status()["catalog"]
    return int(catalog["pending_quick_hash"] + catalog["pending_probe"] + catalog["pending_phash"])


def _reasons(daemon: Running) -> dict[int, str]:
    with closing(sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True)) as connection:
        return dict(connection.execute("SELECT id, problem_reason FROM media_files WHERE problem IS NOT NULL"))


def _children(pid: int) -> list[int]:
    found = []
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            found += [int(child) for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    return found


def _status(pid: int, key: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{key}:"))


def _status_mb(pid: int, key: str) -> float:
    return int(_status(pid, key)) / 1024


def _is_own(path: str) -> bool:
    """What a process has open without any file of media: its ways to the daemon, and its own code while it loads."""
    if path.startswith("socket:"):
        return _to_the_daemon(path[len("socket:[") : -1])
    return bool(_PLUMBING.match(path)) or ".so" in path or path.startswith((sys.prefix, sys.base_prefix, _CODE))


def _to_the_daemon(inode: str) -> bool:
    """Whether a socket is one of a pair of SOCK_SEQPACKET, which nobody but the daemon made: it has no name."""
    lines = (line.split() for line in Path("/proc/net/unix").read_text().splitlines())
    return any(line[4:7] == ["0005", "03", inode] and len(line) == 7 for line in lines)


def main() -> int:
    arguments = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    arguments.add_argument("--files", type=int, default=2000)
    arguments.add_argument("--seed", type=int, default=None)
    chosen = arguments.parse_args()
    seed = chosen.seed if chosen.seed is not None else random.randrange(1_000_000)
    print(f"seed {seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="mediawatchd-fuzz-"))
    began = time.monotonic()
    fuzz = Fuzz(folder, seed=seed)
    try:
        fuzz.run(chosen.files)
    except (Found, AssertionError) as found:
        print(f"seed {seed}: {found}; kept in {folder}", file=sys.stderr)
        return 1
    print("\n".join(fuzz.told()))
    print(f"the daemon is unharmed after {time.monotonic() - began:.0f} s")
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
