"""A database in the local server for every instance and cluster that names one, and for every snapshot of such.

An instance without a database name has no database here, and another engine never has. Written for the
locked version of moto.
"""

import functools
import hashlib
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from moto.rds.exceptions import RDSClientError
from moto.rds.models import DBCluster, DBInstance

from local_rds import postgres
from local_rds.endpoints import ENGINE
from local_rds.server import USUAL_PORT, Server

# What moto hands on to the method that makes an instance or a cluster, when it restores one: the snapshot's own record.
SNAPSHOT = "local_snapshot"
# PostgreSQL cuts a longer name off.
NAME_BYTES = 63
_LOCK = threading.RLock()

P = ParamSpec("P")
R = TypeVar("R")

Resource = Any  # an instance, a cluster or a snapshot of moto
# Whose master user clients work as: a snapshot's is not.
Live = DBInstance | DBCluster


def _alone(method: Callable[P, R]) -> Callable[P, R]:
    """What is looked at first is still so when it is acted on. A final snapshot is taken within a deletion."""

    @functools.wraps(method)
    def locked(*arguments: P.args, **named: P.kwargs) -> R:
        with _LOCK:
            return method(*arguments, **named)

    return locked


class Databases:
    """Which databases were made here, and for which of moto's records. A copy of a record, as a replica, has none."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._made: WeakKeyDictionary[Resource, str] = WeakKeyDictionary()
        # One for all of this process: instances that name the same master user share the role.
        self._master_password = secrets.token_urlsafe(24)
        # What each role was last let in with.
        self._passwords: dict[str, str] = {}

    def credentials(self, resource: Resource) -> dict[str, str]:
        """What the secret of an instance or cluster holds: its master user, or the server's own where no database is named."""
        user = resource.master_username
        if not database_name(resource) or ENGINE not in resource.engine or user == self._server.user:
            return {"username": self._server.user, "password": self._server.password}
        return {"username": user, "password": self._master_password}

    @_alone
    def create(self, wanted: dict[str, Any], name_key: str, make: Callable[[], Resource]) -> Resource:
        """Makes the database, and then the instance or cluster by `make`; neither, where one of them fails."""
        snapshot = wanted.pop(SNAPSHOT, None)
        if snapshot is not None:
            # A restore brings the database as it was, whatever name is given, as on AWS.
            wanted[name_key] = database_name(_source(snapshot))
        name = wanted.get(name_key)
        if not name or ENGINE not in wanted.get("engine", ""):
            return make()
        template = None
        if snapshot is not None and (template := self._made.get(snapshot)) is None:
            raise RDSClientError("InvalidDBSnapshotState", f"Nothing is kept here of snapshot {snapshot.resource_id}")

        self._refuse_other_port(wanted.get("port"))
        user = wanted.get("master_username") or self._server.user
        password = self._password(wanted)
        self._refuse_other_password(user, password, None)
        with _faults():
            self._let_in(user, password)
            postgres.create_database(self._server, name, user, template)
        try:
            made = make()
        except Exception:
            with _faults():
                postgres.drop_database(self._server, name)
            raise
        self._made[made] = name
        return made

    @_alone
    def modify(self, resource: Resource, changes: dict[str, Any], make: Callable[[], Resource]) -> Resource:
        """Makes the modification by `make`, and lets the master user in with the password that it brings."""
        # moto takes out of the changes what it has done.
        password = self._password(changes)
        if not password or resource not in self._made:
            return make()
        self._refuse_other_password(resource.master_username, password, resource)
        modified = make()
        with _faults():
            self._let_in(resource.master_username, password)
        return modified

    @_alone
    def keep(self, source: Resource, snapshot: Resource) -> None:
        """Copies what an instance, cluster or other snapshot has into a snapshot."""
        if (template := self._made.get(source)) is None:
            return
        name = snapshot_name(snapshot.resource_id)
        owner = _source(snapshot).master_username or self._server.user
        with _faults():
            postgres.create_database(self._server, name, owner, template)
            postgres.close_database(self._server, name)
        self._made[snapshot] = name

    @_alone
    def drop(self, resource: Resource) -> None:
        """Drops the database of what was deleted, if it was made here."""
        if name := self._made.get(resource):
            with _faults():
                postgres.drop_database(self._server, name)
            del self._made[resource]

    def _password(self, wanted: dict[str, Any]) -> str | None:
        """The one that is managed, or the one that is given, if any."""
        if wanted.get("manage_master_user_password"):
            return self._master_password
        return wanted.get("master_user_password")

    def _let_in(self, user: str, password: str | None) -> None:
        """The server's own superuser is as it is: others came in with its password."""
        if user == self._server.user:
            return
        postgres.set_superuser(self._server, user, password)
        if password:
            self._passwords[user] = password

    def _refuse_other_password(self, user: str, password: str | None, resource: Resource | None) -> None:
        """One role has one password: another would lock out who came in with it to another instance."""
        if not password or self._passwords.get(user, password) == password:
            return
        if any(isinstance(each, Live) and each.master_username == user and each is not resource for each in self._made):
            text = (
                f'the master user "{user}" of another instance has another password in the local PostgreSQL, which all '
                "instances share: choose another name, or let RDS manage both passwords"
            )
            raise RDSClientError("InvalidParameterValue", text)

    def _refuse_other_port(self, port: int | None) -> None:
        """Another port is another server's: a database in this one would be where the endpoint does not lead."""
        if port and self._server.port_for(port) != self._server.port:
            text = f"no database is made at another port than {USUAL_PORT}: leave out the port, or the database name"
            raise RDSClientError("InvalidParameterValue", text)


def database_name(resource: Resource) -> str | None:
    """The name of an instance's or a cluster's database, where it has one. A member of a cluster has none of its own."""
    if isinstance(resource, DBCluster):
        return resource.database_name
    return None if resource.db_cluster_identifier else resource.db_name


def snapshot_name(identifier: str) -> str:
    """The database that a snapshot is. A long identifier is cut, and a digest makes it unique."""
    name = f"snapshot_{identifier}"
    if len(name) <= NAME_BYTES:
        return name
    return f"{name[: NAME_BYTES - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _source(snapshot: Resource) -> Resource:
    return snapshot.cluster if hasattr(snapshot, "cluster") else snapshot.database


@contextmanager
def _faults() -> Iterator[None]:
    """What the server says, as a fault of RDS."""
    try:
        yield
    except postgres.DatabaseExists as error:
        text = f"{error} in the local PostgreSQL, which all instances share: drop it, or choose another name"
        raise RDSClientError("InvalidParameterValue", text) from error
    except postgres.ServerError as error:
        raise RDSClientError("InvalidParameterValue", f"The local PostgreSQL: {error}") from error
