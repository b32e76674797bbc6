"""The bucket where answers arrive: made when first needed, named as CloudFormation names its own.

The presigned URL lets its holder answer for the resource: it goes into the message and nowhere else, never into a log.
"""

import os

import boto3
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError
from localstack import config

# CloudFormation's own lifetime of the URL, counted from publication.
URL_LIFETIME_S = 7200

SIGNATURE_SETTING = "SNS_CUSTOM_RESOURCES_URL_SIGNATURE"
# botocore's names. SigV2 is the default because it signs the Content-Type: a worker that sends one is refused, as on AWS.
_BOTOCORE_SIGNATURES = {"v2": "s3", "v4": "s3v4"}


class ResponseBucket:
    """The bucket of one region, seen by CloudFormation through `s3`, by the worker through a presigned URL."""

    def __init__(self, s3: BaseClient, region: str):
        self._s3 = s3
        self._region = region
        self.name = f"cloudformation-custom-resource-response-{region.replace('-', '')}"

    def ensure(self) -> None:
        """Makes the bucket where it is missing."""
        try:
            self._s3.head_bucket(Bucket=self.name)
        except ClientError:
            where = {} if self._region == "us-east-1" else {
                "CreateBucketConfiguration": {"LocationConstraint": self._region}
            }
            self._s3.create_bucket(Bucket=self.name, **where)

    def presigned_put(self, key: str) -> str:
        """The URL for one answer, at the address that clients outside of LocalStack use."""
        setting = os.environ.get(SIGNATURE_SETTING, "v2")
        if setting not in _BOTOCORE_SIGNATURES:
            raise ValueError(f"{SIGNATURE_SETTING} must be v2 or v4")
        # Not the engine's internal client: its credentials are not those that LocalStack's S3 verifies.
        signer = boto3.client(
            "s3",
            region_name=self._region,
            endpoint_url=config.external_service_url(),
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(
                signature_version=_BOTOCORE_SIGNATURES[setting], s3={"addressing_style": "path"}
            ),
        )
        return signer.generate_presigned_url(
            "put_object", Params={"Bucket": self.name, "Key": key}, ExpiresIn=URL_LIFETIME_S
        )

    def body(self, key: str) -> bytes | None:
        """The answer, or None while there is none."""
        try:
            return self._s3.get_object(Bucket=self.name, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise
