"""The end state of a stack in which something failed.

The engine of LocalStack 4.10 reports a failed resource in the stack's events, and then ends a failed `update-stack` in
UPDATE_COMPLETE and a failed `delete-stack` in DELETE_COMPLETE, forgetting what is left; in between it shows end states
that are none. A developer would see success, so this wraps the one method through which every operation goes.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
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
from localstack.services.cloudformation.engine.v2.change_set_model_preproc import (
    MOCKED_REFERENCE,
    ChangeSetModelPreproc,
    PreprocProperties,
)
from localstack.services.cloudformation.v2.entities import Stack
from localstack.utils.patch import patch

from sns_custom_resources.attributes import MissingAttribute
from sns_custom_resources.operations import turn

LOG = logging.getLogger(__name__)

Records = dict[str, Any]


class OperationFailed(Exception):
    """Reports to the engine that the operation failed: it then ends the stack in CREATE_FAILED, UPDATE_FAILED or DELETE_FAILED."""


def correct() -> None:
    """Wraps the engine's execution of an operation; once for the life of the process."""

    @patch(ChangeSetModelExecutor.execute)
    def execute(
        original: Any, executor: ChangeSetModelExecutor
    ) -> ChangeSetModelExecutorResult:
        change_set = executor._change_set
        stack = change_set.stack
        operation = stack.status
        # A change set is executed by other code than create-stack and update-stack: it has no place for an exception.
        by_change_set = change_set.execution_status == ExecutionStatus.EXECUTE_IN_PROGRESS

        is_deletion = operation == StackStatus.DELETE_IN_PROGRESS
        with turn(stack.stack_id, is_deletion=is_deletion):
            before = dict(stack.resolved_resources)
            # The engine took these when it was asked; an operation that went before may have changed them since.
            executor._before_resolved_resources = stack.resolved_resources
            with _no_end_status(stack):
                result = original(executor)
            if is_deletion:
                _end_delete(stack, before, result)
            elif result.failure_message is None:
                _end_success(stack, result)
            elif operation == StackStatus.UPDATE_IN_PROGRESS:
                _end_update(executor, before, result, by_change_set)
            else:
                _end_create(executor, result, by_change_set)
            return result

    @patch(ChangeSetModelPreproc._resolve_attribute)
    def resolve_attribute(
        original: Any, engine: ChangeSetModelPreproc, arguments: str | list[str], select_before: bool
    ) -> Any:
        try:
            return original(engine, arguments=arguments, select_before=select_before)
        except MissingAttribute:
            # The engine evaluates the old template too. What was missing there must not fail the update that mends it.
            if select_before:
                return MOCKED_REFERENCE
            raise


@contextmanager
def _no_end_status(stack: Stack) -> Iterator[None]:
    """Keeps the stack in progress while it is: a client that polls takes the first end status for the result."""
    set_stack_status = stack.set_stack_status

    def set_progress(status: StackStatus, reason: str | None = None) -> None:
        if status.endswith("_IN_PROGRESS"):
            set_stack_status(status, reason)

    stack.set_stack_status = set_progress
    try:
        yield
    finally:
        del stack.set_stack_status  # the method of the class shows again


def _failed_deletions(result: ChangeSetModelExecutorResult) -> list[str]:
    return [
        name
        for name, record in result.resources.items()
        if record.get("ResourceStatus") == ResourceStatus.DELETE_FAILED
    ]


def _end_delete(stack: Stack, before: Records, result: ChangeSetModelExecutorResult) -> None:
    # The engine asks for all that the template has; what a failed creation deleted again is not there.
    failed = [name for name in _failed_deletions(result) if name in before]
    if not failed:
        return
    # What was deleted leaves the records, so that the next attempt asks for the rest only.
    for name in result.resources:
        if name not in failed:
            stack.resolved_resources.pop(name, None)
    stack.status_reason = f"The following resource(s) failed to delete: [{', '.join(failed)}]. "
    raise OperationFailed(stack.status_reason)


def _end_success(stack: Stack, result: ChangeSetModelExecutorResult) -> None:
    """CloudFormation abandons what an update could not delete; the engine would keep it in the stack."""
    for name in _failed_deletions(result):
        del result.resources[name]
        stack.resource_states.pop(name, None)
    # The engine does this itself, but after an update has become visible as complete.
    stack.resolved_resources = result.resources
    stack.resolved_outputs = result.outputs


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
        stack.status_reason = result.failure_message
        raise OperationFailed(result.failure_message)
    result.resources |= {name: record for name, record in before.items() if name not in result.resources}
    change_set.template = stack.template
    change_set.template_body = stack.template_body
    change_set.processed_template = stack.processed_template
    change_set.resolved_parameters = stack.resolved_parameters
    stack.set_stack_status(StackStatus.UPDATE_ROLLBACK_COMPLETE, result.failure_message)


def _remove(executor: ChangeSetModelExecutor, name: str, added: Records) -> None:
    LOG.info("%s was added by an update that failed, and is deleted", name)
    _execute_removal(executor, name, added)


def _execute_removal(executor: ChangeSetModelExecutor, name: str, added: Records) -> None:
    executor._execute_resource_action(
        action=ChangeAction.Remove,
        logical_resource_id=name,
        resource_type=added["Type"],
        before_properties=PreprocProperties(added["Properties"]),
        after_properties=None,
        part_of_replacement=True,
    )


def _roll_back_create(
    executor: ChangeSetModelExecutor, result: ChangeSetModelExecutorResult
) -> None:
    """CloudFormation deletes what a failed creation made, the last first, and keeps what has the DeletionPolicy Retain."""
    template = executor._change_set.template or {}
    for name, record in reversed(list(result.resources.items())):
        if record.get("ResourceStatus") != ResourceStatus.CREATE_COMPLETE:
            continue
        if template.get("Resources", {}).get(name, {}).get("DeletionPolicy") == "Retain":
            LOG.info("%s stays after a creation that failed: DeletionPolicy Retain", name)
        else:
            LOG.info("%s was made by a creation that failed, and is deleted", name)
            _execute_removal(executor, name, record)
        del result.resources[name]
        executor._change_set.stack.resource_states.pop(name, None)


def _end_create(
    executor: ChangeSetModelExecutor, result: ChangeSetModelExecutorResult, by_change_set: bool
) -> None:
    """The engine looks at the resources that were reached; a failure beside them, as of Fn::GetAtt, passes as success."""
    change_set = executor._change_set
    stack = change_set.stack
    _roll_back_create(executor, result)
    stack.resolved_resources = result.resources
    if by_change_set:
        stack.set_stack_status(StackStatus.ROLLBACK_COMPLETE, result.failure_message)
        return
    stack.template = change_set.template
    stack.template_body = change_set.template_body
    stack.resolved_parameters = change_set.resolved_parameters
    stack.status_reason = result.failure_message
    raise OperationFailed(result.failure_message)
