"""One run of the services: its directory, the processes in it, and how all of it ends.

A process is known by its id and its start time together, so a reused id is never signalled.
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
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from console import Failure, progress

PREFIX = "extension-worker-"
RECORDS = "processes.jsonl"
RELEASE = b"keep"
COMMAND = "command"
# PostgreSQL's fast shutdown takes well under a second here; a test binary may have children to see off.
PATIENCE_SECONDS = 10.0
KILL_SECONDS = 5.0
POLL_SECONDS = 0.02

# Processes by id, each with its start time in clock ticks.
Members = dict[int, int]


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
class _Entry:
    parent: int
    session: int
    started_ticks: int


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

    def spawn(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        stop_with: signal.Signals,
        whole_family: bool,
        cwd: Path | None = None,
        user: tuple[int, int] | None = None,
    ) -> "subprocess.Popen[bytes]":
        """Start a process of this run and record it.

        A service gets a session of its own, out of reach of the terminal's Ctrl-C, and its output in a log; the
        command stays in the caller's terminal, so that Ctrl-C and reading from it work.
        """
        identity = {} if user is None else {"user": user[0], "group": user[1], "extra_groups": []}
        words = [str(word) for word in argv]
        try:
            if name == COMMAND:
                child = subprocess.Popen(words, env=env)
            else:
                with self.log(name).open("ab") as log:
                    child = subprocess.Popen(
                        words,
                        env=env,
                        cwd=cwd,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                        **identity,
                    )
        except OSError as error:
            raise Failure(f"cannot run {words[0]}: {error}") from error
        entry = _processes().get(child.pid)
        if entry is not None:
            record = Record(name, child.pid, entry.started_ticks, int(stop_with), whole_family)
            with (self.directory / RECORDS).open("a") as records:
                records.write(json.dumps(asdict(record)) + "\n")
        return child

    def stop(self) -> None:
        """End every process of the run, the command before the services that it uses, and remove the directory."""
        records = _records(self.directory)
        _end([record for record in records if record.name == COMMAND])
        _end([record for record in records if record.name != COMMAND])
        shutil.rmtree(self.directory, ignore_errors=True)
        if self.directory.exists():
            progress(f"could not remove all of {self.directory}")


def create(name: str | None) -> Run:
    """Make the directory of a new run; a name in use is refused, the remains of a dead run are cleared."""
    run = Run(_parent() / f"{PREFIX}{name or secrets.token_hex(4)}")
    if run.directory.exists() and not any(map(_is_running, _records(run.directory))):
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
    """Tell the guard that there is nothing left for it to stop."""
    try:
        guard.communicate(RELEASE, timeout=KILL_SECONDS)
    except (BrokenPipeError, subprocess.TimeoutExpired):
        guard.kill()


def family(pid: int) -> Members:
    """A process with all that it started and still has."""
    table = _processes()
    return {member: table[member].started_ticks for member in _family(table, pid)}


def send(members: Members, signum: int) -> None:
    """Signal those that are still there."""
    for pid in _still_there(members):
        _send(pid, signum)


def finish(members: Members) -> None:
    """Wait for processes that were told to end, and kill those that do not."""
    if not _gone(members, PATIENCE_SECONDS):
        send(members, signal.SIGKILL)
        _gone(members, KILL_SECONDS)


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


def _processes() -> dict[int, _Entry]:
    """Every live process by id. A zombie has ended already and is left out."""
    table = {}
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        try:
            # The command's name comes in brackets and may hold anything: the fields are counted from its end.
            fields = (place / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            table[int(place.name)] = _Entry(int(fields[1]), int(fields[3]), int(fields[19]))
    return table


def _family(table: Mapping[int, _Entry], pid: int) -> set[int]:
    """A process, those of its session if it leads one, and all that any of them started."""
    family = {member for member, entry in table.items() if member == pid or entry.session == pid}
    while True:
        children = {member for member, entry in table.items() if entry.parent in family} - family
        if not children:
            return family
        family |= children


def _is_running(record: Record) -> bool:
    entry = _processes().get(record.pid)
    return entry is not None and entry.started_ticks == record.started_ticks


def _end(records: Iterable[Record]) -> None:
    """Signal each process that is still the recorded one, and see it and its family off."""
    table = _processes()
    members: Members = {}
    for record in records:
        entry = table.get(record.pid)
        if entry is not None and entry.started_ticks != record.started_ticks:
            continue
        relatives = {pid: table[pid].started_ticks for pid in _family(table, record.pid)}
        addressed = relatives if record.whole_family else {record.pid: record.started_ticks}
        send(addressed, record.signal)
        members |= relatives
    finish(members)


def _still_there(members: Members) -> set[int]:
    table = _processes()
    return {pid for pid, ticks in members.items() if pid in table and table[pid].started_ticks == ticks}


def _gone(members: Members, patience_seconds: float) -> bool:
    deadline = time.monotonic() + patience_seconds
    while _still_there(members):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _send(pid: int, signum: int) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise Failure(f"process {pid} belongs to another user: stop the run as the user who started it") from error


if __name__ == "__main__":
    if sys.stdin.buffer.read() != RELEASE:
        Run(Path(sys.argv[1])).stop()
