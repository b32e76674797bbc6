"""What CloudFormation shows of a resource while its request waits, as a worker that verifies requests reads it."""

import unittest
from typing import Any

from botocore.exceptions import ClientError

from tests.support import Answer, LocalStack, Request, Stack, Worker
from tests.test_lifecycle import fails_on, template

localstack: LocalStack


def setUpModule() -> None:
    global localstack
    localstack = LocalStack()


def tearDownModule() -> None:
    localstack.stop()


class Shown(unittest.TestCase):
    def setUp(self) -> None:
        # Of each request: its type, the resource's status and id, the stack's status.
        self.shown: list[tuple[str, str, str | None, str]] = []
        self.cloudformation = localstack.client("cloudformation")

    def worker(self, answer: Any) -> Worker:
        def look_and_answer(request: Request) -> Answer:
            detail = self.resource(request["StackId"], request["LogicalResourceId"])
            self.assertEqual(detail["ResourceType"], request["ResourceType"])
            stack = self.cloudformation.describe_stacks(StackName=request["StackId"])["Stacks"][0]
            self.shown.append(
                (
                    request["RequestType"],
                    detail["ResourceStatus"],
                    detail.get("PhysicalResourceId"),
                    stack["StackStatus"],
                )
            )
            return answer(request)

        worker = Worker(localstack, look_and_answer)
        self.addCleanup(worker.stop)
        return worker

    def resource(self, stack: str, name: str) -> dict[str, Any]:
        return self.cloudformation.describe_stack_resource(StackName=stack, LogicalResourceId=name)[
            "StackResourceDetail"
        ]

    def test_a_replacement_is_cleaned_up_under_the_new_id(self) -> None:
        def answer(request: Request) -> Answer:
            return {"PhysicalResourceId": "second-id"} if request["RequestType"] == "Update" else {}

        worker, stack = self.worker(answer), Stack(localstack)
        stack.create(template(worker.topic))
        stack.update(template(worker.topic, Version=2))
        self.assertEqual(self.resource(stack.name, "Install")["ResourceStatus"], "UPDATE_COMPLETE")
        stack_id = stack.describe()["StackId"]
        stack.delete()
        self.assertEqual(
            self.shown,
            [
                ("Create", "CREATE_IN_PROGRESS", None, "CREATE_IN_PROGRESS"),
                ("Update", "UPDATE_IN_PROGRESS", "first-id", "UPDATE_IN_PROGRESS"),
                ("Delete", "UPDATE_COMPLETE", "second-id", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
                ("Delete", "DELETE_IN_PROGRESS", "second-id", "DELETE_IN_PROGRESS"),
            ],
        )
        self.assertEqual(self.resource(stack_id, "Install")["ResourceStatus"], "DELETE_COMPLETE")

    def test_a_failed_update_is_taken_back_in_a_rollback(self) -> None:
        worker = self.worker(fails_on("Update", PhysicalResourceId="half-made"))
        stack = Stack(localstack)
        stack.create(template(worker.topic))
        stack.update(template(worker.topic, Version=2))
        self.assertEqual(
            self.shown[1:],
            [
                ("Update", "UPDATE_IN_PROGRESS", "first-id", "UPDATE_IN_PROGRESS"),
                ("Update", "UPDATE_IN_PROGRESS", "first-id", "UPDATE_ROLLBACK_IN_PROGRESS"),
                ("Delete", "UPDATE_COMPLETE", "first-id", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"),
            ],
        )

    def test_a_failed_create_is_deleted_by_the_id_of_its_answer(self) -> None:
        worker = self.worker(fails_on("Create", PhysicalResourceId="half-made"))
        Stack(localstack).create(template(worker.topic))
        self.assertEqual(self.shown[1][:3], ("Delete", "DELETE_IN_PROGRESS", "half-made"))

    def test_a_stack_that_is_not_there_is_a_validation_error(self) -> None:
        unknown = "arn:aws:cloudformation:us-east-1:000000000000:stack/unknown/1"
        with self.assertRaises(ClientError) as caught:
            self.resource(unknown, "Install")
        self.assertEqual(caught.exception.response["Error"]["Code"], "ValidationError")
