"""Random changes of a library, under a daemon that runs and under one that is killed: the catalog ends up true.

The seeds are those that failed last. `MEDIAWATCHD_SEED=N pytest tests/integration/test_random_changes.py` makes other
changes; the soak makes ever new ones. The moments at which the daemon sees or does not see them are never the same: a
seed that fails may have to run often.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.changes import Changer
from tests.judge import Judge
from tests.oracle import media_files
from tests.running import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOTS = ("media", "media2")
ROUNDS = 12
CHANGES = 25
KILLS = 20
SETTINGS = {"watch": {"settle_seconds": 0.1}, "missing": {"hold_share": None}}


def _seeds(*seeds: int) -> tuple[int, ...]:
    chosen = os.environ.get("MEDIAWATCHD_SEED")
    return seeds if chosen is None else (int(chosen),)


def make_changes(changer: Changer, judge: Judge, count: int) -> Iterator[None]:
    for _ in range(count):
        changer.change()
        judge.look()
        if changer.random.random() < 0.2:
            time.sleep(changer.random.choice([0.02, 0.1, 0.3]))
        yield
    changer.finish_downloads()
    judge.look()


def library(base: Path, seed: int) -> Changer:
    """Two roots and a folder beside them, on one disk."""
    return Changer([os.fsencode(base / name) for name in ROOTS], os.fsencode(base / "elsewhere"), seed)


def check(judge: Judge, base: Path) -> None:
    if wrong := judge.check():
        pytest.fail("\n".join([*wrong, *judge.evidence()]).replace(os.fspath(base), ""))
    judge.next()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", _seeds(949198))
def test_the_catalog_is_true_after_random_changes(tmp_path: Path, seed: int) -> None:
    changer = library(tmp_path, seed)
    with running(tmp_path / "daemon", *(tmp_path / name for name in ROOTS), settings=SETTINGS) as daemon:
        judge = Judge(daemon, changer)
        check(judge, tmp_path)
        for _ in range(ROUNDS):
            for _ in make_changes(changer, judge, CHANGES):
                pass
            check(judge, tmp_path)
        assert media_files(changer.roots)
        assert daemon.stop() == 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", _seeds(227743))
def test_the_catalog_is_true_after_kills_at_random_moments(tmp_path: Path, seed: int) -> None:
    changer = library(tmp_path, seed)
    with running(tmp_path / "daemon", *(tmp_path / name for name in ROOTS), settings=SETTINGS) as daemon:
        judge = Judge(daemon, changer)
        check(judge, tmp_path)
        for _ in range(KILLS):
            moment = changer.random.randrange(CHANGES)
            for number, _ in enumerate(make_changes(changer, judge, CHANGES)):
                if number == moment:
                    daemon.kill()
                    if changer.random.random() < 0.5:
                        daemon.start(wait=False)
            if daemon.process is not None and changer.random.random() < 0.3:
                time.sleep(changer.random.random())
                daemon.kill()
            if daemon.process is None:
                daemon.start(wait=False)
            daemon.wait_until_answering()
            check(judge, tmp_path)
        assert media_files(changer.roots)
        assert daemon.stop() == 0
