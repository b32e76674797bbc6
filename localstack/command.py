"""The command that the services are for: what it sees of the environment, and the signals that reach it."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import FrameType

import processes
from run import Run

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_SECONDS = 0.05


class Interrupted(Exception):
    """A signal asked this script to end."""


class Interruption:
    """The first ending signal, noted for the places where stopping is safe."""

    def __init__(self) -> None:
        """Note signals from now on, to the end of the script."""
        self.signum: int | None = None
        for signum in ENDING_SIGNALS:
            signal.signal(signum, self._note)

    def _note(self, signum: int, _: FrameType | None) -> None:
        self.signum = self.signum or signum


def execute(run: Run, argv: Sequence[str], variables: Mapping[str, str], interruption: Interruption) -> int:
    """Run the command to its end; returns its exit code as a shell puts it.

    Raises `Interrupted` after a signal, when the command and all that it started are gone.
    """
    child = run.start_command(argv, _environment(variables))
    while _is_running(child, POLL_SECONDS):
        if interruption.signum is not None:
            _interrupt(child, interruption.signum)
            raise Interrupted
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment without what would lead AWS clients and libpq elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PG"))}
    no_proxy = ",".join(filter(None, [kept.get("NO_PROXY") or kept.get("no_proxy"), "127.0.0.1", "localhost"]))
    return {**kept, **variables, "NO_PROXY": no_proxy, "no_proxy": no_proxy}


def _is_running(child: "subprocess.Popen[bytes]", timeout_seconds: float) -> bool:
    try:
        child.wait(timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def _interrupt(child: "subprocess.Popen[bytes]", signum: int) -> None:
    """Pass a signal on to the command and what it started, and see all of them off."""
    members = processes.family(child.pid)
    # Ctrl-C has reached the command already: a second one would kill it.
    if not (signum == signal.SIGINT and _in_foreground()):
        processes.send(members, signum)
    stubborn = _is_running(child, processes.TIMEOUT_SECONDS)
    # SIGTERM for what it left: a shell starts background commands deaf to SIGINT.
    processes.send(members, signal.SIGKILL if stubborn else signal.SIGTERM)
    processes.finish(members)


def _in_foreground() -> bool:
    """Whether a terminal's Ctrl-C goes to this script and its command."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
