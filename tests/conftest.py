"""What holds for every test: what this machine cannot run is skipped, listed at the end, and an error in CI.

A test that needs a program or a right which a machine may lack says so by a skip with a reason that
reads as a need: "needs ffmpeg", "needs promtool".
"""

from __future__ import annotations

import os
import signal
from collections import defaultdict

import pytest

_MAY_MOUNT = 1 << 21
"""CAP_SYS_ADMIN: root in an unprivileged container has not got it."""


def pytest_configure() -> None:
    # Whoever runs this in the background of a shell has SIGINT ignored, and so had the commands that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("needs_root") and not _may_mount():
        pytest.skip("needs root that may mount")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _in_ci() and session.exitstatus == pytest.ExitCode.OK and _not_run(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    not_run = _not_run(config)
    if not not_run:
        return
    failed = _in_ci()
    terminalreporter.section("not run: an error, since CI=true" if failed else "not run on this machine")
    for reason, tests in sorted(not_run.items()):
        terminalreporter.write_line(f"{reason} ({len(tests)})", red=failed, yellow=not failed)
        for test in tests:
            terminalreporter.write_line(f"    {test}")


def _may_mount() -> bool:
    with open("/proc/self/status") as status:
        rights = next(line for line in status if line.startswith("CapEff:"))
    return os.geteuid() == 0 and bool(int(rights.split()[1], 16) & _MAY_MOUNT)


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() == "true"


def _not_run(config: pytest.Config) -> dict[str, list[str]]:
    """The skipped tests by the reason for it; a module that was skipped whole stands as one."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    tests = defaultdict(list)
    for report in reporter.stats.get("skipped", []) if reporter else []:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        tests[reason.removeprefix("Skipped: ")].append(report.nodeid)
    return tests
