"""The plug-ins that LocalStack finds through the entry points of this package.

LocalStack imports this module whenever it looks for a service, so nothing of the package itself, and nothing of moto, is
imported before it is used.
"""

from localstack.services.cloudformation.resource_provider import (
    CloudFormationResourceProviderPlugin,
    ResourceProvider,
)
from localstack.services.plugins import Service, aws_provider


@aws_provider(api="rds")
def rds() -> Service:
    """The first call to RDS makes it, or the start of LocalStack where `SERVICES` names it."""
    from local_rds import service

    return service.create()


class _ResourcePlugin(CloudFormationResourceProviderPlugin):
    """A type of resource in CloudFormation, under its own name."""

    def __init__(self) -> None:
        self.factory: type[ResourceProvider] | None = None

    def load(self) -> None:
        from local_rds import resources

        self.factory = resources.PROVIDERS[self.name]


class InstancePlugin(_ResourcePlugin):
    name = "AWS::RDS::DBInstance"


class ClusterPlugin(_ResourcePlugin):
    name = "AWS::RDS::DBCluster"


class SubnetGroupPlugin(_ResourcePlugin):
    name = "AWS::RDS::DBSubnetGroup"


class ParameterGroupPlugin(_ResourcePlugin):
    name = "AWS::RDS::DBParameterGroup"


class ClusterParameterGroupPlugin(_ResourcePlugin):
    name = "AWS::RDS::DBClusterParameterGroup"


class OptionGroupPlugin(_ResourcePlugin):
    name = "AWS::RDS::OptionGroup"
