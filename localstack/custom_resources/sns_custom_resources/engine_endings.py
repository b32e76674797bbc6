"""The end state of a stack in which something failed.

The engine of LocalStack 4.10 reports a failed resource in the stack's events, and then ends a failed `update-stack` in
UPDATE_COMPLETE and a failed `delete-stack` in DELETE_COMPLETE, forgetting what is left. A developer would see success,
so this wraps the one method through which every operation goes. It touches nothing of an operation that succeeds.
"""

import logging
from typing import Any

from localstack.aws.api.cloudformation import (
    ChangeAction,
    ExecutionStatus,
    ResourceStatus,
    StackStatus,
)
from localstack.services.cloudformation.engine.v2.change_set_model_executor import (
    ChangeSetModelExecutor,
    ChangeSetModelExecutorResult,
)
from localstack.services.cloudformation.engine.v2.change_set_model_preproc import PreprocProperties
from localstack.services.cloudformation.v2.entities import Stack
from localstack.utils.patch import patch

LOG = logging.getLogger(__name__)

Records = dict[str, Any]


class OperationFailed(Exception):
    """Tells the engine that the operation failed: it then ends the stack in CREATE_FAILED, UPDATE_FAILED or DELETE_FAILED."""


def correct() -> None:
    """Wraps the engine; once for the life of the process."""

    @patch(ChangeSetModelExecutor.execute)
    def execute(
        original: Any, executor: ChangeSetModelExecutor
    ) -> ChangeSetModelExecutorResult:
        change_set = executor._change_set
        stack = change_set.stack
        operation = stack.status
        before = dict(stack.resolved_resources)
        # A change set is executed by other code than create-stack and update-stack: it has no place for an exception.
        by_change_set = change_set.execution_status == ExecutionStatus.EXECUTE_IN_PROGRESS

        result = original(executor)

        if operation == StackStatus.DELETE_IN_PROGRESS:
            _end_delete(stack)
        elif result.failure_message is None:
            pass
        elif operation == StackStatus.UPDATE_IN_PROGRESS:
            _end_update(executor, before, result, by_change_set)
        elif not by_change_set:
            _end_create(executor, result)
        return result


def _end_delete(stack: Stack) -> None:
    failed = [
        name
        for name, state in stack.resource_states.items()
        if state["ResourceStatus"] == ResourceStatus.DELETE_FAILED
    ]
    if not failed:
        return
    # What was deleted leaves the records, so that the next attempt asks for the rest only.
    stack.resolved_resources = {
        name: record for name, record in stack.resolved_resources.items() if name in stack.resource_states
    }
    reason = f"The following resource(s) failed to delete: [{', '.join(failed)}]. "
    stack.set_stack_status(StackStatus.DELETE_FAILED, reason)
    raise OperationFailed(reason)


def _end_update(
    executor: ChangeSetModelExecutor,
    before: Records,
    result: ChangeSetModelExecutorResult,
    by_change_set: bool,
) -> None:
    """The stack keeps its template, so that the same update can be tried again; what the failed one added goes."""
    change_set = executor._change_set
    stack = change_set.stack
    for name in [name for name in reversed(result.resources) if name not in before]:
        added = result.resources.pop(name)
        if added.get("ResourceStatus") == ResourceStatus.CREATE_COMPLETE:
            _remove(executor, name, added)
        stack.resource_states.pop(name, None)

    for name, record in result.resources.items():
        if record.get("ResourceStatus") == ResourceStatus.UPDATE_FAILED:
            # The failed record has no physical id, and Properties only where the provider knows what remained.
            result.resources[name] = before[name] | {
                "Properties": record.get("Properties") or before[name].get("Properties")
            }
    stack.resolved_resources = before | result.resources

    if not by_change_set:
        stack.set_stack_status(StackStatus.UPDATE_FAILED, result.failure_message)
        raise OperationFailed(result.failure_message)
    result.resources |= {name: record for name, record in before.items() if name not in result.resources}
    change_set.template = stack.template
    change_set.template_body = stack.template_body
    change_set.processed_template = stack.processed_template
    change_set.resolved_parameters = stack.resolved_parameters
    stack.set_stack_status(StackStatus.UPDATE_ROLLBACK_COMPLETE, result.failure_message)


def _remove(executor: ChangeSetModelExecutor, name: str, added: Records) -> None:
    LOG.info("%s was added by an update that failed, and is deleted", name)
    executor._execute_resource_action(
        action=ChangeAction.Remove,
        logical_resource_id=name,
        resource_type=added["Type"],
        before_properties=PreprocProperties(added["Properties"]),
        after_properties=None,
        part_of_replacement=True,
    )


def _end_create(executor: ChangeSetModelExecutor, result: ChangeSetModelExecutorResult) -> None:
    """The engine looks at the resources that were reached; a failure beside them, as of Fn::GetAtt, passes as success."""
    change_set = executor._change_set
    stack = change_set.stack
    stack.resolved_resources = result.resources
    stack.template = change_set.template
    stack.template_body = change_set.template_body
    stack.resolved_parameters = change_set.resolved_parameters
    stack.set_stack_status(StackStatus.CREATE_FAILED, result.failure_message)
    raise OperationFailed(result.failure_message)
