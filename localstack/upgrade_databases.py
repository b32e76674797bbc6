"""The databases of the upgrade's demo: what is in them, and what must still be in them afterwards."""

import os
import subprocess
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pg8000.native

from console import Failure

PLACES = """
CREATE TABLE places (id integer PRIMARY KEY, at geography(Point));
INSERT INTO places SELECT n, ST_Point(n % 180, n % 90)::geography FROM generate_series(1, 1000) n;
CREATE INDEX ON places USING gist (at);
"""
EVENTS = """
CREATE TABLE measured (at timestamptz NOT NULL, value integer) PARTITION BY RANGE (at);
SELECT partman.create_parent('public.measured', 'at', 'native', 'daily');
INSERT INTO measured SELECT now(), n FROM generate_series(1, 1000) n;
"""
JOBS = "SELECT cron.schedule('nightly ' || n, '0 3 * * *', 'VACUUM') FROM generate_series(1, 5) n"
ORDERS = """
CREATE TABLE orders (id integer PRIMARY KEY, buyer citext, digest bytea);
INSERT INTO orders SELECT n, 'Buyer ' || n, digest(n::text, 'sha256') FROM generate_series(1, 1000) n;
CREATE INDEX ON orders USING gin ((buyer::text) gin_trgm_ops);
"""
# pg_upgrade refuses each of these.
PREPARED = ["BEGIN", "CREATE TABLE unfinished ()", "PREPARE TRANSACTION 'left over'"]
REFUSED_COLUMN = "CREATE TABLE routines (called regproc); INSERT INTO routines VALUES ('pg_catalog.version')"

# What each kind of database has, by the beginning of its name.
FILLED = {"places": PLACES, "events": EVENTS, "orders": ORDERS, "postgres": JOBS}
COUNTS = {
    "places": "SELECT count(*), sum(ST_X(at::geometry)) FROM places WHERE at IS NOT NULL",
    "events": "SELECT count(*), (SELECT string_agg(parent_table, ',') FROM partman.part_config) FROM measured",
    "orders": "SELECT count(*), md5(string_agg(encode(digest, 'hex'), '' ORDER BY id)) FROM orders",
    "postgres": "SELECT count(*), string_agg(jobname, ',' ORDER BY jobname) FROM cron.job",
}
BLOCKED = "orders1"
EXTENSIONS = "SELECT extname, extversion FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1"
OUTDATED = """
SELECT extname || ' ' || extversion FROM pg_extension JOIN pg_available_extensions ON name = extname
WHERE extversion <> default_version ORDER BY 1
"""


class Databases:
    """The databases of one server, as its administrator sees them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = list(names)

    def names(self) -> list[str]:
        """Each of them."""
        return list(self._names)

    def version(self) -> str:
        """The server's version, as in `15.18`."""
        return str(self.execute("postgres", "SHOW server_version")[0][0]).split()[0]

    def create(self) -> None:
        """Makes those that a new server lacks."""
        there = {name for (name,) in self.execute("postgres", "SELECT datname FROM pg_database")}
        for name in self._names:
            if name not in there:
                self.execute("postgres", f'CREATE DATABASE "{name}"')

    def fill(self) -> None:
        """Has each of them use its extensions; two things in one of them keep pg_upgrade from its work."""
        for name in self._names:
            statements = _of_kind(FILLED, name)
            if statements:
                self.execute(name, statements)
        self.execute(BLOCKED, REFUSED_COLUMN)
        self.execute(BLOCKED, *PREPARED)

    def outdated(self) -> dict[str, list[str]]:
        """By database, the extensions that have another version than the server's default."""
        found = {name: [row[0] for row in self.execute(name, OUTDATED)] for name in self._names}
        return {name: extensions for name, extensions in found.items() if extensions}

    def mend(self, database: str, statement: str) -> None:
        """Has psql run a statement that a finding names, as a person would."""
        psql = Path(os.environ["PG_BINDIR"]) / "psql"
        done = subprocess.run(
            [psql, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", database],
            input=statement,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Failure(f"{database}: {statement}: {done.stdout}")

    def execute(self, database: str, *statements: str) -> list[Any]:
        """Runs statements in one session; returns the rows of the last."""
        environment = os.environ
        connection = pg8000.native.Connection(
            environment["PGUSER"],
            environment["PGHOST"],
            database,
            int(environment["PGPORT"]),
            environment["PGPASSWORD"],
        )
        with closing(connection):
            rows: Any = None
            for statement in statements:
                rows = connection.run(statement)
            return rows or []


@dataclass(frozen=True)
class Contents:
    """What the databases have: their extensions, and what is counted of their data."""

    extensions: dict[str, dict[str, str]]
    data: dict[str, list[Any]]

    @classmethod
    def of(cls, databases: Databases) -> "Contents":
        """What they have now."""
        extensions = {name: dict(databases.execute(name, EXTENSIONS)) for name in databases.names()}
        counts = {name: _of_kind(COUNTS, name) for name in databases.names()}
        data = {name: databases.execute(name, count) for name, count in counts.items() if count}
        return cls(extensions, data)

    def summary(self) -> str:
        """Each extension and version, with the number of databases that have it."""
        found = Counter(f"{name} {version}" for each in self.extensions.values() for name, version in each.items())
        return ", ".join(f"{what} ({number})" for what, number in sorted(found.items()))

    def compare(self, later: "Contents") -> None:
        """Fails where something is gone: an extension, or data."""
        for name, extensions in self.extensions.items():
            if missing := extensions.keys() - later.extensions[name].keys():
                raise Failure(f"{name} has lost {', '.join(sorted(missing))}")
        for name, rows in self.data.items():
            if later.data[name] != rows:
                raise Failure(f"{name} had {rows}, and has {later.data[name]}")


def _of_kind(kinds: dict[str, str], name: str) -> str | None:
    return next((value for kind, value in kinds.items() if name.startswith(kind)), None)
