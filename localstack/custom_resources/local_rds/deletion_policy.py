"""What a stack's template says about the end of a resource. The engine of LocalStack leaves it out of what it asks for."""

from typing import Any

from localstack.aws.api.cloudformation import StackStatus
from localstack.services.cloudformation.resource_provider import ResourceRequest
from localstack.services.cloudformation.stores import get_cloudformation_store

DELETE = "Delete"
SNAPSHOT = "Snapshot"
EXCEPT_ON_CREATE = "RetainExceptOnCreate"
RETAINING = ("Retain", EXCEPT_ON_CREATE)


def deletion_policy(request: ResourceRequest[dict[str, Any]], unsaid: str) -> str:
    """The resource's DeletionPolicy, or `unsaid`. What is in no template was added by an update that failed: it goes."""
    stack = get_cloudformation_store(request.account_id, request.region_name).stacks_v2.get(request.stack_id)
    # During an update this is the template before it, where what is removed still is.
    template = (stack.processed_template or stack.template or {}) if stack else {}
    resource = template.get("Resources", {}).get(request.logical_resource_id)
    policy: str = DELETE if resource is None else resource.get("DeletionPolicy", unsaid)
    # What a creation made that failed is deleted while the stack is still created.
    is_rollback = stack is not None and stack.status == StackStatus.CREATE_IN_PROGRESS
    return DELETE if is_rollback and policy == EXCEPT_ON_CREATE else policy
