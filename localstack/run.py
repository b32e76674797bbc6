"""One run of the services: its directory, the record of its processes, and how all of it ends.

Run as a program, this file is the guard: it waits for the end of its stdin, which comes when the script that
started it is gone however it went (SIGKILL too), and then stops what that script left behind.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import processes
from console import Failure, progress

PREFIX = "extension-worker-"
RECORDS = "processes.jsonl"
RELEASE = b"keep"
COMMAND = "command"


@dataclass(frozen=True)
class Record:
    """A process of the run: who it is, and the signal that ends it."""

    name: str
    pid: int
    started_ticks: int
    signal: int
    # PostgreSQL's first process sees to its own children; a shell does not.
    whole_family: bool


@dataclass(frozen=True)
class Run:
    """A run's directory, which holds everything that it writes."""

    directory: Path

    @property
    def name(self) -> str:
        """The name that `--stop` takes."""
        return self.directory.name.removeprefix(PREFIX)

    def log(self, service: str) -> Path:
        """Where a service's output goes."""
        return self.directory / f"{service}.log"

    def start_service(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        cwd: Path,
        stop_with: signal.Signals,
        whole_family: bool,
        user: tuple[int, int] | None = None,
    ) -> "subprocess.Popen[bytes]":
        """Start a service with its output in a log and a session of its own, out of reach of the terminal's Ctrl-C."""
        with self.log(name).open("ab") as log:
            try:
                child = subprocess.Popen(
                    [str(word) for word in argv],
                    env=env,
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    user=user[0] if user else None,
                    group=user[1] if user else None,
                    extra_groups=[] if user else None,
                )
            except OSError as error:
                raise Failure(f"cannot run {argv[0]}: {error}") from error
        self._record(name, child.pid, stop_with, whole_family)
        return child

    def start_command(self, argv: Sequence[str], env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """Start the command in the caller's terminal, so that Ctrl-C and reading from it work."""
        try:
            child = subprocess.Popen(argv, env=env)
        except OSError as error:
            raise Failure(f"cannot run {argv[0]}: {error.strerror}") from error
        self._record(COMMAND, child.pid, signal.SIGTERM, whole_family=True)
        return child

    def stop(self) -> None:
        """End every process of the run, the command before the services that it uses, and remove the directory."""
        records = _records(self.directory)
        _end(record for record in records if record.name == COMMAND)
        _end(record for record in records if record.name != COMMAND)
        shutil.rmtree(self.directory, ignore_errors=True)
        if self.directory.exists():
            progress(f"could not remove all of {self.directory}")

    def _record(self, name: str, pid: int, stop_with: signal.Signals, whole_family: bool) -> None:
        entry = processes.table().get(pid)
        if entry is None:
            return
        record = Record(name, pid, entry.started_ticks, int(stop_with), whole_family)
        with (self.directory / RECORDS).open("a") as records:
            records.write(json.dumps(asdict(record)) + "\n")


def create(name: str | None) -> Run:
    """Make the directory of a new run; a name in use is refused, the remains of a dead run are cleared."""
    run = Run(_parent() / f"{PREFIX}{name or secrets.token_hex(4)}")
    if run.directory.exists() and not any(_is_running(record) for record in _records(run.directory)):
        shutil.rmtree(run.directory, ignore_errors=True)
    try:
        run.directory.mkdir()
    except FileExistsError:
        raise Failure(
            f"a run named {run.name} is there already ({run.directory}); "
            f"stop it with: python3 localstack/services.py --stop {run.name}"
        ) from None
    # Whatever the umask: PostgreSQL may run as another user, who has to pass through here.
    run.directory.chmod(0o755)
    return run


def find(name_or_directory: str) -> Run:
    """The run that `--stop` means."""
    for directory in (_parent() / f"{PREFIX}{name_or_directory}", Path(name_or_directory).resolve()):
        if directory.name.startswith(PREFIX) and directory.is_dir():
            return Run(directory)
    raise Failure(f"no run called {name_or_directory} in {_parent()}")


def start_guard(run: Run) -> "subprocess.Popen[bytes]":
    """Start the process that outlives this one if need be. It ends when its stdin does."""
    return subprocess.Popen(
        [sys.executable, "-B", __file__, str(run.directory)],
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def dismiss(guard: "subprocess.Popen[bytes]") -> None:
    """Report to the guard that there is nothing left for it to stop."""
    try:
        guard.communicate(RELEASE, timeout=processes.KILL_SECONDS)
    except (BrokenPipeError, subprocess.TimeoutExpired):
        guard.kill()


def _parent() -> Path:
    """The temporary directory. As root, one that every user may enter: PostgreSQL then runs as another user."""
    candidates = [Path(place).resolve() for place in (tempfile.gettempdir(), "/tmp", "/var/tmp")]
    for place in candidates:
        if os.geteuid() != 0 or all(step.stat().st_mode & 0o001 for step in (place, *place.parents)):
            return place
    raise Failure(f"no temporary directory that other users may enter: tried {', '.join(map(str, candidates))}")


def _records(directory: Path) -> list[Record]:
    try:
        lines = (directory / RECORDS).read_text().splitlines()
    except FileNotFoundError:
        return []
    return [Record(**json.loads(line)) for line in lines]


def _is_running(record: Record) -> bool:
    entry = processes.table().get(record.pid)
    return entry is not None and entry.started_ticks == record.started_ticks


def _end(records: Iterable[Record]) -> None:
    """Signal each process that is still the recorded one, and see it and its family off."""
    members: processes.Members = {}
    for record in records:
        family = processes.family(record.pid)
        # Another process has the id by now. One that is gone may have left its session behind.
        if family.get(record.pid, record.started_ticks) != record.started_ticks:
            continue
        processes.send(family if record.whole_family else {record.pid: record.started_ticks}, record.signal)
        members |= family
    processes.finish(members)


if __name__ == "__main__":
    if sys.stdin.buffer.read() != RELEASE:
        Run(Path(sys.argv[1])).stop()
