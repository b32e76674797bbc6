"""The plug-in that LocalStack finds through the entry point of this package: nothing is logged unless REQUEST_LOG names a
file."""

import os
from typing import Any

from localstack.runtime import hooks


@hooks.on_infra_start()
def log_requests() -> None:
    """Has each answer to a call of AWS leave a line."""
    name = os.environ.get("REQUEST_LOG")
    if not name:
        return
    from localstack.aws import handlers

    from request_log import calls

    # A line at a time: a reader of the file finds what was answered while LocalStack runs.
    log = open(name, "a", buffering=1)  # noqa: SIM115

    def note(_: Any, context: Any, response: Any) -> None:
        if context.service and context.operation:
            operation = context.operation.name
            log.write(calls.line(context.service.service_name, operation, context.request.headers, response.status_code))

    handlers.run_custom_response_handlers.append(note)
