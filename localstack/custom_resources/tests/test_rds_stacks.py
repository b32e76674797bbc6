"""RDS resources in stacks, on the PostgreSQL that the environment names."""

import uuid
from typing import Any

from botocore.exceptions import ClientError

from tests import test_rds_databases
from tests.support import LocalStack, Stack
from tests.test_rds_databases import SERVER, OnPostgres, connected, setUpModule, tearDownModule  # noqa: F401

Resources = dict[str, Any]


class InStacks(OnPostgres):
    def setUp(self) -> None:
        super().setUp()
        self.stack = Stack(self.localstack())
        self.addCleanup(self.delete_stack)

    def localstack(self) -> LocalStack:
        return test_rds_databases.localstack

    def delete_stack(self) -> None:
        try:
            self.stack.delete()
        except ClientError:
            # The test did it, or it was never made.
            pass

    def instance(self, policy: str | None = "Delete", **more: Any) -> Resources:
        properties = {
            "DBInstanceClass": "db.t3.micro",
            "Engine": "postgres",
            "AllocatedStorage": "20",
            "DBName": self.database,
            "MasterUsername": self.user,
            "ManageMasterUserPassword": "true",
        } | more
        resource = {
            "Type": "AWS::RDS::DBInstance",
            "Properties": {key: value for key, value in properties.items() if value is not None},
        }
        return resource | ({"DeletionPolicy": policy} if policy else {})

    def template(self, outputs: Resources | None = None, **resources: Resources) -> Resources:
        return {
            "Resources": resources,
            "Outputs": {name: {"Value": value} for name, value in (outputs or {}).items()},
        }

    def create(self, template: Resources) -> None:
        status = self.stack.create(template)
        self.assertEqual(status, "CREATE_COMPLETE", self.stack.describe().get("StackStatusReason"))

    def snapshots(self) -> list[str]:
        """Of this test's stack, the cluster's too."""
        found = [each["DBSnapshotIdentifier"] for each in self.rds.describe_db_snapshots()["DBSnapshots"]]
        clusters = self.rds.describe_db_cluster_snapshots()["DBClusterSnapshots"]
        found += [each["DBClusterSnapshotIdentifier"] for each in clusters]
        return [name for name in found if name.startswith(self.stack.name)]


def att(resource: str, attribute: str) -> Resources:
    return {"Fn::GetAtt": [resource, attribute]}


class Instances(InStacks):
    def test_its_attributes_lead_into_the_database(self) -> None:
        names = ("Endpoint.Address", "Endpoint.Port", "MasterUserSecret.SecretArn", "DBInstanceArn", "DbiResourceId")
        outputs = {name.replace(".", ""): att("Db", name) for name in names} | {"Ref": {"Ref": "Db"}}
        self.create(self.template(outputs, Db=self.instance()))
        found = self.stack.outputs()
        self.assertRegex(found["Ref"], rf"^{self.stack.name}-db-[0-9a-f]{{12}}$")
        described = self.rds.describe_db_instances(DBInstanceIdentifier=found["Ref"])["DBInstances"][0]
        self.assertEqual(found["DBInstanceArn"], described["DBInstanceArn"])
        self.assertEqual(found["DbiResourceId"], described["DbiResourceId"])
        self.assertEqual(described["AllocatedStorage"], 20)
        self.assertEqual((found["EndpointAddress"], found["EndpointPort"]), (SERVER.host, str(SERVER.port)))
        credentials = self.credentials_in(found["MasterUserSecretSecretArn"])
        with connected(credentials["username"], credentials["password"], self.database) as run:
            run("SELECT")

    def test_an_update_is_in_place(self) -> None:
        outputs = {"Ref": {"Ref": "Db"}}
        before = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
        self.create(self.template(outputs, Db=self.instance(Tags=before)))
        self.fill()
        name = self.stack.outputs()["Ref"]
        after = [{"Key": "b", "Value": "3"}]
        changed = self.instance(DBInstanceClass="db.t3.large", MaxAllocatedStorage="100", Tags=after)
        self.assertEqual(self.stack.update(self.template(outputs, Db=changed)), "UPDATE_COMPLETE")
        self.assertEqual(self.stack.outputs()["Ref"], name)
        instance = self.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
        self.assertEqual((instance["DBInstanceClass"], instance["MaxAllocatedStorage"]), ("db.t3.large", 100))
        self.assertEqual(instance["TagList"], after)
        self.assert_filled()

    def test_a_replacing_update_fails_and_says_so(self) -> None:
        self.create(self.template(Db=self.instance()))
        self.fill()
        self.assertEqual(self.stack.update(self.template(Db=self.instance(DBName="other"))), "UPDATE_FAILED")
        self.assertRegex(self.stack.reason("UPDATE_FAILED"), "not supported here: a change of DBName replaces")
        self.assert_filled()

    def test_delete_drops_the_database(self) -> None:
        self.create(self.template(Db=self.instance()))
        self.assertEqual(self.stack.delete(), "DELETE_COMPLETE")
        self.assertEqual((self.databases(), self.snapshots()), ([], []))

    def test_retain_keeps_it(self) -> None:
        self.create(self.template(Db=self.instance("Retain")))
        self.assertEqual(self.stack.delete(), "DELETE_COMPLETE")
        self.assertEqual(self.databases(), [self.database])

    def test_a_snapshot_of_a_deleted_stack_restores_in_another(self) -> None:
        for policy in ("Snapshot", None):
            with self.subTest(policy=policy):
                self.stack = Stack(self.localstack())
                self.create(self.template(Db=self.instance(policy)))
                self.fill()
                self.assertEqual(self.stack.delete(), "DELETE_COMPLETE")
                (snapshot,) = self.snapshots()
                self.assertRegex(snapshot, rf"^{self.stack.name}-snapshot-db-[0-9a-f]+$")
                self.assertNotIn(self.database, self.databases())

                self.stack = Stack(self.localstack())
                of = {"DBName": None, "MasterUsername": None, "Engine": None}
                # The call that restores has no MaxAllocatedStorage.
                restored = self.instance(DBSnapshotIdentifier=snapshot, MaxAllocatedStorage="70", **of)
                outputs = {"Secret": att("Db", "MasterUserSecret.SecretArn"), "Ref": {"Ref": "Db"}}
                self.create(self.template(outputs, Db=restored))
                self.assert_filled()
                name = self.stack.outputs()["Ref"]
                instance = self.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
                self.assertEqual(instance["MaxAllocatedStorage"], 70)
                credentials = self.credentials_in(self.stack.outputs()["Secret"])
                self.assertEqual(credentials["username"], self.user)
                with connected(credentials["username"], credentials["password"], self.database) as run:
                    run("SELECT")

                # Once restored, the template may forget from what.
                self.inside("INSERT INTO kept VALUES (8)")
                self.assertEqual(self.stack.update(self.template(outputs, Db=self.instance(**of))), "UPDATE_COMPLETE")
                self.assertEqual(self.inside("SELECT count(*) FROM kept"), [[2]])
                self.assertEqual(self.stack.delete(), "DELETE_COMPLETE")
                self.assertNotIn(self.database, self.databases())

    def test_what_an_update_removes_goes_by_its_policy(self) -> None:
        topic = {"Type": "AWS::SNS::Topic"}
        self.create(self.template(Topic=topic, Db=self.instance("Snapshot")))
        self.assertEqual(self.stack.update(self.template(Topic=topic)), "UPDATE_COMPLETE")
        (snapshot,) = self.snapshots()
        self.assertEqual(self.databases(), [])
        self.rds.delete_db_snapshot(DBSnapshotIdentifier=snapshot)

    def test_an_occupied_name_fails_the_stack_and_leaves_the_other(self) -> None:
        self.create(self.template(Db=self.instance()))
        self.fill()
        first, self.stack = self.stack, Stack(self.localstack())
        self.assertEqual(self.stack.create(self.template(Db=self.instance())), "CREATE_FAILED")
        self.assertRegex(self.stack.reason("CREATE_FAILED"), f'"{self.database}" already exists')
        self.assertEqual(self.stack.delete(), "DELETE_COMPLETE")
        self.assert_filled()
        self.stack = first

    def test_another_stack_s_instance_outlives_a_stack_that_wanted_its_name(self) -> None:
        name = f"named-{self.token}"
        self.create(self.template(Db=self.instance(DBInstanceIdentifier=name)))
        first, self.stack = self.stack, Stack(self.localstack())
        other = self.instance(DBInstanceIdentifier=name, DBName=None)
        self.assertEqual(self.stack.create(self.template(Db=other)), "CREATE_FAILED")
        self.assertEqual(self.stack.delete(), "DELETE_COMPLETE")
        self.assertEqual(self.databases(), [self.database])
        self.stack = first

    def test_a_stack_that_failed_beside_it_deletes_it(self) -> None:
        broken = {"Type": "AWS::RDS::OptionGroup", "DependsOn": "Db", "Properties": {"EngineName": "no-such"}}
        self.assertEqual(self.stack.create(self.template(Db=self.instance(), Broken=broken)), "CREATE_FAILED")
        self.assertEqual(self.databases(), [])
        self.assertEqual(self.stack.delete(), "DELETE_COMPLETE")

    def test_of_a_stack_that_failed_beside_it_retain_alone_keeps_it(self) -> None:
        broken = {"Type": "AWS::RDS::OptionGroup", "DependsOn": "Db", "Properties": {"EngineName": "no-such"}}
        for policy, left in (("RetainExceptOnCreate", []), ("Retain", [self.database])):
            with self.subTest(policy):
                self.stack = Stack(self.localstack())
                instance = self.instance() | {"DeletionPolicy": policy}
                self.assertEqual(self.stack.create(self.template(Db=instance, Broken=broken)), "CREATE_FAILED")
                self.assertEqual(self.databases(), left)
                self.assertEqual(self.stack.delete(), "DELETE_COMPLETE")


class Clusters(InStacks):
    def test_a_cluster_its_member_and_its_groups(self) -> None:
        subnets = [each["SubnetId"] for each in self.localstack().client("ec2").describe_subnets()["Subnets"]][:2]
        description = "of a test"
        family = "aurora-postgresql15"
        template = self.template(
            {
                "Ref": {"Ref": "Cluster"},
                "Address": att("Cluster", "Endpoint.Address"),
                "Port": att("Cluster", "Endpoint.Port"),
                "Read": att("Cluster", "ReadEndpoint.Address"),
                "Secret": att("Cluster", "MasterUserSecret.SecretArn"),
                "Arn": att("Cluster", "DBClusterArn"),
                "ResourceId": att("Cluster", "DBClusterResourceId"),
                "Member": att("Member", "Endpoint.Address"),
            },
            Subnets={
                "Type": "AWS::RDS::DBSubnetGroup",
                "Properties": {"DBSubnetGroupDescription": description, "SubnetIds": subnets},
            },
            Parameters={
                "Type": "AWS::RDS::DBClusterParameterGroup",
                "Properties": {
                    "Description": description,
                    "Family": family,
                    "Parameters": {"log_statement": "ddl"},
                },
            },
            Cluster={
                "Type": "AWS::RDS::DBCluster",
                "DeletionPolicy": "Snapshot",
                "Properties": {
                    "Engine": "aurora-postgresql",
                    "DatabaseName": self.database,
                    "MasterUsername": self.user,
                    "ManageMasterUserPassword": True,
                    "DBSubnetGroupName": {"Ref": "Subnets"},
                    "DBClusterParameterGroupName": {"Ref": "Parameters"},
                },
            },
            Member={
                "Type": "AWS::RDS::DBInstance",
                "Properties": {
                    "DBClusterIdentifier": {"Ref": "Cluster"},
                    "DBInstanceClass": "db.r5.large",
                    "Engine": "aurora-postgresql",
                },
            },
        )
        self.create(template)
        found = self.stack.outputs()
        self.assertEqual((found["Address"], found["Port"]), (SERVER.host, str(SERVER.port)))
        self.assertEqual((found["Read"], found["Member"]), (SERVER.host, SERVER.host))
        cluster = self.rds.describe_db_clusters(DBClusterIdentifier=found["Ref"])["DBClusters"][0]
        self.assertEqual((found["Arn"], found["ResourceId"]), (cluster["DBClusterArn"], cluster["DbClusterResourceId"]))
        self.assertEqual(len(cluster["DBClusterMembers"]), 1)
        self.assertRegex(cluster["DBClusterParameterGroup"], f"^{self.stack.name}-parameters-")
        self.assertRegex(cluster["DBSubnetGroup"], f"^{self.stack.name}-subnets-")
        credentials = self.credentials_in(found["Secret"])
        with connected(credentials["username"], credentials["password"], self.database) as run:
            run("SELECT")

        self.fill()
        template["Resources"]["Member"]["Properties"]["DBInstanceClass"] = "db.r5.xlarge"
        template["Resources"]["Cluster"]["Properties"]["BackupRetentionPeriod"] = "7"
        self.assertEqual(self.stack.update(template), "UPDATE_COMPLETE")
        cluster = self.rds.describe_db_clusters(DBClusterIdentifier=found["Ref"])["DBClusters"][0]
        self.assertEqual(cluster["BackupRetentionPeriod"], 7)
        self.assert_filled()

        self.assertEqual(self.stack.delete(), "DELETE_COMPLETE")
        (snapshot,) = self.snapshots()
        self.assertEqual(self.rds.describe_db_clusters()["DBClusters"], [])
        self.assertEqual(self.databases(), [])

        self.stack = Stack(self.localstack())
        restored = {
            "Type": "AWS::RDS::DBCluster",
            "DeletionPolicy": "Delete",
            "Properties": {"Engine": "aurora-postgresql", "SnapshotIdentifier": snapshot},
        }
        self.create(self.template(Cluster=restored))
        self.assert_filled()
        self.assertEqual(self.stack.delete(), "DELETE_COMPLETE")
        self.assertEqual(self.databases(), [])


class Groups(InStacks):
    def test_groups_come_change_and_go(self) -> None:
        subnets = [each["SubnetId"] for each in self.localstack().client("ec2").describe_subnets()["Subnets"]]
        name = f"Options-{uuid.uuid4().hex[:8]}"

        def template(description: str, ddl: str, count: int) -> Resources:
            return self.template(
                {each: {"Ref": each} for each in ("Parameters", "Subnets", "Options")},
                Parameters={
                    "Type": "AWS::RDS::DBParameterGroup",
                    "Properties": {
                        "Description": description,
                        "Family": "postgres15",
                        "Parameters": {"log_statement": ddl, "max_connections": 50},
                    },
                },
                Subnets={
                    "Type": "AWS::RDS::DBSubnetGroup",
                    "Properties": {"DBSubnetGroupDescription": "d", "SubnetIds": subnets[:count]},
                },
                Options={
                    "Type": "AWS::RDS::OptionGroup",
                    "Properties": {
                        "OptionGroupName": name,
                        "OptionGroupDescription": "d",
                        "EngineName": "postgres",
                        "MajorEngineVersion": "13",
                    },
                },
            )

        def parameters(group: str) -> dict[str, str]:
            found = self.rds.describe_db_parameters(DBParameterGroupName=group)["Parameters"]
            return {each["ParameterName"]: each["ParameterValue"] for each in found}

        self.create(template("one", "ddl", 2))
        first = self.stack.outputs()
        self.assertEqual(first["Options"], name.lower())
        self.assertEqual(parameters(first["Parameters"]), {"log_statement": "ddl", "max_connections": "50"})

        self.assertEqual(self.stack.update(template("one", "all", 3)), "UPDATE_COMPLETE")
        self.assertEqual(self.stack.outputs(), first)
        self.assertEqual(parameters(first["Parameters"])["log_statement"], "all")
        group = self.rds.describe_db_subnet_groups(DBSubnetGroupName=first["Subnets"])["DBSubnetGroups"][0]
        self.assertEqual(len(group["Subnets"]), 3)

        # Another description is another group.
        self.assertEqual(self.stack.update(template("two", "all", 3)), "UPDATE_COMPLETE")
        self.assertNotEqual(self.stack.outputs()["Parameters"], first["Parameters"])
        self.assertEqual(self.stack.delete(), "DELETE_COMPLETE")
        groups = self.rds.describe_db_parameter_groups()["DBParameterGroups"]
        self.assertNotIn(self.stack.name, str(groups))
        self.assertNotIn(self.stack.name, str(self.rds.describe_db_subnet_groups()["DBSubnetGroups"]))
