"""The engine's calls, answered by the lifecycle.

Each call blocks until the resource is done, instead of asking the engine to come back: it would come back every five
seconds only, and give up after `CFN_PER_RESOURCE_TIMEOUT`, where a custom resource may take an hour.
"""

from collections.abc import Callable
from typing import Any

from localstack.services.cloudformation.resource_provider import (
    OperationStatus,
    ProgressEvent,
    ResourceProvider,
    ResourceRequest,
)

from sns_custom_resources import lifecycle
from sns_custom_resources.attributes import PHYSICAL_RESOURCE_ID_PATH, attributes_of, live_of
from sns_custom_resources.bucket import ResponseBucket
from sns_custom_resources.conversation import Conversation
from sns_custom_resources.lifecycle import Live, ResourceFailed
from sns_custom_resources.request import Resource, as_strings


class CustomResourceProvider(ResourceProvider[dict[str, Any]]):
    """Every `Custom::*` type and `AWS::CloudFormation::CustomResource`."""

    TYPE = "AWS::CloudFormation::CustomResource"
    SCHEMA = {
        "typeName": TYPE,
        "properties": {"ServiceToken": {"type": "string"}, "ServiceTimeout": {"type": "integer"}},
        "required": ["ServiceToken"],
        "primaryIdentifier": [PHYSICAL_RESOURCE_ID_PATH],
        "additionalProperties": True,
    }

    def create(self, request: ResourceRequest[dict[str, Any]]) -> ProgressEvent[dict[str, Any]]:
        """Creates the resource."""
        properties = as_strings(request.desired_state)
        return _finish(request, lambda conversation: lifecycle.create(conversation, properties))

    def update(self, request: ResourceRequest[dict[str, Any]]) -> ProgressEvent[dict[str, Any]]:
        """Updates the resource, or creates it where an earlier Create failed."""
        live = live_of(request.previous_state)
        if live is None:
            return self.create(request)
        properties = as_strings(request.desired_state)
        if properties == live.properties:
            # The engine asks where a resource changed whose attributes are named; CloudFormation compares the values.
            return _finish(request, lambda _: live)
        return _finish(request, lambda conversation: lifecycle.update(conversation, live, properties))

    def delete(self, request: ResourceRequest[dict[str, Any]]) -> ProgressEvent[dict[str, Any]]:
        """Deletes the resource; there is no request to send where its Create failed and was cleaned up."""
        live = live_of(request.desired_state)
        if live is None:
            return ProgressEvent(status=OperationStatus.SUCCESS, resource_model={})
        return _finish(request, lambda conversation: lifecycle.delete(conversation, live))


def _finish(
    request: ResourceRequest[dict[str, Any]], step: Callable[[Conversation], Live | None]
) -> ProgressEvent[dict[str, Any]]:
    """Runs one step of the lifecycle and reports to the engine what is there after it, after a failure too."""
    bucket = ResponseBucket(request.aws_client_factory.s3, request.region_name)
    conversation = Conversation(
        Resource(
            stack_id=request.stack_id,
            stack_name=request.stack_name,
            logical_resource_id=request.logical_resource_id,
            resource_type=request.resource_type,
            region=request.region_name,
        ),
        request.aws_client_factory.sns,
        bucket,
    )
    status, message = OperationStatus.SUCCESS, ""
    try:
        remaining = step(conversation)
    except ResourceFailed as error:
        status, message, remaining = OperationStatus.FAILED, str(error), error.remaining
    return ProgressEvent(
        status=status,
        message=message,
        resource_model=attributes_of(remaining, bucket.name) if remaining else {},
    )
