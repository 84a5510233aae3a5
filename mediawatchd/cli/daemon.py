"""The command `mediawatchd`: reads the configuration, runs the daemon in the foreground, tells a person about it.

Runs on the main thread. On a terminal it keeps one line of progress below the log; under systemd it says nothing but
its log.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mediawatchd import __version__
from mediawatchd import config as configuration
from mediawatchd.errors import ConfigurationError, MediawatchdError
from mediawatchd.telemetry import logs

if TYPE_CHECKING:
    from mediawatchd.config import Config


INTERRUPTED = 130


def main() -> None:
    """Entry point of `mediawatchd`."""
    faulthandler.enable()
    arguments = _parser().parse_args()
    try:
        status = _run(arguments)
    except MediawatchdError as error:
        print(f"mediawatchd: {error}\n{error.hint}", file=sys.stderr)
        status = error.exit_status
    except KeyboardInterrupt:  # while it starts; later it is the signal to stop
        status = INTERRUPTED
    sys.stdout.flush()
    sys.stderr.flush()
    # A thread that hangs on a dead disk must not keep the process: everything worth keeping is committed.
    os._exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mediawatchd",
        description="Keep a live catalog of media libraries.",
        epilog="With folders and no --config, nothing but them is configured: mediawatchd ~/Videos",
    )
    parser.add_argument("folders", nargs="*", metavar="DIR", help="folders to catalog, instead of scan_dirs")
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"default: {configuration.DEFAULT_FILE}")
    parser.add_argument("--db", metavar="FILE", help="the catalog, instead of db_path")
    parser.add_argument("--socket", metavar="FILE", help="the control socket, instead of control.socket")
    parser.add_argument(
        "--port", type=_port, metavar="PORT", help="the port for the HTTP API, instead of server.port; none: no port"
    )
    parser.add_argument("--check-config", action="store_true", help="check the configuration and end")
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.add_argument("--version", action="version", version=f"mediawatchd {__version__}")
    return parser


def _port(text: str) -> int:
    if text == "none":
        return 0
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number up to 65535, or none")
    return int(text)


def _run(arguments: argparse.Namespace) -> int:
    overrides = configuration.CommandLine(
        scan_dirs=tuple(os.fsencode(folder) for folder in arguments.folders),
        db_path=None if arguments.db is None else os.fsencode(arguments.db),
        socket=None if arguments.socket is None else os.fsencode(arguments.socket),
        port=arguments.port,
    )
    file = arguments.config
    if file is None and not arguments.folders:
        file = configuration.DEFAULT_FILE

    def load() -> Config:
        config = configuration.load(file, overrides=overrides, environment=os.environ)
        if not config.scan_dirs:
            raise ConfigurationError(
                "there is nothing to catalog: scan_dirs is empty",
                hint="Name folders in scan_dirs, or on the command line: mediawatchd ~/Videos",
            )
        return config

    if arguments.check_config:
        config = configuration.load(file, overrides=overrides, environment=os.environ)
        print(f"{file or 'the command line'}: the configuration is good")
        if not config.scan_dirs:
            print("scan_dirs is empty: name the folders to catalog before you start the daemon")
        return 0
    config = load()
    # Imported now: a mistake in the configuration is told without waiting for all of the daemon to load.
    from mediawatchd.cli.foreground import Foreground  # noqa: PLC0415
    from mediawatchd.daemon.parts import Daemon  # noqa: PLC0415

    foreground = Foreground(stream=sys.stderr, environment=os.environ)
    messages = logs.set_up(environment=os.environ, stream=foreground.log_stream, verbose=arguments.verbose)
    daemon = Daemon(config=config, load=load, environment=os.environ, messages=messages)
    daemon.start()
    try:
        foreground.start(daemon)
        return daemon.run()
    finally:
        foreground.stop()
        daemon.stop()
