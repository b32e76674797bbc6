"""What the scripts say to a person: progress, and failures in plain words. Never on stdout: that is the command's."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

TAIL_LINES = 30


class Failure(Exception):
    """Something a person has to know or do; its text is the whole message, without a traceback."""


def progress(line: str) -> None:
    """Say one thing that is being done."""
    print(f"services: {line}", file=sys.stderr, flush=True)


def tail(log: Path) -> str:
    """The end of a log, indented for quoting."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError as error:
        return f"  (no log: {error})"
    return "\n".join(f"  | {line}" for line in lines[-TAIL_LINES:]) or "  (its log is empty)"


def quietly(
    argv: Sequence[str | Path],
    *,
    what: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    user: tuple[int, int] | None = None,
) -> str:
    """Run a program that is only worth reading when it fails, and return what it printed.

    `user` is the user and group id to run as; only root can give one.
    """
    try:
        done = subprocess.run(
            [str(word) for word in argv],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            user=user[0] if user else None,
            group=user[1] if user else None,
            extra_groups=[] if user else None,
        )
    except OSError as error:
        raise Failure(f"{what}: cannot run {argv[0]}: {error}") from error
    if done.returncode != 0:
        end = "\n".join(f"  | {line}" for line in done.stdout.splitlines()[-TAIL_LINES:])
        raise Failure(f"{what} failed (exit code {done.returncode}):\n{end}")
    return done.stdout
