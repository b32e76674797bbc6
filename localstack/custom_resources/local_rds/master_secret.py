"""What is in the secret that RDS manages: a user and a password, and not where the server is, as on AWS.

It is moto that makes the secret, in the Secrets Manager of LocalStack, which is moto's too; this wraps the one method
that writes its text. Written for the locked version.
"""

import json
from collections.abc import Callable

from localstack.utils.patch import patch
from moto.rds.models import MasterUserSecret

from local_rds.server import Server


def hold_credentials_of(server: Server) -> None:
    """From now on, such a secret opens the server."""
    text = json.dumps({"username": server.user, "password": server.password})

    @patch(MasterUserSecret._generate_secret_string)
    def _generate_secret_string(_: Callable[..., str], __: MasterUserSecret) -> str:
        return text
