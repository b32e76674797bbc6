"""Has moto's RDS make, copy and delete databases with its instances, clusters and snapshots.

A final snapshot, a copy of a snapshot and a restore all come through the methods that are wrapped here. Written for the
locked version of moto.
"""

from typing import Any

from localstack.utils.patch import patch
from moto.rds.exceptions import RDSClientError
from moto.rds.models import DBCluster, DBInstance, RDSBackend

from local_rds.databases import SNAPSHOT, Databases, Resource


def attach(databases: Databases) -> None:
    """From now on, moto's RDS has these databases; once for the life of the process."""

    @patch(RDSBackend.create_db_instance)
    def create_db_instance(original: Any, backend: RDSBackend, wanted: Any) -> DBInstance:
        if wanted.get("db_cluster_identifier"):
            wanted.pop(SNAPSHOT, None)
            return original(backend, wanted)
        return databases.create(wanted, "db_name", lambda: original(backend, wanted))

    @patch(RDSBackend.create_db_cluster)
    def create_db_cluster(original: Any, backend: RDSBackend, wanted: Any) -> DBCluster:
        identifier = wanted["db_cluster_identifier"]
        if identifier in backend.clusters:
            raise RDSClientError("DBClusterAlreadyExistsFault", f"DB cluster {identifier} already exists")
        return databases.create(wanted, "database_name", lambda: original(backend, wanted))

    @patch(RDSBackend.restore_db_instance_from_db_snapshot)
    def restore_db_instance(original: Any, backend: RDSBackend, snapshot_id: str, wanted: Any) -> DBInstance:
        # moto names the snapshot so in an instance's record, and takes either form here.
        wanted[SNAPSHOT] = backend.database_snapshots.get(snapshot_id.split(":snapshot:")[-1])
        return original(backend, snapshot_id, wanted)

    @patch(RDSBackend.restore_db_cluster_from_snapshot)
    def restore_db_cluster(original: Any, backend: RDSBackend, snapshot_id: str, wanted: Any) -> DBCluster:
        snapshot_id = snapshot_id.split(":cluster-snapshot:")[-1]
        wanted[SNAPSHOT] = backend.cluster_snapshots.get(snapshot_id)
        return original(backend, snapshot_id, wanted)

    @patch(DBCluster.get_cfg)
    def get_cfg(original: Any, cluster: DBCluster) -> dict[str, Any]:
        # moto asks for a password here, which a cluster whose password is managed never got.
        cluster.__dict__.setdefault("_master_user_password", None)
        return original(cluster)

    @patch(RDSBackend.modify_db_instance)
    def modify_db_instance(original: Any, backend: RDSBackend, identifier: str, changes: Any) -> DBInstance:
        (instance,) = backend.describe_db_instances(identifier)
        return databases.modify(instance, changes, lambda: original(backend, identifier, changes))

    @patch(RDSBackend.modify_db_cluster)
    def modify_db_cluster(original: Any, backend: RDSBackend, changes: Any) -> DBCluster:
        cluster = backend.clusters.get(changes["db_cluster_identifier"])
        return databases.modify(cluster, changes, lambda: original(backend, changes))

    @patch(RDSBackend.delete_db_instance)
    def delete_db_instance(original: Any, backend: RDSBackend, *arguments: Any, **named: Any) -> DBInstance:
        instance = original(backend, *arguments, **named)
        databases.drop(instance)
        return instance

    @patch(RDSBackend.delete_db_cluster)
    def delete_db_cluster(original: Any, backend: RDSBackend, *arguments: Any, **named: Any) -> DBCluster:
        cluster = original(backend, *arguments, **named)
        databases.drop(cluster)
        # moto leaves these, and would then refuse another cluster of this name within the same minute.
        for key, snapshot in list(backend.cluster_snapshots.items()):
            if snapshot.snapshot_type == "automated" and snapshot.cluster.arn == cluster.arn:
                del backend.cluster_snapshots[key]
        return cluster

    @patch(RDSBackend.create_db_snapshot)
    def create_db_snapshot(
        original: Any, backend: RDSBackend, db_instance_identifier: str, *rest: Any, **named: Any
    ) -> Resource:
        snapshot = original(backend, db_instance_identifier, *rest, **named)
        if snapshot.snapshot_type == "manual":
            _keep_or_forget(backend.databases[db_instance_identifier], snapshot, backend.database_snapshots)
        return snapshot

    @patch(RDSBackend.create_db_cluster_snapshot)
    def create_db_cluster_snapshot(
        original: Any, backend: RDSBackend, db_cluster_identifier: str, *rest: Any, **named: Any
    ) -> Resource:
        snapshot = original(backend, db_cluster_identifier, *rest, **named)
        if snapshot.snapshot_type == "manual":
            _keep_or_forget(backend.clusters[db_cluster_identifier], snapshot, backend.cluster_snapshots)
        return snapshot

    @patch(RDSBackend.copy_db_snapshot)
    def copy_db_snapshot(original: Any, backend: RDSBackend, *arguments: Any, **named: Any) -> Resource:
        snapshot = original(backend, *arguments, **named)
        source = backend.get_db_snapshot(named["source_db_snapshot_identifier"])
        _keep_or_forget(source, snapshot, backend.database_snapshots)
        return snapshot

    @patch(RDSBackend.copy_db_cluster_snapshot)
    def copy_db_cluster_snapshot(original: Any, backend: RDSBackend, *arguments: Any, **named: Any) -> Resource:
        snapshot = original(backend, *arguments, **named)
        source = backend.get_db_cluster_snapshot(named["source_db_cluster_snapshot_identifier"])
        _keep_or_forget(source, snapshot, backend.cluster_snapshots)
        return snapshot

    @patch(RDSBackend.delete_db_snapshot)
    def delete_db_snapshot(original: Any, backend: RDSBackend, identifier: str) -> Resource:
        snapshot = original(backend, identifier)
        databases.drop(snapshot)
        return snapshot

    @patch(RDSBackend.delete_db_cluster_snapshot)
    def delete_db_cluster_snapshot(original: Any, backend: RDSBackend, identifier: str) -> Resource:
        snapshot = original(backend, identifier)
        databases.drop(snapshot)
        return snapshot

    def _keep_or_forget(source: Resource, snapshot: Resource, snapshots: dict[str, Resource]) -> None:
        try:
            databases.keep(source, snapshot)
        except RDSClientError:
            for key in [key for key, value in snapshots.items() if value is snapshot]:
                del snapshots[key]
            raise
