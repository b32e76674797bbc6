"""What is in the secret that RDS manages: a user and a password, and not where the server is, as on AWS.

It is moto that makes the secret, in the Secrets Manager of LocalStack, which is moto's too; this wraps the method that
writes its text, and the one that looks its key up. Written for the locked version.
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

    find = MasterUserSecret.kms_key_id.fget

    def kms_key_id(secret: MasterUserSecret) -> str:
        """moto asks its own KMS, which has the default key; all other keys are LocalStack's."""
        key = secret.secret.kms_key_id
        try:
            return find(secret)
        except KeyError:
            backend = secret.resource.backend
            return key if ":" in key else f"arn:aws:kms:{backend.region_name}:{backend.account_id}:key/{key}"

    MasterUserSecret.kms_key_id = property(kms_key_id)
