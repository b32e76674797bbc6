"""One request and its answer: publish, wait, read."""

import logging
import time
import uuid
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import ClientError

from sns_custom_resources.bucket import ResponseBucket
from sns_custom_resources.operations import is_creation_cancelled
from sns_custom_resources.request import (
    SUBJECT,
    InvalidDeclaration,
    Request,
    Resource,
    service_timeout_s,
    service_token,
)
from sns_custom_resources.response import InvalidResponse, Response, read_response
from sns_custom_resources.shown import Shown, showing

LOG = logging.getLogger(__name__)

# Short enough that a quick answer ends the wait at once, and far from loading a LocalStack on a laptop.
POLL_INTERVAL_S = 0.1


class NotSent(Exception):
    """The request could not be published, so no worker received it and there is nothing to undo."""


class Failed(Exception):
    """The request was published and did not succeed; `physical_resource_id` is that of a FAILED answer, if there was one."""

    def __init__(self, reason: str, physical_resource_id: str | None = None):
        super().__init__(reason)
        self.physical_resource_id = physical_resource_id


class Conversation:
    """Asks the topic of one resource. The calls block: the engine runs every stack in a thread of its own."""

    def __init__(self, resource: Resource, sns: BaseClient, bucket: ResponseBucket):
        self.resource = resource
        self.bucket = bucket
        self._sns = sns

    def ask(
        self,
        request_type: str,
        properties: dict[str, Any],
        *,
        shown: Shown,
        physical_resource_id: str | None = None,
        old_properties: dict[str, Any] | None = None,
    ) -> tuple[Request, Response]:
        """Publishes one request and waits for a SUCCESS, while CloudFormation shows `shown`. Raises NotSent, or Failed."""
        with showing(self.resource, shown):
            return self._ask(request_type, properties, physical_resource_id, old_properties)

    def _ask(
        self,
        request_type: str,
        properties: dict[str, Any],
        physical_resource_id: str | None,
        old_properties: dict[str, Any] | None,
    ) -> tuple[Request, Response]:
        try:
            request = Request(
                resource=self.resource,
                request_type=request_type,
                request_id=str(uuid.uuid4()),
                service_token=service_token(properties, self.resource.region),
                timeout_s=service_timeout_s(properties),
                properties=properties,
                old_properties=old_properties,
                physical_resource_id=physical_resource_id,
            )
            self._publish(request)
        except InvalidDeclaration as error:
            raise NotSent(str(error)) from error
        except ClientError as error:
            raise NotSent(
                f"Could not publish to {properties['ServiceToken']}: {error.response['Error']['Message']}"
            ) from error

        LOG.info(
            "%s of %s in %s published as request %s",
            request_type,
            self.resource.logical_resource_id,
            self.resource.stack_name,
            request.request_id,
        )
        response = self._wait(request)
        if response.failure is not None:
            raise Failed(
                "Received response status [FAILED] from custom resource. "
                f"Message returned: {response.failure} (RequestId: {request.request_id})",
                response.physical_resource_id,
            )
        return request, response

    def _publish(self, request: Request) -> None:
        self.bucket.ensure()
        self._sns.publish(
            TopicArn=request.service_token,
            Subject=SUBJECT,
            Message=request.message(self.bucket.presigned_put(request.response_key)),
        )

    def _wait(self, request: Request) -> Response:
        deadline = time.monotonic() + request.timeout_s
        while (body := self.bucket.body(request.response_key)) is None:
            if time.monotonic() >= deadline:
                raise Failed(
                    "CloudFormation did not receive a response from your Custom Resource. "
                    f"Please check your logs for requestId [{request.request_id}]."
                )
            if request.request_type == "Create" and is_creation_cancelled(self.resource.stack_id):
                raise Failed("Resource creation cancelled")
            time.sleep(POLL_INTERVAL_S)
        try:
            return read_response(body, request)
        except InvalidResponse as error:
            raise Failed(f"{error} (RequestId: {request.request_id})") from error
