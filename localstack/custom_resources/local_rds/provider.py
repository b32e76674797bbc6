"""What the providers of RDS's resources have in common: each step of a resource's lifecycle as a call to the API of RDS.

A property goes to the parameter of the same name, where the call has one; each type says what else it is called. A change
that replaces an instance or a cluster on AWS fails: two of them cannot have one database name in one server.
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


def _end(step: Callable[[], Properties]) -> Event:
    """Reports to the engine how the step ended: it would not show the text of an exception."""
    try:
        return ProgressEvent(OperationStatus.SUCCESS, resource_model=step())
    except (BotoCoreError, ClientError, NotSupported) as error:
        return ProgressEvent(OperationStatus.FAILED, resource_model={}, message=str(error))


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
