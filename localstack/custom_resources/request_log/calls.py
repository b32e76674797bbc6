"""What a call was, as one line of JSON. No input or output here."""

import json
import re
from collections.abc import Mapping

# What an SDK's user agent says of the program: its app id.
APP = re.compile(r"\bapp/([\w!#$%&'*+.^`|~-]+)")
# SDKs say it in both, or in the second alone.
HEADERS = ("User-Agent", "x-amz-user-agent")


def line(service: str, operation: str, headers: Mapping[str, str], status: int) -> str:
    """`service`, `operation`, `app` (null where the user agent names none) and `status`."""
    found = (APP.search(headers.get(name) or "") for name in HEADERS)
    app = next((match.group(1) for match in found if match), None)
    return json.dumps({"service": service, "operation": operation, "app": app, "status": status}) + "\n"
