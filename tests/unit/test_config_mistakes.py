"""Each mistake in a configuration file is told on a line of its own, with the place, the key and what to do."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mediawatchd.config import check, load
from mediawatchd.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = {"STATE_DIRECTORY": "/var/lib/mediawatchd"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mediawatchd.yaml"


def mistakes(file: Path, content: str | bytes) -> list[str]:
    """What is wrong, without the name of the file: `LINE: key: what; hint`."""
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    found = check(file, environment=ENVIRONMENT)
    assert all(line.startswith(f"{file}:") and "\n" not in line for line in found)
    return [line.removeprefix(f"{file}:") for line in found]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("hashing:\n  worker: 3", "2: hashing.worker: unknown key; did you mean `workers`?"),
        ("workers: 3", "1: workers: unknown key; write `workers` below `hashing`"),
        ("hashing.workers: 3", "1: hashing.workers: unknown key; write `workers` below `hashing`"),
        ("server: {secret_token: x}", "1: server.secret_token: unknown key; write `secret_token` at the top level"),
        ("watch: {colour: red}", "1: watch.colour: unknown key; known here: settle_seconds, backend"),
        ("watch: {? [a] : b}", "1: watch: unknown key; known here: settle_seconds, backend"),
        ("ignore: []\n\nignore: []", "3: ignore: is given twice, first in line 1; keep one of them"),
        ("watch: {}\nwatch: {}", "2: watch: is given twice, first in line 1; keep one of them"),
        ("hashing: {workers: 0}", "1: hashing.workers: is 0, not between 1 and 64"),
        ("hashing: {decoders: -1}", "1: hashing.decoders: is -1, not between 1 and 64"),
        ("hashing: {workers: 1.5}", "1: hashing.workers: is `1.5`, not a whole number"),
        ("hashing: {workers: true}", "1: hashing.workers: is `true`, not a whole number"),
        (
            'hashing: {workers: "2"}',
            "1: hashing.workers: is `2`, not a whole number; write digits only, without quotes",
        ),
        ("hashing: {workers: 010}", "1: hashing.workers: is `010`, not a whole number"),
        ("hashing: {workers: [1]}", "1: hashing.workers: is a list, not a whole number"),
        ("hashing: {decode_memory_mb: 8}", "1: hashing.decode_memory_mb: is 8, not between 256 and 1048576"),
        ("hashing: {decode_timeout_seconds: 0}", "is 0; it must be above 0, and at most 86400"),
        ("hashing: {phash: 1}", "1: hashing.phash: is `1`, not true or false"),
        ('hashing: {phash: "true"}', "1: hashing.phash: is `true`, not true or false; write true or false without"),
        ("hashing: {video_phash: null}", "1: hashing.video_phash: is empty, not true or false"),
        ("hashing: [workers]", "1: hashing: is a list, not keys with values; write one key a line"),
        ("hashing: 4", "1: hashing: is text, not keys with values"),
        ("watch: {settle_seconds: -1}", "1: watch.settle_seconds: is -1; it must be above 0, and at most 3600"),
        ("watch: {settle_seconds: .nan}", "1: watch.settle_seconds: is `.nan`, not a number"),
        ("watch: {settle_seconds: .inf}", "1: watch.settle_seconds: is `.inf`, not a number"),
        ("watch: {settle_seconds: 1e999}", "1: watch.settle_seconds: is 1e999; it must be above 0"),
        ("watch: {settle_seconds: 5s}", "1: watch.settle_seconds: is `5s`, not a number; write a number such as 1.5"),
        ("watch: {settle_seconds: 1:30}", "1: watch.settle_seconds: is `1:30`, not a number"),
        ("watch: {settle_seconds: }", "1: watch.settle_seconds: is empty, not a number"),
        ("watch: {backend: pol}", "1: watch.backend: is `pol`, not one of auto, inotify, polling; did you mean `poll"),
        ("watch: {backend: null}", "1: watch.backend: is empty, not one of auto, inotify, polling"),
        ("missing: {keep_days: -0.5}", "1: missing.keep_days: is -0.5; it must be 0 or more, and at most 36500"),
        ("missing: {hold_share: 50}", "1: missing.hold_share: is 50; it must be 0 or more, and at most 1"),
        ("missing: {hold_files: null}", "1: missing.hold_files: is empty, not a whole number"),
        ("server: {port: 0}", "1: server.port: is 0, not between 1 and 65535"),
        ("server: {port: 65536}", "1: server.port: is 65536, not between 1 and 65535"),
        (
            "server: {host: '[::1]'}",
            "1: server.host: is `[::1]`, not a host name or address; write it without brackets",
        ),
        ("server: {host: 127.0.0.256}", "1: server.host: is `127.0.0.256`, not a host name or address"),
        ("server: {host: a b}", "1: server.host: is `a b`, not a host name or address"),
        (
            "server: {host: 0.0.0.0}",
            "1: server.host: `0.0.0.0` can be reached from other machines, which needs a secret",
        ),
        ("server: {host: '::'}", "1: server.host: `::` can be reached from other machines"),
        ("server: {host: nas.example}", "1: server.host: `nas.example` can be reached from other machines"),
        ("control: {mode: 660}", "1: control.mode: is `660`, not a file mode; write it in octal with a leading zero"),
        ("control: {mode: 432}", "1: control.mode: is `432`, not a file mode"),
        ("control: {mode: 0680}", "1: control.mode: is `0680`, not a file mode"),
        ("control: {mode: rw-rw----}", "1: control.mode: is `rw-rw----`, not a file mode"),
        ("control: {mode: 02660}", "1: control.mode: is `02660`, not a file mode"),
        ("control: {group: 1000}", "1: control.group: is `1000`, not text; put it in quotes"),
        ("control: {socket: mediawatchd.sock}", "1: control.socket: is `mediawatchd.sock`, not a full path"),
        (
            f"control: {{socket: /{'s' * 107}}}",
            "1: control.socket: is 108 bytes long; the path of a socket can have 107",
        ),
        ("db_path: /var/lib/catalog/", "1: db_path: is `/var/lib/catalog/`, which names a folder; name a file in it"),
        ("db_path: ''", "1: db_path: is empty"),
        ("scan_dirs: /media", "1: scan_dirs: is `/media`, not a list; write [one, two], or one a line after a dash"),
        ("scan_dirs:", "1: scan_dirs: is empty, not a list; write [] for none"),
        ("scan_dirs:\n- /a\n-\n", "3: scan_dirs[1]: is empty, not text"),
        (
            "scan_dirs: [~/films]",
            "1: scan_dirs[0]: is `~/films`, not a full path; ~ is not expanded; write the path from",
        ),
        ("scan_dirs: [films]", "1: scan_dirs[0]: is `films`, not a full path; write the path from / on"),
        ("scan_dirs: [/a/../b]", "1: scan_dirs[0]: is `/a/../b`; write the path without .."),
        ('scan_dirs: ["/a\\0b"]', "1: scan_dirs[0]: holds a NUL character"),
        (
            'scan_dirs: ["/\\udcff"]',
            "1: scan_dirs[0]: holds half of a surrogate pair; write a name that is not UTF-8 as",
        ),
        ("scan_dirs: [!!binary L2E]", "1: scan_dirs[0]: is marked !!binary but is not base64"),
        ("scan_dirs: [!!binary '#L2E=']", "1: scan_dirs[0]: is marked !!binary but is not base64"),
        ("scan_dirs: [!!binary AA==]", "1: scan_dirs[0]: is `AA==`, not a full path"),
        ("scan_dirs: [!films /a]", "1: scan_dirs[0]: !films is a YAML tag, not text; put text that begins with !"),
        ("scan_dirs: [2026]", "1: scan_dirs[0]: is `2026`, not text; put it in quotes"),
        ("file_extensions: {video: [mkv]}", "video[0]: is `mkv`, without its dot; did you mean `.mkv`?"),
        ("file_extensions: {video: ['*.mkv']}", "video[0]: is `*.mkv`, without its dot; did you mean `.mkv`?"),
        ("file_extensions: {video: [.tar.gz]}", "video[0]: is `.tar.gz`, not a file extension"),
        ("file_extensions: {video: [.]}", "video[0]: is `.`, not a file extension"),
        ("file_extensions: {audio: [.MKV]}", "1: file_extensions.audio: `.mkv` is among the video extensions too"),
        ("file_extensions: {video: [.Mp3]}", "1: file_extensions.video: `.mp3` is among the audio extensions too"),
        ("ignore: ['!']", "1: ignore[0]: is `!`, not a pattern as in a .gitignore file"),
        ("ignore: ['a[z-a]']", "1: ignore[0]: is `a[z-a]`, not a pattern as in a .gitignore file"),
        ("ignore: ['[[:alpha:]]']", "1: ignore[0]: is `[[:alpha:]]`, not a pattern as in a .gitignore file"),
        ("ignore: ['[a']", "1: ignore[0]: is `[a`, which matches nothing: is a bracket left open?"),
        ("ignore: [./extras]", "1: ignore[0]: is `./extras`, which matches nothing"),
        ('ignore: ["a\\nb"]', "1: ignore[0]: is `a\\nb`, more than one line"),
        (
            "ignore: [*.tmp]",
            "1: not valid YAML: expected alphabetic or numeric character, but found '.'; put text that",
        ),
        (
            "ignore:\n- @eaDir",
            "2: not valid YAML: found character '@' that cannot start any token; put text that begins",
        ),
        ("watch:\n\tbackend: auto", "2: not valid YAML: a tab where only spaces may stand; indent with spaces"),
        ("ignore: [a\nwatch: {}", "2: not valid YAML: expected ',' or ']', but got ':'; check indentation"),
        ("ignore: []\n---\nwatch: {}", "2: not valid YAML: but found another document"),
        ("a: 1\nb: \x07", "2: control character U+0007 is not allowed in YAML; remove it"),
        ("- /media", "1: is a list, not keys with values; write one key a line below it, as in `scan_dirs: ...`"),
        (b"a: 1\nb: /m\xe9dia", "2: byte 0xe9 is not UTF-8; save the file as UTF-8"),
        ("watch: {}".encode("utf-16"), "1: the file is UTF-16; save it as UTF-8"),
    ],
)
def test_a_mistake_is_told_with_line_key_and_advice(file: Path, content: str | bytes, expected: str) -> None:
    found = mistakes(file, content)
    assert len(found) == 1
    assert expected in found[0]


def test_brackets_without_end_are_a_mistake(file: Path) -> None:
    assert mistakes(file, "[" * 20_000) == [" nested too deeply; check the brackets"]


def test_a_pattern_that_python_only_warns_of_is_refused_whatever_becomes_of_warnings(file: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(mistakes(file, "ignore: ['[[:alpha:]]']")) == 1


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(file: Path) -> None:
    file.write_text("scan_dirs: [/a, b, /a/c]\nhashing:\n  worker: 1\n  decoders: 0\nserver: {host: 0.0.0.0}\n")
    with pytest.raises(ConfigurationError) as raised:
        load(file, environment={})
    assert raised.value.exit_status == 78
    places = [line.removeprefix(str(file)).split(": ")[:2] for line in str(raised.value).split("\n")]
    assert places == [
        ["", "db_path"],  # of no line: there is no home to put it in
        [":1", "scan_dirs[1]"],
        [":1", "scan_dirs[2]"],
        [":3", "hashing.worker"],
        [":4", "hashing.decoders"],
        [":5", "server.host"],
    ]


@pytest.mark.parametrize(
    ("roots", "expected"),
    [
        ("[/a, /b, /a/]", "`/a/` is the same root as `/a/` of line 1"),
        ("[/a, //a/./]", "`/a/` is the same root as `/a/` of line 1"),
        ("[/a, /a/b/c]", "`/a/b/c/` lies inside the root `/a/` of line 1"),
        ("[/a/b/c, /a]", "`/a/` contains the root `/a/b/c/` of line 1"),
        ("[/, /a]", "`/a/` lies inside the root `/` of line 1"),
        ("[!!binary L/8=, !!binary L/8vYQ==]", r"`/\xff/a/` lies inside the root `/\xff/` of line 1"),
    ],
)
def test_roots_that_overlap_are_refused_naming_both(file: Path, roots: str, expected: str) -> None:
    (found,) = mistakes(file, f"scan_dirs: {roots}")
    assert expected in found


def test_roots_with_a_common_beginning_do_not_overlap(file: Path) -> None:
    assert mistakes(file, "scan_dirs: [/media, /media2, /media-old/films]") == []


def test_a_file_that_is_not_there_is_a_mistake_too(file: Path) -> None:
    (found,) = check(file, environment=ENVIRONMENT)
    assert found.startswith(f"{file}: cannot be read: No such file or directory; ")


def test_an_unreadable_name_of_the_file_is_shown_escaped(tmp_path: Path) -> None:
    (found,) = check(tmp_path / "a\nb\udcff.yaml", environment=ENVIRONMENT)
    assert found.startswith(f"{tmp_path}/a\\nb\\xff.yaml: cannot be read")


SECRET = "zq8WvK3jTp"
WITH_SECRET = f"""\
# comment
server:
  host: 0.0.0.0
secret_token: {SECRET}
control: {{mode: 0660, group: media}}
scan_dirs:
  - /media
"""


@pytest.mark.parametrize(
    "said",
    [
        f"[{SECRET}]",
        f"{{a: {SECRET}}}",
        f"!{SECRET}",
        f"*{SECRET}",
        f"&{SECRET}",
        f"'{SECRET} {SECRET}'",
        f"'{SECRET}",
        f"{SECRET}: {SECRET}",
        f"!{SECRET}!x y",
        f"!!binary {SECRET}",
        f"|\n {SECRET}\n {SECRET}",
        "1234567890",
        "'1234567890 é'",
    ],
)
def test_a_wrong_secret_is_refused_without_showing_it(file: Path, said: str) -> None:
    (found,) = mistakes(file, f"server: {{host: 0.0.0.0}}\nsecret_token: {said}")
    assert SECRET not in found
    assert "1234567890" not in found


@pytest.mark.parametrize(
    "content",
    [
        f"secret_token:{SECRET}",
        f"{{secret_token:{SECRET}}}",
        f"{{secret_token {SECRET}}}",
        f"secret_tokn: {SECRET}",
        f"hashing: {{secret_token: {SECRET}}}",
        f"server:\n  host: 0.0.0.0\n   secret_token {SECRET}",
    ],
)
def test_a_secret_in_the_wrong_place_is_not_shown(file: Path, content: str) -> None:
    found = mistakes(file, content)
    assert found
    assert SECRET not in "".join(found)


@settings(max_examples=300, deadline=None)
@given(
    position=st.integers(0, len(WITH_SECRET)),
    removed=st.integers(0, 2),
    inserted=st.text(alphabet=":'\"[]{}*&!|>#%@-?, \n\t\0a", max_size=3),
)
def test_no_slip_of_the_hand_shows_the_secret(
    tmp_path_factory: pytest.TempPathFactory, position: int, removed: int, inserted: str
) -> None:
    slipped = WITH_SECRET[:position] + inserted + WITH_SECRET[position + removed :]
    file = tmp_path_factory.getbasetemp() / "slipped.yaml"
    shown = "\n".join(mistakes(file, slipped))
    assert SECRET not in shown
    assert SECRET[3:] not in shown


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=60) | st.text(alphabet="a:-[]{}'\"*&!|>#%@, \n\t~01.", max_size=40).map(str.encode))
def test_nothing_in_a_file_raises_anything_but_mistakes(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "anything.yaml"
    mistakes(file, content)
