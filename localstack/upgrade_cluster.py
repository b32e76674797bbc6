"""The server of a run, which pg_upgrade takes to another major version behind the same port."""

import subprocess
import time
from dataclasses import replace

import ports
import postgres
from console import Failure, quietly, tail
from postgres import Postgres
from postgres_source import Server
from run import Run

READY_SECONDS = 60.0
POLL_SECONDS = 0.1


class Upgrade:
    """The server as it is, and what the next version of it runs with."""

    def __init__(self, run: Run, present: Postgres, following: Server) -> None:
        self._run = run
        self._present = present
        self._staging = postgres.prepare(run, following, *ports.free(1), name="staging")

    def set_and_restart(self, settings: dict[str, str]) -> None:
        """Changes settings that only a start of the server takes up."""
        with (self._present.home / "data" / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        self._stop()
        _start(self._present, self._present.start_again())

    def start_staging(self) -> Postgres:
        """Starts an empty server of the next version, on a port of its own."""
        _start(self._staging, self._staging.start())
        return self._staging

    def to_next(self) -> float:
        """Stops the server, upgrades its data, and starts the next version on its port; returns the seconds."""
        begun = time.monotonic()
        following = replace(self._staging, port=self._present.port, name="upgraded")
        following.make_cluster()
        self._stop()
        quietly(
            [
                following.server.programs / "pg_upgrade",
                f"--old-bindir={self._present.server.programs}",
                f"--new-bindir={following.server.programs}",
                f"--old-datadir={self._present.home / 'data'}",
                f"--new-datadir={following.home / 'data'}",
                f"--socketdir={following.home}",
                "--username=postgres",
                "--link",
            ],
            what="pg_upgrade",
            cwd=following.home,
            env=postgres.plain_environment(),
            user=following.user,
        )
        _start(following, following.start_again())
        return time.monotonic() - begun

    def _stop(self) -> None:
        quietly(
            [self._present.server.programs / "pg_ctl", "-D", self._present.home / "data", "-m", "fast", "-w", "stop"],
            what="pg_ctl stop",
            cwd=self._present.home,
            env=postgres.plain_environment(),
            user=self._present.user,
        )


def _start(server: Postgres, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not server.is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise Failure(f"{server.name} did not start:\n{tail(server.run.log(server.name))}")
        time.sleep(POLL_SECONDS)
