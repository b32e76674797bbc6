"""Instances and clusters that name a database: it is in the PostgreSQL that the environment names, and so are snapshots."""

import json
import os
import unittest
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pg8000.native
from botocore.exceptions import ClientError

from local_rds.databases import snapshot_name
from local_rds.server import from_environment
from tests.support import LocalStack

localstack: LocalStack
SERVER = from_environment()


def setUpModule() -> None:
    if "PGPORT" not in os.environ:
        raise RuntimeError("these tests need a PostgreSQL: run them with services.py")
    global localstack
    localstack = LocalStack()


def tearDownModule() -> None:
    localstack.stop()


class OnPostgres(unittest.TestCase):
    """What a test needs: names of its own, and a look into the server, which it leaves as it was."""

    def setUp(self) -> None:
        self.rds = localstack.client("rds")
        self.secrets = localstack.client("secretsmanager")
        self.token = uuid.uuid4().hex[:8]
        # Upper case, which PostgreSQL keeps in quotes only.
        self.database = f"App_{self.token}"
        self.user = f"boss_{self.token}"
        self.addCleanup(self.sweep)

    def sweep(self) -> None:
        owned = self.server(f"SELECT datname FROM pg_database WHERE datdba::regrole::text = '{self.user}'")
        for name in {*self.databases(), *(name for (name,) in owned)}:
            self.server(f'DROP DATABASE "{name}" WITH (FORCE)')
        self.server(f'DROP ROLE IF EXISTS "{self.user}"')

    def databases(self) -> list[str]:
        rows = self.server(f"SELECT datname FROM pg_database WHERE datname LIKE '%{self.token}%' ORDER BY 1")
        return [name for (name,) in rows]

    def server(self, statement: str) -> Any:
        with connected(SERVER.user, SERVER.password, "postgres") as run:
            return run(statement)

    def inside(self, statement: str) -> Any:
        """In the database, as the server's superuser."""
        with connected(SERVER.user, SERVER.password, self.database) as run:
            return run(statement)

    def credentials(self, of: dict[str, Any]) -> dict[str, str]:
        return self.credentials_in(of["MasterUserSecret"]["SecretArn"])

    def credentials_in(self, arn: str) -> dict[str, str]:
        return json.loads(self.secrets.get_secret_value(SecretId=arn)["SecretString"])

    def fill(self) -> None:
        self.inside("CREATE EXTENSION hstore")
        self.inside("CREATE TABLE kept AS SELECT 7 AS number")

    def assert_filled(self) -> None:
        self.assertEqual(self.inside("SELECT number FROM kept"), [[7]])
        self.assertEqual(self.inside("SELECT extname FROM pg_extension WHERE extname = 'hstore'"), [["hstore"]])


@contextmanager
def connected(user: str, password: str, database: str) -> Iterator[Any]:
    connection = pg8000.native.Connection(
        user, host=SERVER.host, port=SERVER.port, database=database, password=password
    )
    try:
        yield connection.run
    finally:
        connection.close()


class Instances(OnPostgres):
    def create(self, name: str = "", **more: Any) -> dict[str, Any]:
        wanted = {
            "DBInstanceIdentifier": name or f"one-{self.token}",
            "DBInstanceClass": "db.t3.micro",
            "Engine": "postgres",
            "AllocatedStorage": 20,
            "DBName": self.database,
            "MasterUsername": self.user,
            "ManageMasterUserPassword": True,
        }
        return self.rds.create_db_instance(**wanted | more)["DBInstance"]

    def test_the_secret_opens_the_database_that_was_named(self) -> None:
        credentials = self.credentials(self.create())
        self.assertEqual(credentials["username"], self.user)
        with connected(credentials["username"], credentials["password"], self.database) as run:
            self.assertEqual(run("SELECT current_user, current_database()"), [[self.user, self.database]])
            run("CREATE EXTENSION hstore")

    def test_the_secrets_key_is_one_of_localstack(self) -> None:
        key = localstack.client("kms").create_key()["KeyMetadata"]
        for named in (key["KeyId"], key["Arn"]):
            name = f"one-{self.token}"
            secret = self.create(name, MasterUserSecretKmsKeyId=named)["MasterUserSecret"]
            self.assertEqual(secret["KmsKeyId"], key["Arn"])
            self.rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)

    def test_a_restore_can_begin_to_manage_the_password(self) -> None:
        self.create(ManageMasterUserPassword=False, MasterUserPassword="given-12345")
        final, name = f"final-{self.token}", f"one-{self.token}"
        self.rds.delete_db_instance(DBInstanceIdentifier=name, FinalDBSnapshotIdentifier=final)
        self.rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier=name, DBSnapshotIdentifier=final)
        with connected(self.user, "given-12345", self.database) as run:
            run("SELECT")
        self.rds.modify_db_instance(DBInstanceIdentifier=name, ManageMasterUserPassword=True)
        instance = self.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
        with connected(self.user, self.credentials(instance)["password"], self.database) as run:
            run("SELECT")

    def test_a_given_password_opens_the_database(self) -> None:
        self.create(ManageMasterUserPassword=False, MasterUserPassword="given-12345")
        with connected(self.user, "given-12345", self.database) as run:
            run("SELECT")
        self.rds.modify_db_instance(DBInstanceIdentifier=f"one-{self.token}", MasterUserPassword="other-12345")
        with connected(self.user, "other-12345", self.database) as run:
            run("SELECT")

    def test_another_instance_does_not_lock_the_first_ones_users_out(self) -> None:
        first = self.credentials(self.create())
        given = {"ManageMasterUserPassword": False, "MasterUserPassword": "given-12345"}
        other, refused = f"{self.database}_b", f'InvalidParameterValue.*"{self.user}" of another instance'
        with self.assertRaisesRegex(ClientError, refused):
            self.create("two", DBName=other, **given)
        with self.assertRaises(self.rds.exceptions.DBInstanceNotFoundFault):
            self.rds.describe_db_instances(DBInstanceIdentifier="two")
        second = self.create(f"two-{self.token}", DBName=other)
        with self.assertRaisesRegex(ClientError, refused):
            self.rds.modify_db_instance(DBInstanceIdentifier=f"two-{self.token}", MasterUserPassword="given-12345")
        self.assertEqual(self.credentials(second), first)
        with connected(first["username"], first["password"], self.database) as run:
            run("SELECT")

        # A deleted instance locks no user out, and neither does what is left of it.
        self.rds.delete_db_instance(DBInstanceIdentifier=f"two-{self.token}", SkipFinalSnapshot=True)
        self.rds.delete_db_instance(
            DBInstanceIdentifier=f"one-{self.token}", FinalDBSnapshotIdentifier=f"final-{self.token}"
        )
        self.create(**given)
        with connected(self.user, "given-12345", self.database) as run:
            run("SELECT")

    def test_no_database_is_made_where_the_endpoint_does_not_lead(self) -> None:
        with self.assertRaisesRegex(ClientError, "InvalidParameterValue.*another port than 5432"):
            self.create(Port=5433)
        self.assertEqual(self.databases(), [])
        self.create(Port=5432)
        self.assertEqual(self.databases(), [self.database])

    def test_the_servers_own_superuser_keeps_its_password(self) -> None:
        credentials = self.credentials(self.create(MasterUsername=SERVER.user))
        self.assertEqual(credentials, {"username": SERVER.user, "password": SERVER.password})
        self.inside("SELECT")

    def test_an_occupied_name_is_told_and_nothing_is_made(self) -> None:
        self.create()
        self.fill()
        with self.assertRaisesRegex(ClientError, f'InvalidParameterValue.*"{self.database}" already exists'):
            self.create("two")
        with self.assertRaises(self.rds.exceptions.DBInstanceNotFoundFault):
            self.rds.describe_db_instances(DBInstanceIdentifier="two")
        self.assert_filled()

    def test_an_instance_that_is_refused_leaves_no_database(self) -> None:
        with self.assertRaises(ClientError):
            self.create(DBParameterGroupName="no-such-group")
        self.assertEqual(self.databases(), [])

    def test_a_deletion_drops_the_database_under_its_sessions(self) -> None:
        self.create()
        with connected(SERVER.user, SERVER.password, self.database):
            self.rds.delete_db_instance(DBInstanceIdentifier=f"one-{self.token}", SkipFinalSnapshot=True)
        self.assertEqual(self.databases(), [])

    def test_a_final_snapshot_restores_the_data(self) -> None:
        self.create()
        self.fill()
        final = f"final-{self.token}"
        with connected(SERVER.user, SERVER.password, self.database):
            self.rds.delete_db_instance(DBInstanceIdentifier=f"one-{self.token}", FinalDBSnapshotIdentifier=final)
        self.assertEqual(self.databases(), [f"snapshot_{final}"])
        restored = self.rds.restore_db_instance_from_db_snapshot(
            DBInstanceIdentifier=f"two-{self.token}", DBSnapshotIdentifier=final
        )["DBInstance"]
        self.assertEqual((restored["DBName"], restored["MasterUsername"]), (self.database, self.user))
        self.assert_filled()
        credentials = self.credentials(restored)
        with connected(credentials["username"], credentials["password"], self.database) as run:
            self.assertEqual(run("SELECT number FROM kept"), [[7]])
        self.rds.delete_db_snapshot(DBSnapshotIdentifier=final)
        self.assertEqual(self.databases(), [self.database])

    def test_a_snapshot_leaves_the_instance_at_work_and_its_name_occupied(self) -> None:
        self.create()
        self.fill()
        first, copy = f"first-{self.token}", f"copy-{self.token}"
        self.rds.create_db_snapshot(DBInstanceIdentifier=f"one-{self.token}", DBSnapshotIdentifier=first)
        self.inside("INSERT INTO kept VALUES (8)")
        with self.assertRaisesRegex(ClientError, f'"{self.database}" already exists'):
            self.rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier="two", DBSnapshotIdentifier=first)
        self.rds.copy_db_snapshot(SourceDBSnapshotIdentifier=first, TargetDBSnapshotIdentifier=copy)
        self.rds.delete_db_snapshot(DBSnapshotIdentifier=first)
        self.assertEqual(self.databases(), [self.database, f"snapshot_{copy}"])

    def test_a_replica_goes_without_the_database(self) -> None:
        self.create()
        replica = f"replica-{self.token}"
        self.rds.create_db_instance_read_replica(
            DBInstanceIdentifier=replica, SourceDBInstanceIdentifier=f"one-{self.token}"
        )
        self.rds.delete_db_instance(DBInstanceIdentifier=replica, SkipFinalSnapshot=True)
        self.assertEqual(self.databases(), [self.database])


class Clusters(OnPostgres):
    def test_a_cluster_has_the_database_and_its_member_has_none(self) -> None:
        cluster, final = f"cluster-{self.token}", f"final-{self.token}"
        made = self.rds.create_db_cluster(
            DBClusterIdentifier=cluster,
            Engine="aurora-postgresql",
            DatabaseName=self.database,
            MasterUsername=self.user,
            ManageMasterUserPassword=True,
        )["DBCluster"]
        member = f"member-{self.token}"
        for name in (member, f"{member}-2"):
            self.rds.create_db_instance(
                DBInstanceIdentifier=name,
                DBClusterIdentifier=cluster,
                DBInstanceClass="db.r5.large",
                Engine="aurora-postgresql",
            )
        credentials = self.credentials(made)
        with connected(credentials["username"], credentials["password"], self.database) as run:
            run("SELECT")
        self.fill()
        self.rds.delete_db_instance(DBInstanceIdentifier=f"{member}-2")
        self.assert_filled()
        self.rds.delete_db_instance(DBInstanceIdentifier=member)
        self.rds.delete_db_cluster(DBClusterIdentifier=cluster, FinalDBSnapshotIdentifier=final)
        self.assertEqual(self.databases(), [f"snapshot_{final}"])
        restored = self.rds.restore_db_cluster_from_snapshot(
            DBClusterIdentifier=cluster, SnapshotIdentifier=final, Engine="aurora-postgresql"
        )["DBCluster"]
        self.assert_filled()
        self.assertEqual(self.credentials(restored)["username"], self.user)
        self.rds.delete_db_cluster(DBClusterIdentifier=cluster, SkipFinalSnapshot=True)
        self.rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=final)
        self.assertEqual(self.databases(), [])


class Names(unittest.TestCase):
    def test_long_identifiers_that_begin_alike_are_two_databases(self) -> None:
        one, two = snapshot_name("a" * 70 + "1"), snapshot_name("a" * 70 + "2")
        self.assertNotEqual(one, two)
        self.assertEqual((len(one), len(two)), (63, 63))


if __name__ == "__main__":
    unittest.main()
