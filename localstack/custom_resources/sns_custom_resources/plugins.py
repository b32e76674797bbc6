"""The plug-ins that LocalStack finds through the entry points of this package.

LocalStack imports this module at start, and whenever it looks for any resource provider, so nothing of the package
itself is imported before it is used. Another resource type is another class here and another line in pyproject.toml.
"""

from localstack.runtime import hooks
from localstack.services.cloudformation.resource_provider import (
    CloudFormationResourceProviderPlugin,
    ResourceProvider,
)


class CustomResourceProviderPlugin(CloudFormationResourceProviderPlugin):
    """The engine maps every `Custom::*` type to this name before it looks for a plug-in."""

    name = "AWS::CloudFormation::CustomResource"

    def __init__(self) -> None:
        self.factory: type[ResourceProvider] | None = None

    def load(self) -> None:
        from sns_custom_resources.provider import CustomResourceProvider

        self.factory = CustomResourceProvider


# Before services are loaded, where that is done at start: what is wrapped later is not called.
@hooks.on_infra_start(priority=100)
def correct_engine_endings() -> None:
    """At start, for the engine is already at work when it looks for the first provider."""
    from sns_custom_resources import engine_endings, shown

    engine_endings.correct()
    shown.correct()
