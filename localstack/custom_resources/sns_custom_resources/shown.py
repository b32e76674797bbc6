"""What DescribeStackResource and DescribeStacks show while a request waits for its answer.

The engine shows a resource only after it is done, so a worker that asks CloudFormation whether a request is its own would
find nothing. Here each request leaves what AWS shows meanwhile, and one method of the provider is wrapped to say it.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from localstack.aws.api.cloudformation import (
    DescribeStackResourceOutput,
    StackResourceDetail,
    StackStatus,
)
from localstack.services.cloudformation.engine.validations import ValidationError
from localstack.services.cloudformation.stores import get_cloudformation_store
from localstack.services.cloudformation.v2.provider import CloudformationProviderV2, find_stack_v2
from localstack.utils.patch import patch

from sns_custom_resources.request import Resource

LOG = logging.getLogger(__name__)

# A resource of a stack, by the stack's id and its own name.
_Key = tuple[str, str]


@dataclass(frozen=True)
class Shown:
    """A resource while a request waits. `stack_status` is set where the engine itself shows another than AWS."""

    status: str
    physical_resource_id: str | None = None
    stack_status: str | None = None


@dataclass(frozen=True)
class _Record:
    shown: Shown
    resource_type: str
    since: datetime


_lock = threading.Lock()
# What waits now, and what was deleted: AWS shows that for 90 days. For the life of LocalStack.
_records: dict[_Key, _Record] = {}


@contextmanager
def showing(resource: Resource, shown: Shown) -> Iterator[None]:
    """Has CloudFormation show this until the request is answered; a resource that was deleted is shown so afterwards."""
    key = (resource.stack_id, resource.logical_resource_id)
    record = _Record(shown, resource.resource_type, datetime.now(UTC))
    with _lock:
        before = _records.get(key)
        _records[key] = record
    is_answered = False
    try:
        with _stack_status(resource, shown.stack_status):
            yield
        is_answered = True
    finally:
        with _lock:
            if _records.get(key) is record:
                if is_answered and shown.status == "DELETE_IN_PROGRESS":
                    gone = Shown("DELETE_COMPLETE", shown.physical_resource_id)
                    _records[key] = _Record(gone, resource.resource_type, datetime.now(UTC))
                elif before is not None and before.shown.status.endswith("_IN_PROGRESS"):
                    _records[key] = before
                else:
                    del _records[key]


@contextmanager
def _stack_status(resource: Resource, status: str | None) -> Iterator[None]:
    stack = _stack(resource.stack_id)
    if stack is None or status is None:
        yield
        return
    before = stack.status
    stack.set_stack_status(StackStatus(status))
    try:
        yield
    finally:
        if stack.status == status:
            stack.set_stack_status(before)


def _stack(stack_id: str) -> Any:
    _, _, _, region, account, _ = stack_id.split(":", 5)
    try:
        return find_stack_v2(get_cloudformation_store(account, region), stack_id)
    except KeyError:
        return None


def correct() -> None:
    """Wraps DescribeStackResource; once for the life of the process."""

    @patch(CloudformationProviderV2.describe_stack_resource)
    def describe_stack_resource(
        original: Any, provider: Any, context: Any, *args: Any, **kwargs: Any
    ) -> DescribeStackResourceOutput:
        request = context.service_request
        stack_name, logical_id = request["StackName"], request["LogicalResourceId"]
        store = get_cloudformation_store(context.account_id, context.region)
        try:
            stack = find_stack_v2(store, stack_name)
        except KeyError:
            # The engine would answer an unknown ARN with an internal error.
            raise ValidationError(f"Stack '{stack_name}' does not exist") from None
        with _lock:
            record = _records.get((stack.stack_id, logical_id)) if stack else None
        if record is None:
            return original(provider, context, *args, **kwargs)
        detail = StackResourceDetail(
            StackName=stack.stack_name,
            StackId=stack.stack_id,
            LogicalResourceId=logical_id,
            ResourceType=record.resource_type,
            LastUpdatedTimestamp=record.since,
            ResourceStatus=record.shown.status,
            DriftInformation={"StackResourceDriftStatus": "NOT_CHECKED"},
        )
        if record.shown.physical_resource_id:
            detail["PhysicalResourceId"] = record.shown.physical_resource_id
        return DescribeStackResourceOutput(StackResourceDetail=detail)
