"""The extensions of a database that is there already, declared with the AWS CDK."""

from collections.abc import Sequence
from typing import Any

from aws_cdk import App, CfnOutput, CfnParameter, CustomResource, DefaultStackSynthesizer, Duration, Stack
from constructs import Construct


class PostgresExtensions(Construct):
    """The extensions of one database."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        worker_topic_arn: str,
        secret: str,
        extensions: Sequence[str | dict[str, str]],
        trigger: str | None = None,
    ) -> None:
        """`trigger` is the engine's version: with another one CloudFormation sends an Update, and "default" follows."""
        super().__init__(scope, construct_id)
        properties: dict[str, Any] = {"DBSecret": secret, "Extensions": list(extensions)}
        if trigger is not None:
            properties["Trigger"] = trigger
        resource = CustomResource(
            self,
            "Resource",
            resource_type="Custom::PostgresExtensions",
            service_token=worker_topic_arn,
            # Longer than a worker takes that scales to zero.
            service_timeout=Duration.minutes(30),
            properties=properties,
        )
        self.installed = resource.get_att_string("Extensions")
        self.changes = resource.get_att_string("Changes")


class ExampleStack(Stack):
    """A stack with them."""

    def __init__(self, scope: Construct, construct_id: str, **arguments: Any) -> None:
        super().__init__(scope, construct_id, **arguments)
        topic = CfnParameter(self, "WorkerTopicArn", description="The TopicArn of the worker's stack.")
        secret = CfnParameter(self, "Database", description="Name or ARN of the secret of the database.")
        extensions = PostgresExtensions(
            self,
            "Extensions",
            worker_topic_arn=topic.value_as_string,
            secret=secret.value_as_string,
            extensions=["pgcrypto", {"Name": "pg_trgm", "Version": "default"}],
            trigger="16.4",
        )
        CfnOutput(self, "Installed", value=extensions.installed)
        CfnOutput(self, "Changes", value=extensions.changes)


app = App()
# There are no assets, so that no bootstrap is needed.
ExampleStack(app, "Example", synthesizer=DefaultStackSynthesizer(generate_bootstrap_version_rule=False))
app.synth()
