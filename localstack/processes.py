"""Processes of this machine, read from /proc: who belongs to whom, and the orderly end of some.

A process is known by its id and its start time together, so a reused id is never signalled.
"""

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from console import Failure

# PostgreSQL's fast shutdown takes well under a second here; a test binary may have children to see off.
TIMEOUT_SECONDS = 10.0
KILL_SECONDS = 5.0
POLL_SECONDS = 0.02

# Processes by id, each with its start time in clock ticks.
Members = dict[int, int]


@dataclass(frozen=True)
class Entry:
    """What is needed of a process."""

    parent: int
    session: int
    started_ticks: int


def table() -> dict[int, Entry]:
    """Every live process by id. A zombie has ended already and is left out."""
    entries = {}
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        try:
            # The command's name comes in brackets and may hold anything: the fields are counted from its end.
            fields = (place / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            entries[int(place.name)] = Entry(int(fields[1]), int(fields[3]), int(fields[19]))
    return entries


def family(pid: int) -> Members:
    """A process, those of its session if it leads one, and all that any of them started and still have."""
    entries = table()
    found = {member for member, entry in entries.items() if member == pid or entry.session == pid}
    while True:
        children = {member for member, entry in entries.items() if entry.parent in found} - found
        if not children:
            return {member: entries[member].started_ticks for member in found}
        found |= children


def send(members: Members, signum: int) -> None:
    """Signal those that are still there."""
    for pid in _still_there(members):
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            continue
        except PermissionError as error:
            raise Failure(f"process {pid} belongs to another user: stop the run as the user who started it") from error


def finish(members: Members) -> None:
    """Wait for processes that got a signal to end, and kill those that do not."""
    if not _gone(members, TIMEOUT_SECONDS):
        send(members, signal.SIGKILL)
        _gone(members, KILL_SECONDS)


def _still_there(members: Mapping[int, int]) -> set[int]:
    entries = table()
    return {pid for pid, ticks in members.items() if pid in entries and entries[pid].started_ticks == ticks}


def _gone(members: Members, timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while _still_there(members):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
