"""The PostgreSQL that every instance and cluster is."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

# The one that templates write out: who names it wants the usual, not another server.
USUAL_PORT = 5432


@dataclass(frozen=True)
class Server:
    """Where it listens, and its superuser."""

    host: str
    port: int
    user: str
    password: str

    def port_for(self, asked: int) -> int:
        """The port of an instance that was made with this one: another than the usual is a server beside this one."""
        return self.port if asked == USUAL_PORT else asked


def from_environment(variables: Mapping[str, str] = os.environ) -> Server:
    """The server that libpq's variables name, when LocalStack starts."""
    return Server(
        host=variables.get("PGHOST", "localhost"),
        port=int(variables.get("PGPORT", str(USUAL_PORT))),
        user=variables.get("PGUSER", "postgres"),
        password=variables.get("PGPASSWORD", ""),
    )
