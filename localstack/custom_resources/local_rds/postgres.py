"""The local server's databases and roles. One connection for each call, as its superuser; nothing of RDS in here."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pg8000.native
from pg8000.native import identifier, literal

from local_rds.server import Server

# For one answer: a copy of a large database takes its time.
TIMEOUT_S = 600
DUPLICATE_DATABASE = "42P04"

# PostgreSQL refuses two changes of one role at once, and two copies of one database would open it to each other's clients.
_one_at_a_time = threading.Lock()


class ServerError(Exception):
    """The server refused, or could not be reached."""


class DatabaseExists(ServerError):
    """There is such a database already."""


def create_database(server: Server, name: str, owner: str, template: str | None = None) -> None:
    """Makes a database, empty or a copy of another one. The copied one loses its sessions: PostgreSQL copies none in use."""
    with _connection(server) as run:
        statement = f"CREATE DATABASE {identifier(name)} OWNER {identifier(owner)}"
        if template is None:
            run(statement)
            return
        open_before = run(f"SELECT datallowconn FROM pg_database WHERE datname = {literal(template)}") == [[True]]
        # A client that connects again at once would be in the way: those of applications do.
        run(f"ALTER DATABASE {identifier(template)} ALLOW_CONNECTIONS false")
        try:
            run(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = {literal(template)}")
            run(f"{statement} TEMPLATE {identifier(template)}")
        finally:
            if open_before:
                run(f"ALTER DATABASE {identifier(template)} ALLOW_CONNECTIONS true")


def close_database(server: Server, name: str) -> None:
    """Refuses connections to it: it is a copy to keep."""
    with _connection(server) as run:
        run(f"ALTER DATABASE {identifier(name)} ALLOW_CONNECTIONS false")


def drop_database(server: Server, name: str) -> None:
    """Drops it, and ends the sessions in it; there may be none of this name."""
    with _connection(server) as run:
        run(f"DROP DATABASE IF EXISTS {identifier(name)} WITH (FORCE)")


def set_superuser(server: Server, name: str, password: str | None) -> None:
    """Makes the role where there is none, and lets it in with this password, if there is one."""
    with _connection(server) as run:
        if not run(f"SELECT FROM pg_roles WHERE rolname = {literal(name)}"):
            run(f"CREATE ROLE {identifier(name)} LOGIN SUPERUSER")
        if password:
            run(f"ALTER ROLE {identifier(name)} PASSWORD {literal(password)}")


@contextmanager
def _connection(server: Server) -> Iterator[Callable[[str], Any]]:
    with _one_at_a_time:
        yield from _connected(server)


def _connected(server: Server) -> Iterator[Callable[[str], Any]]:
    try:
        connection = pg8000.native.Connection(
            server.user,
            host=server.host,
            port=server.port,
            database="postgres",
            password=server.password,
            timeout=TIMEOUT_S,
            application_name="local_rds",
        )
    except (pg8000.native.InterfaceError, OSError) as error:
        raise ServerError(f"could not reach PostgreSQL at {server.host}:{server.port}: {error}") from error
    except pg8000.native.DatabaseError as error:
        raise ServerError(f"PostgreSQL at {server.host}:{server.port} refused: {_message(error)}") from error
    with closing(connection):
        try:
            yield connection.run
        except (pg8000.native.InterfaceError, OSError) as error:
            raise ServerError(f"lost PostgreSQL at {server.host}:{server.port}: {error}") from error
        except pg8000.native.DatabaseError as error:
            kind = DatabaseExists if _field(error, "C") == DUPLICATE_DATABASE else ServerError
            raise kind(_message(error)) from error


def _field(error: Exception, key: str) -> str:
    fields = error.args[0] if error.args else None
    return str(fields.get(key, "")) if isinstance(fields, dict) else ""


def _message(error: Exception) -> str:
    return _field(error, "M") or re.sub(r"\s+", " ", str(error))
