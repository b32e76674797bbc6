"""The request that a topic receives, and what a template must declare for it. No input or output here."""

import json
import re
from dataclasses import dataclass
from typing import Any

SUBJECT = "AWS CloudFormation custom resource request"
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html
MAX_SERVICE_TIMEOUT_S = 3600

_ARN = re.compile(r"arn:aws[\w-]*:(?P<service>[^:]*):(?P<region>[^:]*):(?P<account>[^:]*):(?P<name>.+)")


class InvalidDeclaration(Exception):
    """The template declares something that no request can be made of."""


@dataclass(frozen=True)
class Resource:
    """One resource of one stack, as CloudFormation names it."""

    stack_id: str
    stack_name: str
    logical_resource_id: str
    resource_type: str
    region: str


@dataclass(frozen=True)
class Request:
    """One request, complete but for the URL: that is a secret, and is added where it is published."""

    resource: Resource
    request_type: str
    request_id: str
    service_token: str
    timeout_s: int
    properties: dict[str, Any]
    old_properties: dict[str, Any] | None = None
    physical_resource_id: str | None = None

    @property
    def response_key(self) -> str:
        """The S3 key of the answer, and the name that CloudFormation's messages give to it."""
        return f"{self.resource.stack_id}|{self.resource.logical_resource_id}|{self.request_id}"

    def message(self, response_url: str) -> str:
        """The JSON text for the topic, in the order of fields that CloudFormation uses."""
        fields: dict[str, Any] = {"RequestType": self.request_type, "ServiceToken": self.service_token}
        if "ServiceTimeout" in self.properties:
            fields["ServiceTimeout"] = self.properties["ServiceTimeout"]
        fields |= {
            "ResponseURL": response_url,
            "StackId": self.resource.stack_id,
            "RequestId": self.request_id,
            "LogicalResourceId": self.resource.logical_resource_id,
        }
        if self.physical_resource_id is not None:
            fields["PhysicalResourceId"] = self.physical_resource_id
        fields |= {"ResourceType": self.resource.resource_type, "ResourceProperties": self.properties}
        if self.old_properties is not None:
            fields["OldResourceProperties"] = self.old_properties
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


def as_strings(value: Any) -> Any:
    """The value with every scalar as text, at every depth: CloudFormation hands properties on like that."""
    match value:
        case dict():
            return {str(key): as_strings(item) for key, item in value.items() if item is not None}
        case list():
            return [as_strings(item) for item in value]
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)


def service_token(properties: dict[str, Any], region: str) -> str:
    """The topic's ARN.

    Raises InvalidDeclaration where it is missing, names no topic, or names one in another region.
    """
    token = properties.get("ServiceToken")
    if not token:
        raise InvalidDeclaration("Missing required property: ServiceToken")
    arn = _ARN.fullmatch(token) if isinstance(token, str) else None
    if arn is None:
        raise InvalidDeclaration(f"Invalid service token: {token} is not an ARN")
    if arn["service"] == "lambda":
        raise InvalidDeclaration(
            f"Invalid service token: {token} is a Lambda function, and localstack-sns-custom-resources calls SNS topics only"
        )
    if arn["service"] != "sns" or ":" in arn["name"]:
        raise InvalidDeclaration(f"Invalid service token: {token} is not the ARN of an SNS topic")
    if arn["region"] != region:
        raise InvalidDeclaration(
            f"Invalid service token: {token} is in {arn['region']}, and must be in the region of the stack, {region}"
        )
    return token


def service_timeout_s(properties: dict[str, Any]) -> int:
    """How long an answer may take, in seconds. Raises InvalidDeclaration where the property is out of range."""
    declared = properties.get("ServiceTimeout", str(MAX_SERVICE_TIMEOUT_S))
    if isinstance(declared, str) and re.fullmatch(r"[0-9]{1,4}", declared):
        if 1 <= int(declared) <= MAX_SERVICE_TIMEOUT_S:
            return int(declared)
    raise InvalidDeclaration(
        f"Invalid ServiceTimeout: {declared} is not an integer from 1 to {MAX_SERVICE_TIMEOUT_S}"
    )
