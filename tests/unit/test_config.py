"""What is in force: defaults, file and command line, and what the environment decides."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mediawatchd import config
from mediawatchd.config import CommandLine, Config, Control, Hashing, Missing, Server, Watch
from mediawatchd.config.loading import value_of
from mediawatchd.config.schema import dotted, keys
from mediawatchd.errors import ConfigurationError

SHIPPED = Path(__file__).parents[2] / "config" / "mediawatchd.yaml"
ENVIRONMENT = {"STATE_DIRECTORY": "/var/lib/mediawatchd", "RUNTIME_DIRECTORY": "/run/mediawatchd"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mediawatchd.yaml"


def read(file: Path, content: str, overrides: CommandLine | None = None) -> Config:
    file.write_text(content)
    return config.load(file, overrides=overrides, environment=ENVIRONMENT)


def test_the_shipped_file_says_the_defaults() -> None:
    assert config.load(SHIPPED, environment=ENVIRONMENT) == config.load(None, environment=ENVIRONMENT)


def test_the_shipped_file_shows_every_key_and_no_other() -> None:
    def shown(node: object, prefix: str = "") -> list[str]:
        if not isinstance(node, dict):
            return [prefix]
        return [key for name, below in node.items() for key in shown(below, f"{prefix}.{name}".lstrip("."))]

    assert shown(yaml.safe_load(SHIPPED.read_text())) == [key for key, _ in dotted(keys())]


def test_the_shipped_file_writes_each_default_as_it_is() -> None:
    # Null, where it means "you choose", would equal the default whatever the default is.
    written = yaml.safe_load(SHIPPED.read_text())
    for name, key in dotted(keys()):
        shown = value_in(written, name)
        if key.choose:
            assert shown is None, name
        else:
            default = value_of(Config(), name)
            assert shown == (list(default) if isinstance(default, tuple) else default), name


def value_in(values: object, name: str) -> object:
    for word in name.split("."):
        assert isinstance(values, dict)
        values = values[word]
    return values


def test_the_defaults_are_those_that_were_promised() -> None:
    defaults = config.load(None, environment=ENVIRONMENT)
    assert defaults.scan_dirs == ()
    assert defaults.ignore == ()
    assert len(defaults.file_extensions.video) == 16
    assert len(defaults.file_extensions.audio) == 11
    assert (defaults.hashing.phash, defaults.hashing.video_phash) == (False, True)
    assert (defaults.hashing.decode_timeout_seconds, defaults.hashing.decode_memory_mb) == (120, 2048)
    assert defaults.watch == Watch(settle_seconds=5, backend="auto")
    assert (defaults.reconcile.interval_hours, defaults.reconcile.network_interval_minutes) == (6, 15)
    assert defaults.missing == Missing(keep_days=7, hold_share=0.5, hold_files=50)
    assert defaults.history.keep_days == 90
    assert defaults.server == Server(host="127.0.0.1", port=8080)
    assert defaults.secret_token is None
    assert defaults.control == Control(socket=b"/run/mediawatchd/mediawatchd.sock", mode=0o660, group=None)


def test_the_file_goes_before_the_defaults(file: Path) -> None:
    read_from_file = read(
        file,
        """
        scan_dirs:
          - /srv/media//films/
          - !!binary L3Nydi8vY2Fm6Q==
        db_path: /data/./catalog.db
        file_extensions: {video: [.MKV, .mkv, .Ts], audio: []}
        ignore: ["@eaDir/", "!keep.mkv", "# a comment"]
        hashing: {workers: 3, decoders: 2, phash: yes, video_phash: off, decode_timeout_seconds: 0.5}
        watch: {settle_seconds: .25, backend: polling}
        reconcile: {interval_hours: 1e-3}
        missing: {keep_days: 0, hold_share: null, hold_files: 0}
        server: {host: "::", port: 80}
        secret_token: s3cret
        control: {socket: /run/media.sock, mode: 0600, group: media}
        """,
    )
    assert read_from_file.scan_dirs == (b"/srv/media/films/", b"/srv/caf\xe9/")
    assert read_from_file.db_path == b"/data/catalog.db"
    assert read_from_file.file_extensions == config.FileExtensions(video=(".mkv", ".mkv", ".ts"), audio=())
    assert read_from_file.ignore == ("@eaDir/", "!keep.mkv", "# a comment")
    assert read_from_file.hashing == Hashing(
        workers=3, decoders=2, phash=True, video_phash=False, decode_timeout_seconds=0.5
    )
    assert read_from_file.watch == Watch(settle_seconds=0.25, backend="polling")
    assert read_from_file.reconcile == config.Reconcile(interval_hours=0.001)
    assert read_from_file.missing == Missing(keep_days=0, hold_share=None, hold_files=0)
    assert read_from_file.history == config.History()
    assert read_from_file.server == Server(host="::", port=80)
    assert read_from_file.secret_token == "s3cret"
    assert read_from_file.control == Control(socket=b"/run/media.sock", mode=0o600, group="media")


@pytest.mark.parametrize(
    "content", ["", "# nothing\n", "---\n", "hashing:\n  # workers: 3\nwatch:\n", "\ufeffwatch: {}"]
)
def test_a_file_that_says_nothing_leaves_the_defaults(file: Path, content: str) -> None:
    assert read(file, content) == config.load(None, environment=ENVIRONMENT)


@pytest.mark.parametrize("mode", ["0660", '"0660"', "0o660", "'0o660'"])
def test_a_file_mode_is_octal_however_it_is_written(file: Path, mode: str) -> None:
    assert read(file, f"control: {{mode: {mode}}}").control.mode == 0o660


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost", "LOCALHOST"])
def test_a_loopback_address_needs_no_secret(file: Path, host: str) -> None:
    assert read(file, f"server: {{host: '{host}'}}").server.loopback


def test_no_port_needs_no_secret_whatever_the_host(file: Path) -> None:
    assert read(file, "server: {host: 0.0.0.0, port: null}").server.port is None


def test_the_command_line_goes_before_the_file(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    here = os.fsencode(tmp_path)
    found = read(
        file,
        "scan_dirs: [/a, /b]\ndb_path: /data/catalog.db\ncontrol: {socket: /run/a.sock, mode: 0600}",
        CommandLine(
            scan_dirs=(b"films", b"//srv/m\xff/../x/", b"/c"),
            db_path=b"here.db",
            socket=b"./s.sock",
        ),
    )
    assert found.scan_dirs == (here + b"/films/", b"/srv/x/", b"/c/")
    assert found.db_path == here + b"/here.db"
    assert found.control == Control(socket=here + b"/s.sock", mode=0o600)


def test_roots_of_the_file_do_not_matter_to_those_of_the_command_line(file: Path) -> None:
    found = read(file, "scan_dirs: [/a, /b]", CommandLine(scan_dirs=(b"/b/c",)))
    assert found.scan_dirs == (b"/b/c/",)


def test_without_a_file_the_command_line_is_enough() -> None:
    found = config.load(None, overrides=CommandLine(scan_dirs=(b"/",)), environment=ENVIRONMENT)
    assert found.scan_dirs == (b"/",)


def test_a_mistake_in_roots_of_the_file_is_told_even_when_the_command_line_names_others(file: Path) -> None:
    # The mistake in the file is still told: the next start without arguments would run into it.
    file.write_text("scan_dirs: [relative]")
    overrides = CommandLine(scan_dirs=(b"/a",))
    assert "relative" in config.check(file, overrides=overrides, environment=ENVIRONMENT)[0]


def test_mistakes_of_the_command_line_are_told_as_such() -> None:
    overrides = CommandLine(scan_dirs=(b"/a", b"/a/b", b""), socket=b"/" + b"s" * 120)
    assert [line.split("; ")[0] for line in config.check(None, overrides=overrides, environment=ENVIRONMENT)] == [
        "command line: scan_dirs[2]: is empty",
        "command line: scan_dirs[1]: `/a/b/` lies inside the root `/a/`",
        "command line: control.socket: is 121 bytes long",
    ]


@pytest.mark.parametrize(
    ("environment", "database"),
    [
        ({"STATE_DIRECTORY": "/var/lib/m:/var/lib/other", "HOME": "/home/a"}, b"/var/lib/m/catalog.db"),
        ({"XDG_STATE_HOME": "/state", "HOME": "/home/a"}, b"/state/mediawatchd/catalog.db"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/home/a"}, b"/home/a/.local/state/mediawatchd/catalog.db"),
        ({"HOME": "/home/caf\udce9"}, b"/home/caf\xe9/.local/state/mediawatchd/catalog.db"),
    ],
)
def test_the_catalog_is_where_the_environment_keeps_state(environment: dict[str, str], database: bytes) -> None:
    assert config.load(None, environment=environment).db_path == database


@pytest.mark.parametrize(
    ("environment", "socket"),
    [
        ({"RUNTIME_DIRECTORY": "/run/m", "XDG_RUNTIME_DIR": "/run/user/1"}, b"/run/m/mediawatchd.sock"),
        ({"XDG_RUNTIME_DIR": "/run/user/1"}, b"/run/user/1/mediawatchd.sock"),
        ({}, b"/run/mediawatchd.sock"),
    ],
)
def test_the_socket_is_where_the_environment_keeps_sockets(environment: dict[str, str], socket: bytes) -> None:
    assert config.load(None, environment={"HOME": "/h", **environment}).control.socket == socket


@pytest.mark.parametrize(("cores", "workers", "decoders"), [(1, 1, 1), (2, 2, 1), (4, 4, 3), (64, 4, 63)])
def test_null_threads_follow_the_cores(
    file: Path, monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, decoders: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    hashing = read(file, "hashing: {workers: null, decoders: ~}").hashing
    assert (hashing.workers, hashing.decoders) == (workers, decoders)


def test_only_what_a_reload_cannot_change_asks_for_a_restart() -> None:
    old = config.load(None, environment=ENVIRONMENT)
    assert config.restart_required(old, old) == []
    live = dataclasses.replace(old, scan_dirs=(b"/a/",), secret_token="x", watch=Watch(settle_seconds=1))
    assert config.restart_required(old, live) == []
    fixed = dataclasses.replace(
        live,
        db_path=b"/other.db",
        server=Server(host="localhost", port=None),
        control=Control(socket=b"/s", mode=0o600, group="media"),
    )
    assert config.restart_required(old, fixed) == [
        *("db_path", "server.host", "server.port"),
        *("control.socket", "control.mode", "control.group"),
    ]


def test_the_public_configuration_is_json_without_the_secret() -> None:
    values = Config(
        scan_dirs=(b"/srv/films/", b"/srv/caf\xe9/", b"/"), db_path=b"/db\xff", secret_token="hunter2", ignore=("a",)
    )
    public = json.loads(json.dumps(config.public(values)))
    assert "hunter2" not in str(public)
    assert public["has_secret_token"] is True
    assert "secret_token" not in public
    assert public["scan_dirs"] == ["/srv/films", "/srv/caf\ufffd", "/"]
    assert public["scan_dirs_b64"] == [None, base64.b64encode(b"/srv/caf\xe9").decode(), None]
    assert (public["db_path"], public["db_path_b64"]) == ("/db\ufffd", "L2Ri/w==")
    assert public["control"]["socket_b64"] is None
    assert public["control"]["mode"] == "0660"
    assert public["file_extensions"]["video"][0] == ".mp4"
    assert public["hashing"]["workers"] >= 1


def test_the_public_configuration_has_every_key() -> None:
    public = config.public(Config())
    names = {key.partition(".")[0] for key, _ in dotted(keys())}
    assert names - set(public) == {"secret_token"}
    assert public["has_secret_token"] is False


def test_the_secret_is_in_no_repr() -> None:
    assert "hunter2" not in repr(Config(secret_token="hunter2"))


def test_values_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().scan_dirs = ()


def test_load_raises_what_ends_the_daemon_with_status_78(file: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(file, "nonsense: 1")
    assert raised.value.exit_status == 78


def test_importing_the_configuration_is_cheap() -> None:
    script = "import sys, mediawatchd.config; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    heavy = {"pathspec", "watchdog", "flask", "av", "numpy", "sqlite3", "logging", "multiprocessing", "socket"}
    assert heavy.isdisjoint(run.stdout.split())
