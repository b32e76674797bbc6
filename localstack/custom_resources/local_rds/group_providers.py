"""The providers of subnet groups, parameter groups and option groups."""

from typing import Any

from local_rds.provider import Properties, RdsProvider


class SubnetGroupProvider(RdsProvider):
    """A group of subnets."""

    TYPE = "AWS::RDS::DBSubnetGroup"
    IDENTIFIER = "DBSubnetGroupName"
    NOUN, ANSWER, LIST = "db_subnet_group", "DBSubnetGroup", "DBSubnetGroups"

    def _parameters(self, name: str, properties: Properties) -> Properties:
        parameters = super()._parameters(name, properties)
        subnets = parameters.get("SubnetIds")
        # The engine hands a parameter of the type List<AWS::EC2::Subnet::Id> on as one text.
        return parameters | {"SubnetIds": subnets.split(",") if isinstance(subnets, str) else subnets}

    def call_modify(self, client: Any, name: str, given: Properties, wanted: Properties) -> None:
        # moto's modification forgets the group, and its creation takes the place of what is there.
        client.create_db_subnet_group(**self._parameters(name, wanted))


class ParameterGroupProvider(RdsProvider):
    """A group of parameters. What an update leaves out keeps its value: moto resets nothing."""

    TYPE = "AWS::RDS::DBParameterGroup"
    IDENTIFIER = "DBParameterGroupName"
    NOUN, ANSWER, LIST = "db_parameter_group", "DBParameterGroup", "DBParameterGroups"
    RENAMED = {"Family": "DBParameterGroupFamily"}

    def call_create(self, client: Any, parameters: Properties) -> None:
        # In the template these are a mapping, and the call takes none.
        super().call_create(client, {key: value for key, value in parameters.items() if key != "Parameters"})

    def after_create(self, client: Any, name: str, properties: Properties) -> None:
        self.call_modify(client, name, properties, properties)

    def call_modify(self, client: Any, name: str, given: Properties, wanted: Properties) -> None:
        parameters = [
            {"ParameterName": key, "ParameterValue": str(value), "ApplyMethod": "pending-reboot"}
            for key, value in (given.get("Parameters") or {}).items()
        ]
        if parameters:
            getattr(client, f"modify_{self.NOUN}")(**{self.IDENTIFIER: name, "Parameters": parameters})


class ClusterParameterGroupProvider(ParameterGroupProvider):
    """The same for clusters."""

    TYPE = "AWS::RDS::DBClusterParameterGroup"
    IDENTIFIER = "DBClusterParameterGroupName"
    NOUN, ANSWER, LIST = "db_cluster_parameter_group", "DBClusterParameterGroup", "DBClusterParameterGroups"


class OptionGroupProvider(RdsProvider):
    """A group of options."""

    TYPE = "AWS::RDS::OptionGroup"
    IDENTIFIER = "OptionGroupName"
    NOUN, ANSWER, LIST = "option_group", "OptionGroup", "OptionGroupsList"

    def _parameters(self, name: str, properties: Properties) -> Properties:
        parameters = super()._parameters(name, properties)
        # moto knows no newer.
        newest = {"MajorEngineVersion": "13"} if properties.get("EngineName") == "postgres" else {}
        return parameters | newest

    def after_create(self, client: Any, name: str, properties: Properties) -> None:
        self.call_modify(client, name, properties, properties)

    def call_modify(self, client: Any, name: str, given: Properties, wanted: Properties) -> None:
        if options := given.get("OptionConfigurations"):
            client.modify_option_group(OptionGroupName=name, OptionsToInclude=options, ApplyImmediately=True)
