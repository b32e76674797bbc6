"""What is in the secret that RDS manages: a user and a password, and not where the server is, as on AWS.

It is moto that makes the secret, in the Secrets Manager of LocalStack, which is moto's too; this wraps the one method
that writes its text. Written for the locked version.
"""

import json
from collections.abc import Callable
from typing import Any

from localstack.utils.patch import patch
from moto.rds.models import MasterUserSecret


def hold(credentials: Callable[[Any], dict[str, str]]) -> None:
    """From now on, such a secret holds what `credentials` says of its instance or cluster."""

    @patch(MasterUserSecret._generate_secret_string)
    def _generate_secret_string(_: Callable[..., str], secret: MasterUserSecret) -> str:
        return json.dumps(credentials(secret.resource))
