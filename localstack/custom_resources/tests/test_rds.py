"""Instances and clusters that are all one local PostgreSQL."""

import json
import os
import unittest
from typing import Any
from unittest import mock

from botocore.exceptions import ClientError
from local_rds import endpoints
from local_rds.server import Server, from_environment

from tests.support import LocalStack

SERVER = {"PGHOST": "db.local", "PGPORT": "6543", "PGUSER": "root", "PGPASSWORD": "p\"w"}
TAGS = [{"Key": "team", "Value": "a"}]

localstack: LocalStack


def setUpModule() -> None:
    global localstack
    with mock.patch.dict(os.environ, SERVER):
        localstack = LocalStack()


def tearDownModule() -> None:
    localstack.stop()


class Rds(unittest.TestCase):
    def setUp(self) -> None:
        self.rds = localstack.client("rds")
        self.secrets = localstack.client("secretsmanager")

    def create(self, name: str, engine: str = "postgres", **more: Any) -> dict[str, Any]:
        wanted = {"DBInstanceClass": "db.t3.micro", "AllocatedStorage": 20, "MasterUsername": "boss"} | more
        self.rds.create_db_instance(DBInstanceIdentifier=name, Engine=engine, **wanted)
        self.addCleanup(self.delete, name)
        return self.instance(name)

    def delete(self, name: str) -> None:
        try:
            self.rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
        except self.rds.exceptions.DBInstanceNotFoundFault:
            # The test did it.
            pass

    def instance(self, name: str) -> dict[str, Any]:
        return self.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]

    def credentials(self, of: dict[str, Any]) -> dict[str, str]:
        arn = of["MasterUserSecret"]["SecretArn"]
        return json.loads(self.secrets.get_secret_value(SecretId=arn)["SecretString"])

    def test_an_instance_is_the_local_server_and_its_secret_opens_it(self) -> None:
        instance = self.create("managed", ManageMasterUserPassword=True, Tags=TAGS)
        self.assertEqual(instance["Endpoint"], {"Address": "db.local", "Port": 6543})
        self.assertEqual(instance["DBInstanceStatus"], "available")
        self.assertEqual(instance["TagList"], TAGS)
        self.assertEqual(self.credentials(instance), {"username": "root", "password": "p\"w"})

    def test_a_cluster_is_the_local_server_and_its_secret_opens_it(self) -> None:
        self.rds.create_db_cluster(
            DBClusterIdentifier="cluster",
            Engine="aurora-postgresql",
            MasterUsername="boss",
            ManageMasterUserPassword=True,
            Tags=TAGS,
        )
        self.addCleanup(self.rds.delete_db_cluster, DBClusterIdentifier="cluster", SkipFinalSnapshot=True)
        member = self.create("member", "aurora-postgresql", DBClusterIdentifier="cluster")
        self.assertEqual(member["DBClusterIdentifier"], "cluster")
        (cluster,) = self.rds.describe_db_clusters()["DBClusters"]
        self.assertEqual((cluster["Endpoint"], cluster["Port"]), ("db.local", 6543))
        self.assertEqual(cluster["ReaderEndpoint"], "db.local")
        self.assertEqual(cluster["TagList"], TAGS)
        self.assertEqual(self.credentials(cluster), {"username": "root", "password": "p\"w"})

    def test_a_database_in_a_server_that_cannot_be_reached_is_a_fault(self) -> None:
        reason = "InvalidParameterValue.*could not reach PostgreSQL at db.local:6543"
        with self.assertRaisesRegex(ClientError, reason):
            self.create("unreached", DBName="app", ManageMasterUserPassword=True)
        with self.assertRaises(self.rds.exceptions.DBInstanceNotFoundFault):
            self.instance("unreached")

    def test_another_port_than_the_usual_is_kept(self) -> None:
        self.assertEqual(self.create("usual", Port=5432)["Endpoint"]["Port"], 6543)
        self.assertEqual(self.create("other", Port=5433)["Endpoint"]["Port"], 5433)

    def test_an_instance_whose_password_was_given_has_no_secret(self) -> None:
        self.assertNotIn("MasterUserSecret", self.create("given", MasterUserPassword="12345678"))

    def test_another_engine_is_no_local_server(self) -> None:
        instance = self.create("mysql", "mysql", MasterUserPassword="12345678")
        self.assertNotEqual(instance["Endpoint"]["Address"], "db.local")

    def test_tags_come_and_go(self) -> None:
        arn = self.create("tagged", Tags=TAGS)["DBInstanceArn"]
        self.rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "more", "Value": "b"}])
        self.rds.remove_tags_from_resource(ResourceName=arn, TagKeys=["team"])
        self.assertEqual(self.instance("tagged")["TagList"], [{"Key": "more", "Value": "b"}])

    def test_a_secret_goes_with_its_instance(self) -> None:
        instance = self.create("short", ManageMasterUserPassword=True)
        self.rds.delete_db_instance(DBInstanceIdentifier="short", SkipFinalSnapshot=True)
        with self.assertRaises(self.rds.exceptions.DBInstanceNotFoundFault):
            self.instance("short")
        with self.assertRaises(self.secrets.exceptions.ResourceNotFoundException):
            self.credentials(instance)

    def test_a_listing_comes_in_pages(self) -> None:
        for number in range(3):
            self.create(f"page-{number}")
        first = self.rds.describe_db_instances(MaxRecords=2)
        self.assertEqual(len(first["DBInstances"]), 2)
        rest = self.rds.describe_db_instances(MaxRecords=2, Marker=first["Marker"])
        self.assertEqual([each["DBInstanceIdentifier"] for each in rest["DBInstances"]], ["page-2"])
        self.assertNotIn("Marker", rest)

    def test_what_moto_lacks_is_said(self) -> None:
        with self.assertRaisesRegex(ClientError, "501|not.*implemented"):
            self.rds.describe_source_regions()


class Answers(unittest.TestCase):
    def test_an_instance_without_an_endpoint_is_left_alone(self) -> None:
        answer = {"DBInstance": {"Engine": "postgres", "DBInstanceStatus": "creating"}}
        endpoints.lead_to(Server("h", 1, "u", "p"), answer)
        self.assertEqual(answer, {"DBInstance": {"Engine": "postgres", "DBInstanceStatus": "creating"}})

    def test_without_variables_it_is_what_libpq_would_try(self) -> None:
        self.assertEqual(from_environment({}), Server("localhost", 5432, "postgres", ""))


if __name__ == "__main__":
    unittest.main()
