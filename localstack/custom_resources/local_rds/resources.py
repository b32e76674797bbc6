"""CloudFormation's RDS resources, made with calls to the API of RDS, which LocalStack answers with this package.

A property goes to the parameter of the same name, where the call has one; what else it is called is written here. A
change that replaces an instance or a cluster on AWS fails: two of them cannot have one database name in one server.
"""

import re
import uuid
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from localstack.services.cloudformation.resource_provider import (
    OperationStatus,
    ProgressEvent,
    ResourceProvider,
    ResourceRequest,
)

from local_rds import deletion_policy

Properties = dict[str, Any]
Request = ResourceRequest[Properties]
Event = ProgressEvent[Properties]

# The properties as the template has them, beside the attributes. No name that Fn::GetAtt can reach.
KEPT = "$properties"
NAME_LENGTH = 63


class NotSupported(Exception):
    """AWS does this, and the plug-in does not."""


class RdsProvider(ResourceProvider[Properties]):
    """What all types have in common; each says what is its own."""

    TYPE: str
    # The property that names the resource, which is also what Ref gives.
    IDENTIFIER: str
    # Of calls and answers: create_db_instance, DBInstance, DBInstances.
    NOUN: str
    ANSWER: str
    LIST: str
    # Properties that a call names otherwise.
    RENAMED: dict[str, str] = {}
    # Without a DeletionPolicy in the template.
    DELETION_POLICY = deletion_policy.DELETE

    def create(self, request: Request) -> Event:
        """Creates the resource."""
        properties = request.desired_state
        name = (properties.get(self.IDENTIFIER) or _made_up_name(request)).lower()
        return _end(lambda: self._make(request, name, properties))

    def update(self, request: Request) -> Event:
        """Changes the resource where it is."""
        previous = request.previous_state or {}
        if KEPT not in previous:
            return self.create(request)
        return _end(lambda: self._change(request, previous[self.IDENTIFIER], previous[KEPT]))

    def delete(self, request: Request) -> Event:
        """Deletes it as its DeletionPolicy says; what was never made, as after a failed creation, is no one's."""
        state = request.desired_state
        if KEPT not in state:
            return ProgressEvent(OperationStatus.SUCCESS, resource_model={})
        policy = deletion_policy.deletion_policy(request, self.unsaid_policy(state[KEPT]))
        if policy in deletion_policy.RETAINING:
            return ProgressEvent(OperationStatus.SUCCESS, resource_model={})
        return _end(lambda: self._remove(request, state, policy))

    def unsaid_policy(self, _: Properties) -> str:
        """The DeletionPolicy of a resource whose template says nothing."""
        return self.DELETION_POLICY

    def _make(self, request: Request, name: str, properties: Properties) -> Properties:
        client = request.aws_client_factory.rds
        self.call_create(client, self._parameters(name, properties))
        try:
            self.after_create(client, name, properties)
        except Exception:
            self.call_delete(client, name, properties, None)
            raise
        return self._model(client, name, properties)

    def _change(self, request: Request, name: str, before: Properties) -> Properties:
        client, wanted = request.aws_client_factory.rds, request.desired_state
        changed = {key for key in {*before, *wanted} if _text(before.get(key)) != _text(wanted.get(key))}
        self.refuse(changed, wanted)
        given = {key: value for key, value in wanted.items() if key in changed and key != "Tags"}
        if given:
            self.call_modify(client, name, given, wanted)
        if "Tags" in changed:
            _retag(client, self._described(client, name)[f"{self.ANSWER}Arn"], before, wanted)
        return self._model(client, name, wanted)

    def _remove(self, request: Request, state: Properties, policy: str) -> Properties:
        final = _final_name(request) if policy == deletion_policy.SNAPSHOT else None
        try:
            self.call_delete(request.aws_client_factory.rds, state[self.IDENTIFIER], state[KEPT], final)
        except ClientError as error:
            # It is done already.
            if "NotFound" not in error.response["Error"]["Code"]:
                raise
        return {}

    def _model(self, client: Any, name: str, properties: Properties) -> Properties:
        return self.attributes(self._described(client, name)) | {self.IDENTIFIER: name, KEPT: properties}

    def _parameters(self, name: str, properties: Properties) -> Properties:
        """LocalStack's client leaves out what the call does not know, and turns "20" and "true" into what they are."""
        return {self.RENAMED.get(key, key): value for key, value in properties.items()} | {self.IDENTIFIER: name}

    def _described(self, client: Any, name: str) -> Properties:
        return getattr(client, f"describe_{self.NOUN}s")(**{self.IDENTIFIER: name})[self.LIST][0]

    def attributes(self, _: Properties) -> Properties:
        """What Fn::GetAtt gives, of an answer."""
        return {}

    def refuse(self, changed: set[str], wanted: Properties) -> None:
        """Raises `NotSupported` where an update cannot be."""

    def call_create(self, client: Any, parameters: Properties) -> None:
        getattr(client, f"create_{self.NOUN}")(**parameters)

    def after_create(self, client: Any, name: str, properties: Properties) -> None:
        """What takes a call of its own."""

    def call_modify(self, client: Any, name: str, given: Properties, wanted: Properties) -> None:
        getattr(client, f"modify_{self.NOUN}")(**self._parameters(name, given))

    def call_delete(self, client: Any, name: str, properties: Properties, final_snapshot: str | None) -> None:
        getattr(client, f"delete_{self.NOUN}")(**{self.IDENTIFIER: name})


def _schema(provider: type[RdsProvider], replacing: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "typeName": provider.TYPE,
        "primaryIdentifier": [f"/properties/{provider.IDENTIFIER}"],
        "createOnlyProperties": [f"/properties/{name}" for name in replacing],
    }


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


class SubnetGroupProvider(RdsProvider):
    """A group of subnets."""

    TYPE = "AWS::RDS::DBSubnetGroup"
    IDENTIFIER = "DBSubnetGroupName"
    NOUN, ANSWER, LIST = "db_subnet_group", "DBSubnetGroup", "DBSubnetGroups"

    def _parameters(self, name: str, properties: Properties) -> Properties:
        parameters = super()._parameters(name, properties)
        subnets = parameters.get("SubnetIds")
        # The engine hands a parameter of the type List<AWS::EC2::Subnet::Id> on as one text.
        return parameters | {"SubnetIds": subnets.split(",") if isinstance(subnets, str) else subnets}

    def call_modify(self, client: Any, name: str, given: Properties, wanted: Properties) -> None:
        # moto's modification forgets the group, and its creation takes the place of what is there.
        client.create_db_subnet_group(**self._parameters(name, wanted))


class ParameterGroupProvider(RdsProvider):
    """A group of parameters. What an update leaves out keeps its value: moto resets nothing."""

    TYPE = "AWS::RDS::DBParameterGroup"
    IDENTIFIER = "DBParameterGroupName"
    NOUN, ANSWER, LIST = "db_parameter_group", "DBParameterGroup", "DBParameterGroups"
    RENAMED = {"Family": "DBParameterGroupFamily"}

    def call_create(self, client: Any, parameters: Properties) -> None:
        # In the template these are a mapping, and the call takes none.
        super().call_create(client, {key: value for key, value in parameters.items() if key != "Parameters"})

    def after_create(self, client: Any, name: str, properties: Properties) -> None:
        self.call_modify(client, name, properties, properties)

    def call_modify(self, client: Any, name: str, given: Properties, wanted: Properties) -> None:
        parameters = [
            {"ParameterName": key, "ParameterValue": str(value), "ApplyMethod": "pending-reboot"}
            for key, value in (given.get("Parameters") or {}).items()
        ]
        if parameters:
            getattr(client, f"modify_{self.NOUN}")(**{self.IDENTIFIER: name, "Parameters": parameters})


class ClusterParameterGroupProvider(ParameterGroupProvider):
    """The same for clusters."""

    TYPE = "AWS::RDS::DBClusterParameterGroup"
    IDENTIFIER = "DBClusterParameterGroupName"
    NOUN, ANSWER, LIST = "db_cluster_parameter_group", "DBClusterParameterGroup", "DBClusterParameterGroups"


class OptionGroupProvider(RdsProvider):
    """A group of options."""

    TYPE = "AWS::RDS::OptionGroup"
    IDENTIFIER = "OptionGroupName"
    NOUN, ANSWER, LIST = "option_group", "OptionGroup", "OptionGroupsList"

    def _parameters(self, name: str, properties: Properties) -> Properties:
        parameters = super()._parameters(name, properties)
        # moto knows no newer.
        newest = {"MajorEngineVersion": "13"} if properties.get("EngineName") == "postgres" else {}
        return parameters | newest

    def after_create(self, client: Any, name: str, properties: Properties) -> None:
        self.call_modify(client, name, properties, properties)

    def call_modify(self, client: Any, name: str, given: Properties, wanted: Properties) -> None:
        if options := given.get("OptionConfigurations"):
            client.modify_option_group(OptionGroupName=name, OptionsToInclude=options, ApplyImmediately=True)


InstanceProvider.SCHEMA = _schema(InstanceProvider)
ClusterProvider.SCHEMA = _schema(ClusterProvider)
SubnetGroupProvider.SCHEMA = _schema(SubnetGroupProvider, ("DBSubnetGroupName",))
ParameterGroupProvider.SCHEMA = _schema(ParameterGroupProvider, ("DBParameterGroupName", "Description", "Family"))
ClusterParameterGroupProvider.SCHEMA = _schema(
    ClusterParameterGroupProvider, ("DBClusterParameterGroupName", "Description", "Family")
)
OptionGroupProvider.SCHEMA = _schema(
    OptionGroupProvider, ("OptionGroupName", "OptionGroupDescription", "EngineName", "MajorEngineVersion")
)

PROVIDERS: dict[str, type[RdsProvider]] = {
    each.TYPE: each
    for each in (
        InstanceProvider,
        ClusterProvider,
        SubnetGroupProvider,
        ParameterGroupProvider,
        ClusterParameterGroupProvider,
        OptionGroupProvider,
    )
}


def _end(step: Callable[[], Properties]) -> Event:
    """Reports to the engine how the step ended: it would not show the text of an exception."""
    try:
        return ProgressEvent(OperationStatus.SUCCESS, resource_model=step())
    except (BotoCoreError, ClientError, NotSupported) as error:
        return ProgressEvent(OperationStatus.FAILED, resource_model={}, message=str(error))


def _ending(final_snapshot: str | None) -> Properties:
    return {"FinalDBSnapshotIdentifier": final_snapshot} if final_snapshot else {"SkipFinalSnapshot": True}


def _made_up_name(request: Request) -> str:
    end = f"-{uuid.uuid4().hex[:12]}"
    start = _as_identifier(f"{request.stack_name}-{request.logical_resource_id}")
    return start[: NAME_LENGTH - len(end)].rstrip("-") + end


def _final_name(request: Request) -> str:
    return _as_identifier(
        f"{request.stack_name}-snapshot-{request.logical_resource_id}-{uuid.uuid4().hex[:12]}"
    )


def _as_identifier(text: str) -> str:
    return re.sub("-+", "-", text.lower())


def _text(value: Any) -> str:
    """As CloudFormation compares: 20 is "20", and true is "true"."""
    if isinstance(value, dict):
        return str({key: _text(each) for key, each in sorted(value.items())})
    if isinstance(value, list):
        return str([_text(each) for each in value])
    return str(value).lower() if isinstance(value, bool) else str(value)


def _retag(client: Any, arn: str, before: Properties, wanted: Properties) -> None:
    keys = {tag["Key"] for tag in wanted.get("Tags") or []}
    if gone := [tag["Key"] for tag in before.get("Tags") or [] if tag["Key"] not in keys]:
        client.remove_tags_from_resource(ResourceName=arn, TagKeys=gone)
    if keys:
        client.add_tags_to_resource(ResourceName=arn, Tags=wanted["Tags"])
