"""A configuration that is changed while the daemon runs."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from tests.asking import WITHIN, ctl, daemon, free_port, refused, root
from tests.trees import size, tree
from tests.wait import wait_until

if TYPE_CHECKING:
    from tests.running import Running


__all__ = ["daemon", "root"]


def test_reload_applies_roots_extensions_and_ignore_rules(daemon: Running, root: Path, tmp_path: Path) -> None:
    daemon.sync()
    other = Path(os.fsdecode(tree({"b.mp3": size(50), "c.xyz": size(60)}).under(tmp_path / "other")))
    daemon.configure([root, other], {"ignore": ["4.mp3"], "file_extensions": {"audio": [".mp3", ".xyz"]}})
    assert ctl(daemon, "reload").status == 0
    daemon.sync()
    shown = {path.removeprefix(bytes(tmp_path) + b"/") for path in daemon.present()}
    assert shown == {b"media/0.mp3", b"media/1.mp3", b"media/2.mp3", b"media/3.mp3", b"other/b.mp3", b"other/c.xyz"}
    assert daemon.status()["catalog"]["files"] == 6
    # What left the configuration is hidden and kept.
    before = daemon.present()[bytes(other / "c.xyz")]["id"]
    daemon.configure([root], {})
    daemon.post("/api/reload")
    assert len(daemon.present()) == 5
    daemon.configure([root, other], {"file_extensions": {"audio": [".mp3", ".xyz"]}})
    daemon.post("/api/reload")
    daemon.sync()
    assert daemon.present()[bytes(other / "c.xyz")]["id"] == before


def test_reload_is_whole_or_not_at_all(daemon: Running, root: Path) -> None:
    daemon.sync()
    daemon.configure([root], {"ignore": ["0.mp3"], "hashing": {"workers": -3}, "watch": {"settle_secs": 1}})
    refusal = refused(daemon.post, "/api/reload")
    assert (refusal.status, refusal.code) == (400, "bad_configuration")
    assert "hashing.workers" in str(refusal)
    assert "settle_seconds" in str(refusal)  # what was meant, probably
    done = ctl(daemon, "reload")
    assert done.status == 2
    assert "hashing.workers" in done.err
    assert len(daemon.present()) == 5
    assert daemon.get("/api/config")["ignore"] == []


def test_reload_refuses_what_needs_a_restart_and_names_the_keys(daemon: Running, root: Path, tmp_path: Path) -> None:
    daemon.sync()
    daemon.configure(
        [root], {"ignore": ["0.mp3"], "db_path": str(tmp_path / "other.db"), "server": {"port": free_port()}}
    )
    refusal = refused(daemon.post, "/api/reload")
    assert (refusal.status, refusal.code) == (409, "restart_required")
    assert refusal.detail["keys"] == ["db_path", "server.port"]
    assert daemon.get("/api/config")["ignore"] == []
    assert ctl(daemon, "reload").status == 1


def test_reload_refuses_a_configuration_without_folders_as_a_start_does(daemon: Running) -> None:
    daemon.sync()
    daemon.configure([], {})
    assert "scan_dirs is empty" in str(refused(daemon.post, "/api/reload"))
    assert len(daemon.present()) == 5


def test_reload_applies_another_way_of_watching(daemon: Running, root: Path) -> None:
    daemon.sync()
    assert daemon.status()["roots"][0]["watch"] == "inotify"
    daemon.configure([root], {"watch": {"backend": "polling"}})
    daemon.post("/api/reload")
    wait_until(lambda: daemon.status()["roots"][0]["watch"] == "polling", within=WITHIN)
    (root / "new.mp3").write_bytes(b"x" * 70)
    daemon.sync()
    assert bytes(root / "new.mp3") in daemon.present()
    daemon.configure([root], {})
    daemon.post("/api/reload")
    wait_until(lambda: daemon.status()["roots"][0]["watch"] == "inotify", within=WITHIN)


def test_a_hangup_reloads_and_a_bad_file_changes_nothing(daemon: Running, root: Path) -> None:
    daemon.sync()
    assert daemon.process is not None
    daemon.configure([root], {"hashing": {"workers": -3}})
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "The configuration was not applied" in daemon.said(), within=WITHIN)
    assert "hashing.workers" in daemon.said()
    assert len(daemon.present()) == 5
    daemon.configure([root], {"ignore": ["0.mp3"]})
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(daemon.present()) == 4, within=WITHIN)
    assert daemon.get("/api/config")["ignore"] == ["0.mp3"]
