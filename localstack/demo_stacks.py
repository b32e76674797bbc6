"""Stacks, deployed, shown and deleted through CloudFormation."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from console import Failure

Parameters = dict[str, str]

POLL_SECONDS = 0.2
TIMEOUT_SECONDS = 120.0

say: Callable[[str], None] = print


class Stacks:
    """CloudFormation, for as much as the demo needs."""

    def __init__(self) -> None:
        def client(service: str) -> Any:
            return boto3.client(
                service, endpoint_url=os.environ["AWS_ENDPOINT_URL"], config=Config(retries={"max_attempts": 1})
            )

        # By the stacks' names, also of those that are gone.
        self._instances: Parameters = {}
        self._cloudformation = client("cloudformation")
        self._ec2 = client("ec2")
        self._rds = client("rds")

    def network(self) -> Parameters:
        """The default VPC, as the templates' parameters name it."""
        vpc = self._ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        subnets = self._ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
        return {"VpcId": vpc, "SubnetIds": ",".join(subnet["SubnetId"] for subnet in subnets[:2])}

    def cidr(self) -> str:
        """The addresses of the default VPC."""
        return str(self._ec2.describe_vpcs()["Vpcs"][0]["CidrBlock"])

    def instance_class(self, name: str) -> str:
        """What a stack's instance is."""
        return self._rds.describe_db_instances(DBInstanceIdentifier=self._instances[name])["DBInstances"][0][
            "DBInstanceClass"
        ]

    def snapshot_of(self, name: str) -> str:
        """The snapshot that a stack left behind of its instance."""
        snapshots = self._rds.describe_db_snapshots()["DBSnapshots"]
        return next(
            snapshot["DBSnapshotIdentifier"]
            for snapshot in snapshots
            if snapshot["DBInstanceIdentifier"] == self._instances[name]
        )

    def deploy(
        self, name: str, template: str, parameters: Mapping[str, str], *, show_events: bool = False
    ) -> Parameters:
        """Creates or updates a stack and returns its outputs."""
        stack = self._finish(name, self._submit(name, template, parameters), show_events=show_events)
        if not stack["StackStatus"].endswith("_COMPLETE") or "ROLLBACK" in stack["StackStatus"]:
            raise Failure(f"stack {name} is {stack['StackStatus']}: {self._reason(name)}")
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        if "DBInstanceIdentifier" in outputs:
            self._instances[name] = outputs["DBInstanceIdentifier"]
        say(f"{name}: {stack['StackStatus']}")
        for key, value in outputs.items():
            say(f"  {key} = {value}")
        return outputs

    def update_in_vain(self, name: str, template: str, parameters: Mapping[str, str]) -> str:
        """Updates a stack, which must fail, and returns the Reason that CloudFormation shows."""
        before = self._describe(name)
        stack = self._finish(name, self._submit(name, template, parameters), show_events=False)
        if "FAILED" not in stack["StackStatus"] and "ROLLBACK" not in stack["StackStatus"]:
            raise Failure(f"stack {name} should have failed and is {stack['StackStatus']}")
        return self._reason(before["StackId"])

    def delete(self, name: str) -> None:
        """Deletes a stack."""
        stack_id = self._describe(name)["StackId"]
        self._cloudformation.delete_stack(StackName=name)
        stack = self._finish(name, stack_id, show_events=False)
        if stack["StackStatus"] != "DELETE_COMPLETE":
            raise Failure(f"stack {name} is {stack['StackStatus']}: {self._reason(name)}")

    def _submit(self, name: str, template: str, parameters: Mapping[str, str]) -> str:
        """Asks for the stack; returns its id."""
        arguments: dict[str, Any] = {
            "StackName": name,
            "TemplateBody": template,
            "Capabilities": ["CAPABILITY_IAM"],
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        }
        try:
            self._cloudformation.describe_stacks(StackName=name)
        except ClientError:
            return self._cloudformation.create_stack(**arguments)["StackId"]
        return self._cloudformation.update_stack(**arguments)["StackId"]

    def _finish(self, name: str, stack_id: str, *, show_events: bool) -> dict[str, Any]:
        """Waits for the end of what is under way."""
        shown: set[str] = set()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            stack = self._describe(stack_id)
            if show_events:
                self._show_events(stack_id, shown)
            if not stack["StackStatus"].endswith("_IN_PROGRESS"):
                return stack
            if time.monotonic() > deadline:
                raise Failure(f"stack {name} is still {stack['StackStatus']} after {TIMEOUT_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)

    def _describe(self, name: str) -> dict[str, Any]:
        return self._cloudformation.describe_stacks(StackName=name)["Stacks"][0]

    def _show_events(self, stack_id: str, shown: set[str]) -> None:
        events = self._cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]
        for event in reversed(events):
            if event["EventId"] not in shown:
                shown.add(event["EventId"])
                say(f"  {event['LogicalResourceId']:<16} {event['ResourceStatus']}")

    def _reason(self, name: str) -> str:
        """The first resource's failure, as the console shows it."""
        events = self._cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        for event in reversed(events):
            if event["ResourceStatus"].endswith("_FAILED") and event.get("ResourceStatusReason"):
                return event["ResourceStatusReason"]
        return "no reason was given"
