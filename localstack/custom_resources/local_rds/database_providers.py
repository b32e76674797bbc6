"""The providers of instances and clusters."""

from typing import Any

from local_rds import deletion_policy
from local_rds.provider import NotSupported, Properties, RdsProvider


class DatabaseProvider(RdsProvider):
    """An instance or a cluster."""

    REPLACING: frozenset[str]
    SNAPSHOT_IDENTIFIER: str
    RESTORE: str

    def refuse(self, changed: set[str], wanted: Properties) -> None:
        replacing = changed & self.REPLACING
        # Without its snapshot in the template, a restored one stays as it is.
        if self.SNAPSHOT_IDENTIFIER in changed and wanted.get(self.SNAPSHOT_IDENTIFIER):
            replacing.add(self.SNAPSHOT_IDENTIFIER)
        if replacing:
            raise NotSupported(f"not supported here: a change of {', '.join(sorted(replacing))} replaces {self.TYPE}")

    def call_modify(self, client: Any, name: str, given: Properties, wanted: Properties) -> None:
        parameters = self._parameters(name, given) | {"ApplyImmediately": True}
        getattr(client, f"modify_{self.NOUN}")(**parameters)

    def _parameters(self, name: str, properties: Properties) -> Properties:
        parameters = super()._parameters(name, properties)
        if key := (properties.get("MasterUserSecret") or {}).get("KmsKeyId"):
            parameters["MasterUserSecretKmsKeyId"] = key
        return parameters

    def after_create(self, client: Any, name: str, properties: Properties) -> None:
        """Brings after a restore what its call does not take."""
        if not properties.get(self.SNAPSHOT_IDENTIFIER):
            return
        taken = client.meta.service_model.operation_model(self.RESTORE).input_shape.members
        later = {key: value for key, value in properties.items() if self.RENAMED.get(key, key) not in taken}
        if "MasterUserSecret" in self._described(client, name):
            # Managed since it was in the snapshot: another word of it would make another secret.
            later.pop("ManageMasterUserPassword", None)
        self.call_modify(client, name, later, properties)


class InstanceProvider(DatabaseProvider):
    """A single instance, or a member of a cluster."""

    TYPE = "AWS::RDS::DBInstance"
    IDENTIFIER = "DBInstanceIdentifier"
    NOUN, ANSWER, LIST = "db_instance", "DBInstance", "DBInstances"
    RENAMED = {"VPCSecurityGroups": "VpcSecurityGroupIds"}
    SNAPSHOT_IDENTIFIER = "DBSnapshotIdentifier"
    RESTORE = "RestoreDBInstanceFromDBSnapshot"
    REPLACING = frozenset(
        {
            IDENTIFIER,
            "CharacterSetName",
            "DBClusterIdentifier",
            "DBName",
            "Engine",
            "KmsKeyId",
            "MasterUsername",
            "SourceDBInstanceIdentifier",
            "StorageEncrypted",
            "Timezone",
        }
    )

    def unsaid_policy(self, properties: Properties) -> str:
        return deletion_policy.DELETE if properties.get("DBClusterIdentifier") else deletion_policy.SNAPSHOT

    def call_create(self, client: Any, parameters: Properties) -> None:
        if parameters.get("SourceDBInstanceIdentifier"):
            raise NotSupported("not supported here: SourceDBInstanceIdentifier")
        if parameters.get(self.SNAPSHOT_IDENTIFIER):
            client.restore_db_instance_from_db_snapshot(**parameters)
        else:
            client.create_db_instance(**parameters)

    def call_delete(self, client: Any, name: str, properties: Properties, final_snapshot: str | None) -> None:
        # A member of a cluster has no snapshot of its own.
        if properties.get("DBClusterIdentifier"):
            final_snapshot = None
        client.delete_db_instance(DBInstanceIdentifier=name, **_ending(final_snapshot))

    def attributes(self, answer: Properties) -> Properties:
        endpoint = answer["Endpoint"]
        return {
            "Endpoint": {"Address": endpoint["Address"], "Port": str(endpoint["Port"])},
            "MasterUserSecret": answer.get("MasterUserSecret", {}),
            "DBInstanceArn": answer["DBInstanceArn"],
            "DbiResourceId": answer["DbiResourceId"],
        }


class ClusterProvider(DatabaseProvider):
    """A cluster, which has the database of its members."""

    TYPE = "AWS::RDS::DBCluster"
    IDENTIFIER = "DBClusterIdentifier"
    NOUN, ANSWER, LIST = "db_cluster", "DBCluster", "DBClusters"
    SNAPSHOT_IDENTIFIER = "SnapshotIdentifier"
    RESTORE = "RestoreDBClusterFromSnapshot"
    DELETION_POLICY = deletion_policy.SNAPSHOT
    REPLACING = frozenset(
        {
            IDENTIFIER,
            "DatabaseName",
            "DBSubnetGroupName",
            "Engine",
            "EngineMode",
            "KmsKeyId",
            "MasterUsername",
            "SourceDBClusterIdentifier",
            "StorageEncrypted",
        }
    )

    def call_create(self, client: Any, parameters: Properties) -> None:
        if parameters.get("SourceDBClusterIdentifier"):
            raise NotSupported("not supported here: SourceDBClusterIdentifier")
        if parameters.get(self.SNAPSHOT_IDENTIFIER):
            client.restore_db_cluster_from_snapshot(**parameters)
        else:
            client.create_db_cluster(**parameters)

    def call_delete(self, client: Any, name: str, properties: Properties, final_snapshot: str | None) -> None:
        client.delete_db_cluster(DBClusterIdentifier=name, **_ending(final_snapshot))

    def attributes(self, answer: Properties) -> Properties:
        return {
            "Endpoint": {"Address": answer["Endpoint"], "Port": str(answer["Port"])},
            "ReadEndpoint": {"Address": answer["ReaderEndpoint"]},
            "MasterUserSecret": answer.get("MasterUserSecret", {}),
            "DBClusterArn": answer["DBClusterArn"],
            "DBClusterResourceId": answer["DbClusterResourceId"],
        }


def _ending(final_snapshot: str | None) -> Properties:
    return {"FinalDBSnapshotIdentifier": final_snapshot} if final_snapshot else {"SkipFinalSnapshot": True}
