"""Which requests follow each other.

The engine rolls nothing back by itself, so what AWS sends in a rollback is sent here, right after the failure.
"""

import logging
import secrets
import string
from dataclasses import dataclass, field
from typing import Any

from sns_custom_resources.conversation import Conversation, Failed, NotSent
from sns_custom_resources.shown import Shown

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Live:
    """A resource that exists, with the properties and the answer of its last successful request."""

    physical_resource_id: str
    properties: dict[str, Any]
    data: dict[str, Any] = field(default_factory=dict)
    response_key: str = ""


class ResourceFailed(Exception):
    """The resource did not reach the state that was asked for; `remaining` is what is left of it, if anything."""

    def __init__(self, reason: str, remaining: Live | None = None):
        super().__init__(reason)
        self.remaining = remaining


def create(conversation: Conversation, properties: dict[str, Any]) -> Live:
    """Creates the resource; a failed Create is followed by a Delete, so that a half-made one goes."""
    try:
        request, response = conversation.ask(
            "Create", properties, shown=Shown("CREATE_IN_PROGRESS")
        )
    except NotSent as error:
        raise ResourceFailed(str(error)) from error
    except Failed as error:
        reason = str(error)
        half_made = Live(error.physical_resource_id or _placeholder(conversation), properties)
        try:
            delete(conversation, half_made)
        except ResourceFailed as rollback:
            raise ResourceFailed(f"{reason}; the rollback failed too: {rollback}", half_made) from error
        raise ResourceFailed(reason) from error
    return Live(response.physical_resource_id, properties, response.data, request.response_key)


def update(conversation: Conversation, live: Live, properties: dict[str, Any]) -> Live:
    """Updates the resource; a failed Update is followed by one that goes back to the properties before it."""
    if properties.get("ServiceToken") != live.properties.get("ServiceToken"):
        raise ResourceFailed("Modifying service token is not allowed.", live)
    try:
        return _change(conversation, live, properties)
    except NotSent as error:
        raise ResourceFailed(str(error), live) from error
    except Failed as error:
        reason = str(error)
        remaining = live
        try:
            remaining = _change(
                conversation, Live(live.physical_resource_id, properties), live.properties, is_rollback=True
            )
        except (NotSent, Failed) as rollback:
            reason = f"{reason}; the rollback failed too: {rollback}"
        half_made_id = error.physical_resource_id
        if half_made_id not in (None, live.physical_resource_id, remaining.physical_resource_id):
            _clean_up(
                conversation,
                Live(half_made_id, properties),
                remaining.physical_resource_id,
                is_rollback=True,
            )
        raise ResourceFailed(reason, remaining) from error


def delete(conversation: Conversation, live: Live, shown: Shown | None = None) -> None:
    """Deletes the resource. Raises ResourceFailed, and then it remains."""
    try:
        conversation.ask(
            "Delete",
            live.properties,
            shown=shown or Shown("DELETE_IN_PROGRESS", live.physical_resource_id),
            physical_resource_id=live.physical_resource_id,
        )
    except (NotSent, Failed) as error:
        raise ResourceFailed(str(error), live) from error


def _change(
    conversation: Conversation, live: Live, properties: dict[str, Any], *, is_rollback: bool = False
) -> Live:
    """One Update; an answer with another physical id has replaced the resource, so the old one is deleted."""
    request, response = conversation.ask(
        "Update",
        properties,
        shown=Shown(
            "UPDATE_IN_PROGRESS",
            live.physical_resource_id,
            "UPDATE_ROLLBACK_IN_PROGRESS" if is_rollback else None,
        ),
        physical_resource_id=live.physical_resource_id,
        old_properties=live.properties,
    )
    if response.physical_resource_id != live.physical_resource_id:
        _clean_up(conversation, live, response.physical_resource_id, is_rollback=is_rollback)
    return Live(response.physical_resource_id, properties, response.data, request.response_key)


def _clean_up(
    conversation: Conversation, replaced: Live, current_id: str, *, is_rollback: bool
) -> None:
    """Deletes what is no longer part of the stack. CloudFormation abandons what cannot be deleted here, and so does this."""
    cleanup = "UPDATE_ROLLBACK_COMPLETE_CLEANUP" if is_rollback else "UPDATE_COMPLETE_CLEANUP"
    # The resource is complete, under the id that it has now.
    shown = Shown("UPDATE_COMPLETE", current_id, f"{cleanup}_IN_PROGRESS")
    try:
        delete(conversation, replaced, shown)
    except ResourceFailed as error:
        LOG.warning("%s is abandoned: %s", replaced.physical_resource_id, error)


def _placeholder(conversation: Conversation) -> str:
    """The id that CloudFormation makes up for a resource whose Create named none: stack, logical id, 13 characters."""
    suffix = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(13))
    return f"{conversation.resource.stack_name}-{conversation.resource.logical_resource_id}-{suffix}"
