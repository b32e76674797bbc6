"""CloudFormation's RDS resources by their types, made with calls to the API of RDS, which LocalStack answers with this package."""

from typing import Any

from local_rds.database_providers import ClusterProvider, InstanceProvider
from local_rds.group_providers import (
    ClusterParameterGroupProvider,
    OptionGroupProvider,
    ParameterGroupProvider,
    SubnetGroupProvider,
)
from local_rds.provider import RdsProvider


def _schema(provider: type[RdsProvider], replacing: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "typeName": provider.TYPE,
        "primaryIdentifier": [f"/properties/{provider.IDENTIFIER}"],
        "createOnlyProperties": [f"/properties/{name}" for name in replacing],
    }


InstanceProvider.SCHEMA = _schema(InstanceProvider)
ClusterProvider.SCHEMA = _schema(ClusterProvider)
SubnetGroupProvider.SCHEMA = _schema(SubnetGroupProvider, ("DBSubnetGroupName",))
ParameterGroupProvider.SCHEMA = _schema(ParameterGroupProvider, ("DBParameterGroupName", "Description", "Family"))
ClusterParameterGroupProvider.SCHEMA = _schema(
    ClusterParameterGroupProvider, ("DBClusterParameterGroupName", "Description", "Family")
)
OptionGroupProvider.SCHEMA = _schema(
    OptionGroupProvider, ("OptionGroupName", "OptionGroupDescription", "EngineName", "MajorEngineVersion")
)

PROVIDERS: dict[str, type[RdsProvider]] = {
    each.TYPE: each
    for each in (
        InstanceProvider,
        ClusterProvider,
        SubnetGroupProvider,
        ParameterGroupProvider,
        ClusterParameterGroupProvider,
        OptionGroupProvider,
    )
}
