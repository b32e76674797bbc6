"""The rules for an answer. No input or output here.

CloudFormation does not forgive: an answer that breaks a rule fails the resource, whatever its status says.
Rules: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html
"""

import json
from dataclasses import dataclass, field
from typing import Any

from sns_custom_resources.request import Request

MAX_BODY_BYTES = 4096
MAX_PHYSICAL_RESOURCE_ID_BYTES = 1024


class InvalidResponse(Exception):
    """The answer breaks a rule; the text names the field."""


@dataclass(frozen=True)
class Response:
    """An answer that follows the rules. `failure` is the Reason of a FAILED one."""

    physical_resource_id: str
    data: dict[str, Any] = field(default_factory=dict)
    failure: str | None = None


def read_response(body: bytes, request: Request) -> Response:
    """Reads the body of an answer to this request. Raises InvalidResponse."""
    if len(body) > MAX_BODY_BYTES:
        raise InvalidResponse(f"Response object is too long: {len(body)} bytes, at most {MAX_BODY_BYTES}.")
    try:
        fields = json.loads(body)
    except ValueError:
        raise InvalidResponse("Response is not valid JSON.") from None
    if not isinstance(fields, dict):
        raise InvalidResponse("Response is not a JSON object.")

    for name, expected in (
        ("StackId", request.resource.stack_id),
        ("RequestId", request.request_id),
        ("LogicalResourceId", request.resource.logical_resource_id),
    ):
        if fields.get(name) != expected:
            raise InvalidResponse(f"Invalid {name}: the response must repeat the {name} of the request.")

    status = fields.get("Status")
    if status not in ("SUCCESS", "FAILED"):
        raise InvalidResponse("Invalid Status: it must be SUCCESS or FAILED.")
    reason = fields.get("Reason")
    if reason is not None and not isinstance(reason, str):
        raise InvalidResponse("Invalid Reason: it must be a string.")
    if status == "FAILED" and not reason:
        raise InvalidResponse("Invalid Reason: it is required when Status is FAILED.")
    data = fields.get("Data")
    if data is not None and not isinstance(data, dict):
        raise InvalidResponse("Invalid Data: it must be an object.")

    return Response(
        physical_resource_id=_physical_resource_id(fields),
        data=data or {},
        failure=reason if status == "FAILED" else None,
    )


def _physical_resource_id(fields: dict[str, Any]) -> str:
    physical_resource_id = fields.get("PhysicalResourceId")
    if not isinstance(physical_resource_id, str) or not physical_resource_id:
        raise InvalidResponse("Invalid PhysicalResourceId: it must be a non-empty string.")
    if len(physical_resource_id.encode()) > MAX_PHYSICAL_RESOURCE_ID_BYTES:
        raise InvalidResponse(
            f"Invalid PhysicalResourceId: it must be at most {MAX_PHYSICAL_RESOURCE_ID_BYTES} bytes."
        )
    return physical_resource_id
