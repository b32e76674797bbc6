"""A PostgreSQL of the run's own: a private copy of the server, a fresh data directory, a free port.

The copy lets tests add and change extensions without root and without touching the machine: PostgreSQL finds its
share and library directories from where its own program lies.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from console import Failure, quietly
from postgres_source import Server
from run import Run

NAME = "postgres"
PROGRAMS = (
    *("postgres", "initdb", "pg_ctl", "pg_config", "pg_isready", "psql", "pg_dump", "pg_restore"),
    # What pg_upgrade runs, of both versions.
    *("pg_upgrade", "pg_dumpall", "pg_controldata", "pg_resetwal", "vacuumdb"),
)
# Not needed to run: just-in-time code, and what extensions are compiled with.
LEFT_OUT = shutil.ignore_patterns("bitcode", "llvmjit*", "pgxs", "pkgconfig", "*.a", "man", "contrib")
PRELOADED = ("pg_stat_statements", "pg_cron", "pgaudit")


@dataclass(frozen=True)
class Postgres:
    """A server to be started, and how to reach it."""

    run: Run
    server: Server
    user: tuple[int, int] | None
    port: int
    password: str
    name: str = NAME

    @property
    def home(self) -> Path:
        """What the server's user owns: the data directory and the socket."""
        return self.run.directory / self.name

    def environment(self) -> dict[str, str]:
        """The variables that libpq reads, and where the pieces are."""
        return {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": "postgres",
            "PGPASSWORD": self.password,
            "PGSSLMODE": "disable",
            "PG_BINDIR": str(self.server.programs),
            "PG_EXTENSION_DIR": str(self.server.share / "extension"),
            "PG_LOG": str(self.run.log(self.name)),
        }

    def start(self) -> "subprocess.Popen[bytes]":
        """Make the data directory and start the server; `is_ready` says when it answers."""
        self.make_cluster()
        return self.start_again()

    def start_again(self) -> "subprocess.Popen[bytes]":
        """Start the server on the data directory that is there."""
        return self.run.start_service(
            self.name,
            [self.server.programs / "postgres", "-D", self.home / "data"],
            env=plain_environment(),
            cwd=self.home,
            user=self.user,
            stop_with=signal.SIGINT,
            whole_family=False,
        )

    def is_ready(self) -> bool:
        """Whether the server accepts connections, by the line that pg_ctl reads too."""
        try:
            lines = (self.home / "data" / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[7].startswith("ready")

    def make_cluster(self) -> None:
        """Make the data directory."""
        # Closed to others: the socket takes connections without a password.
        self.home.mkdir(mode=0o700)
        password_file = self.home / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        if self.user is not None:
            os.chown(self.home, *self.user)
            os.chown(password_file, *self.user)
        quietly(
            [
                self.server.programs / "initdb",
                f"--pgdata={self.home / 'data'}",
                "--username=postgres",
                f"--pwfile={password_file}",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ],
            what="initdb",
            cwd=self.home,
            env=plain_environment(),
            user=self.user,
        )
        password_file.unlink()
        with (self.home / "data" / "postgresql.conf").open("a") as settings:
            settings.write(self._settings())

    def _settings(self) -> str:
        preloaded = [name for name in PRELOADED if self.server.has_module(name)]
        # The data is thrown away with the run: nothing has to survive a crash.
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.home,
            "max_connections": 300,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_statement": "ddl",
            "log_line_prefix": "%m [%p] %d %a ",
            "shared_preload_libraries": ",".join(preloaded),
        }
        if "pg_cron" in preloaded:
            settings["cron.database_name"] = "postgres"
        return "".join(f"{name} = '{value}'\n" for name, value in settings.items())


def prepare(run: Run, server: Server, port: int, name: str = NAME) -> Postgres:
    """Copy the server into the run and choose who runs it."""
    copy = _copy(server, run.directory / f"{name}-programs")
    return Postgres(run, copy, _unprivileged_user(), port, secrets.token_hex(16), name)


def of_run(run: Run) -> Postgres:
    """The server that was started for this run's command, by the command's environment."""
    programs, extensions = Path(os.environ["PG_BINDIR"]), Path(os.environ["PG_EXTENSION_DIR"])
    server = Server(programs, extensions.parent, programs.parent / "lib", programs.parent / "lib")
    return Postgres(run, server, _unprivileged_user(), int(os.environ["PGPORT"]), os.environ["PGPASSWORD"])


def _copy(server: Server, target: Path) -> Server:
    """Copy what is needed to run, with the parts as far from each other as they were: that is how they are found."""
    prefix = os.path.commonpath([server.programs, server.share, server.libraries])
    parts = (server.programs, server.share, server.libraries, server.modules)
    programs, share, libraries, modules = (target / part.relative_to(prefix) for part in parts)
    programs.mkdir(parents=True)
    for name in PROGRAMS:
        if (server.programs / name).exists():
            shutil.copy(server.programs / name, programs)
    for source, copy in ((server.share, share), (server.libraries, libraries)):
        shutil.copytree(source, copy, symlinks=True, ignore=LEFT_OUT)
    # Whatever the umask: the server may run as another user, who has to pass through here.
    for directory in (target, *(place for place in target.rglob("*") if place.is_dir())):
        directory.chmod(0o755)
    return Server(programs, share, libraries, modules)


def _unprivileged_user() -> tuple[int, int] | None:
    """Whom the server runs as; None for the caller. PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise Failure("this machine has neither a user postgres nor a user nobody")


def plain_environment() -> dict[str, str]:
    """Nothing of the caller's: a stray PGDATA or LC_ALL would be taken for a setting."""
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
