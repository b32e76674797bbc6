"""Answers that lead to the local server, where moto names hosts that do not exist. No input or output here."""

from typing import Any

from local_rds.server import Server

# The engines are `postgres` and `aurora-postgresql`; of any other there is no server here.
ENGINE = "postgres"


def lead_to(server: Server, answer: dict[str, Any]) -> None:
    """Puts the server's address into every instance and cluster of an answer."""
    for instance in _all(answer, "DBInstance"):
        if endpoint := instance.get("Endpoint"):
            endpoint["Address"] = server.host
            endpoint["Port"] = server.port_for(endpoint["Port"])
    for cluster in _all(answer, "DBCluster"):
        cluster |= {"Endpoint": server.host, "ReaderEndpoint": server.host}
        if port := cluster.get("Port"):
            cluster["Port"] = server.port_for(port)


def _all(answer: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """One is answered by itself, several as a list."""
    found = [answer[kind]] if kind in answer else answer.get(f"{kind}s", [])
    return [each for each in found if ENGINE in each.get("Engine", "")]
