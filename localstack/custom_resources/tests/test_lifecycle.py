"""The life of a resource: which requests come, with what in them, and what the stack says."""

import threading
import unittest
import urllib.parse
from typing import Any

from tests.support import Answer, LocalStack, Request, Stack, Worker

localstack: LocalStack


def setUpModule() -> None:
    global localstack
    localstack = LocalStack()


def tearDownModule() -> None:
    localstack.stop()


class StackTest(unittest.TestCase):
    def worker(self, answer: Any) -> Worker:
        worker = Worker(localstack, answer)
        self.addCleanup(worker.stop)
        return worker


def template(topic: str, outputs: dict[str, Any] | None = None, **properties: Any) -> dict[str, Any]:
    resource = {
        "Type": "Custom::Plugins",
        "Properties": {"ServiceToken": topic, "ServiceTimeout": 20} | properties,
    }
    outputs = outputs or {"Id": {"Ref": "Install"}}
    return {
        "Resources": {"Install": resource},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }


def fails_on(request_type: str, **fields: Any) -> Any:
    """Answers FAILED to the first request of this type, SUCCESS to all others."""
    failed = []

    def answer(request: Request) -> Answer:
        if request["RequestType"] == request_type and not failed:
            failed.append(request)
            return {"Status": "FAILED", "Reason": "no such plugin"} | fields
        return {}

    return answer


class Create(StackTest):
    def test_the_request_is_shaped_as_on_aws(self) -> None:
        worker = self.worker(lambda _: {})
        stack = Stack(localstack)
        nested = {"On": True, "List": [1, {"Half": 0.5}]}
        self.assertEqual(stack.create(template(worker.topic, Settings=nested)), "CREATE_COMPLETE")

        envelope, request = worker.envelopes[0], worker.requests[0]
        self.assertEqual(envelope["Subject"], "AWS CloudFormation custom resource request")
        stack_id = stack.describe()["StackId"]
        url = urllib.parse.urlsplit(request.pop("ResponseURL"))
        request_id = request.pop("RequestId")
        self.assertEqual(
            request,
            {
                "RequestType": "Create",
                "ServiceToken": worker.topic,
                "ServiceTimeout": "20",
                "StackId": stack_id,
                "LogicalResourceId": "Install",
                "ResourceType": "Custom::Plugins",
                "ResourceProperties": {
                    "ServiceToken": worker.topic,
                    "ServiceTimeout": "20",
                    "Settings": {"On": "true", "List": ["1", {"Half": "0.5"}]},
                },
            },
        )
        self.assertEqual(f"{url.scheme}://{url.netloc}", localstack.endpoint)
        self.assertEqual(
            url.path,
            "/cloudformation-custom-resource-response-useast1/"
            f"{stack_id.replace(':', '%3A')}%7CInstall%7C{request_id}",
        )
        self.assertEqual(
            set(urllib.parse.parse_qs(url.query)), {"AWSAccessKeyId", "Expires", "Signature"}
        )

    def test_ref_and_getatt_read_the_answer(self) -> None:
        worker = self.worker(
            lambda _: {"PhysicalResourceId": "my-id", "Data": {"Name": "pgcrypto", "Count": 2, "Empty": ""}}
        )
        outputs = {"Id": {"Ref": "Install"}} | {
            name: {"Fn::GetAtt": ["Install", name]} for name in ("Name", "Count", "Empty")
        }
        stack = Stack(localstack)
        stack.create(template(worker.topic, outputs))
        self.assertEqual(
            stack.outputs(), {"Id": "my-id", "Name": "pgcrypto", "Count": "2", "Empty": ""}
        )

    def test_a_missing_attribute_fails_the_stack(self) -> None:
        worker = self.worker(lambda _: {"Data": {"Other": "x"}})
        wanted = template(worker.topic, {"Name": {"Fn::GetAtt": ["Install", "Name"]}})
        stack = Stack(localstack)
        self.assertEqual(stack.create(wanted), "CREATE_FAILED")
        reason = stack.describe()["StackStatusReason"]
        self.assertIn("Vendor response doesn't contain Name key in object arn:aws:", reason)
        self.assertIn(f"|Install|{worker.requests[0]['RequestId']} in S3 bucket", reason)
        self.assertEqual(stack.delete(), "DELETE_COMPLETE")
        self.assertEqual(worker.request_types, ["Create", "Delete"])

    def test_a_failed_create_is_deleted_by_the_id_of_its_answer(self) -> None:
        worker = self.worker(fails_on("Create", PhysicalResourceId="half-made"))
        stack = Stack(localstack)
        self.assertEqual(stack.create(template(worker.topic)), "CREATE_FAILED")
        self.assertEqual(
            stack.reason("CREATE_FAILED"),
            "Received response status [FAILED] from custom resource. "
            f"Message returned: no such plugin (RequestId: {worker.requests[0]['RequestId']})",
        )
        self.assertEqual(worker.request_types, ["Create", "Delete"])
        self.assertEqual(worker.requests[1]["PhysicalResourceId"], "half-made")
        self.assertEqual(stack.delete(), "DELETE_COMPLETE")
        self.assertEqual(worker.request_types, ["Create", "Delete"])

    def test_what_a_failed_creation_made_is_deleted_unless_it_is_retained(self) -> None:
        for policy, deleted in (("Delete", True), ("RetainExceptOnCreate", True), ("Retain", False)):
            for by_change_set in (False, True):
                with self.subTest(policy=policy, by_change_set=by_change_set):
                    worker = self.worker(
                        lambda request: {"Status": "FAILED", "Reason": "no"}
                        if request["LogicalResourceId"] == "Install" and request["RequestType"] == "Create"
                        else {}
                    )
                    wanted = template(worker.topic)
                    first = {"Type": "Custom::Other", "Properties": {"ServiceToken": worker.topic}}
                    wanted["Resources"]["First"] = first | {"DeletionPolicy": policy}
                    wanted["Resources"]["Install"]["DependsOn"] = "First"
                    stack = Stack(localstack)
                    if by_change_set:
                        self.assertEqual(stack.deploy(wanted, "CREATE"), "ROLLBACK_COMPLETE")
                    else:
                        self.assertEqual(stack.create(wanted), "CREATE_FAILED")
                    requests = [(r["RequestType"], r["LogicalResourceId"]) for r in worker.requests]
                    expected = [("Create", "First"), ("Create", "Install"), ("Delete", "Install")]
                    self.assertEqual(requests, [*expected, ("Delete", "First")] if deleted else expected)

    def test_a_change_set_ends_a_failed_create_as_aws_does(self) -> None:
        worker = self.worker(fails_on("Create"))
        stack = Stack(localstack)
        self.assertEqual(stack.deploy(template(worker.topic), "CREATE"), "ROLLBACK_COMPLETE")
        self.assertEqual(worker.request_types, ["Create", "Delete"])

    def test_no_answer_in_time_fails_and_is_deleted_by_a_made_up_id(self) -> None:
        worker = self.worker(lambda request: None if request["RequestType"] == "Create" else {})
        stack = Stack(localstack)
        self.assertEqual(stack.create(template(worker.topic, ServiceTimeout=1)), "CREATE_FAILED")
        self.assertIn("did not receive a response", stack.reason("CREATE_FAILED"))
        self.assertIn(worker.requests[0]["RequestId"], stack.reason("CREATE_FAILED"))
        self.assertRegex(
            worker.requests[1]["PhysicalResourceId"], rf"^{stack.name}-Install-[A-Z0-9]{{13}}$"
        )

    def test_a_delete_that_fails_after_a_failed_create_is_asked_again(self) -> None:
        worker = self.worker(
            lambda request: {"Status": "FAILED", "Reason": "busy", "PhysicalResourceId": "half-made"}
        )
        stack = Stack(localstack)
        self.assertEqual(stack.create(template(worker.topic)), "CREATE_FAILED")
        worker.answer = lambda _: {}
        self.assertEqual(stack.delete(), "DELETE_COMPLETE")
        self.assertEqual(worker.request_types, ["Create", "Delete", "Delete"])
        self.assertEqual(worker.requests[2]["PhysicalResourceId"], "half-made")


class Update(StackTest):
    def created(self, answer: Any) -> tuple[Worker, Stack]:
        worker = self.worker(lambda _: {"Data": {"Version": "1"}})
        stack = Stack(localstack)
        outputs = {"Version": {"Fn::GetAtt": ["Install", "Version"]}, "Id": {"Ref": "Install"}}
        self.template = lambda **properties: template(worker.topic, outputs, **properties)
        self.assertEqual(stack.create(self.template(Version=1)), "CREATE_COMPLETE")
        worker.answer = answer
        return worker, stack

    def test_an_update_carries_both_sets_of_properties_and_no_more(self) -> None:
        worker, stack = self.created(lambda _: {"Data": {"Version": "2"}})
        self.assertEqual(stack.update(self.template(Version=2)), "UPDATE_COMPLETE")
        request = worker.requests[1]
        declared = {"ServiceToken": worker.topic, "ServiceTimeout": "20"}
        self.assertEqual(request["RequestType"], "Update")
        self.assertEqual(request["PhysicalResourceId"], "first-id")
        self.assertEqual(request["ResourceProperties"], declared | {"Version": "2"})
        self.assertEqual(request["OldResourceProperties"], declared | {"Version": "1"})
        self.assertEqual(stack.outputs(), {"Id": "first-id", "Version": "2"})

    def test_another_id_replaces_and_the_old_one_is_deleted_with_the_old_properties(self) -> None:
        def answer(request: Request) -> Answer:
            if request["RequestType"] == "Update":
                return {"PhysicalResourceId": "second-id", "Data": {"Version": "2"}}
            return {"Status": "FAILED", "Reason": "abandoned, as on AWS"}

        worker, stack = self.created(answer)
        self.assertEqual(stack.update(self.template(Version=2)), "UPDATE_COMPLETE")
        self.assertEqual(worker.request_types, ["Create", "Update", "Delete"])
        self.assertEqual(worker.requests[2]["PhysicalResourceId"], "first-id")
        self.assertEqual(worker.requests[2]["ResourceProperties"]["Version"], "1")
        self.assertEqual(stack.outputs(), {"Id": "second-id", "Version": "2"})

        worker.answer = lambda _: {}
        self.assertEqual(stack.delete(), "DELETE_COMPLETE")
        self.assertEqual(worker.requests[3]["PhysicalResourceId"], "second-id")
        self.assertEqual(worker.requests[3]["ResourceProperties"]["Version"], "2")

    def test_a_failed_update_is_taken_back(self) -> None:
        for update, end in (
            (Stack.update, "UPDATE_FAILED"),
            (lambda stack, t: stack.deploy(t, "UPDATE"), "UPDATE_ROLLBACK_COMPLETE"),
        ):
            with self.subTest(end):
                worker, stack = self.created(fails_on("Update", PhysicalResourceId="half-made"))
                self.assertEqual(update(stack, self.template(Version=2)), end)
                self.assertIn("no such plugin", stack.reason("UPDATE_FAILED"))
                self.assertEqual(worker.request_types, ["Create", "Update", "Update", "Delete"])
                back, removal = worker.requests[2:]
                self.assertEqual(back["PhysicalResourceId"], "first-id")
                self.assertEqual(back["ResourceProperties"]["Version"], "1")
                self.assertEqual(back["OldResourceProperties"]["Version"], "2")
                self.assertEqual(removal["PhysicalResourceId"], "half-made")

                worker.answer = lambda _: {"Data": {"Version": "2"}}
                self.assertEqual(stack.update(self.template(Version=2)), "UPDATE_COMPLETE")
                self.assertEqual(worker.requests[4]["OldResourceProperties"]["Version"], "1")
                self.assertEqual(stack.outputs(), {"Id": "first-id", "Version": "2"})
                self.assertEqual(stack.delete(), "DELETE_COMPLETE")
                self.assertEqual(worker.request_types[5:], ["Delete"])

    def test_an_attribute_lost_in_an_update_fails_it_and_the_next_can_mend_it(self) -> None:
        worker, stack = self.created(lambda _: {})
        self.assertEqual(stack.update(self.template(Version=2)), "UPDATE_FAILED")
        self.assertIn("doesn't contain Version key", stack.describe()["StackStatusReason"])
        worker.answer = lambda _: {"Data": {"Version": "3"}}
        self.assertEqual(stack.update(self.template(Version=3)), "UPDATE_COMPLETE")
        self.assertEqual(stack.outputs()["Version"], "3")

    def test_what_a_failed_update_added_is_deleted(self) -> None:
        worker, stack = self.created(fails_on("Update"))
        wanted = self.template(Version=2)
        added = {"Type": "Custom::Other", "Properties": {"ServiceToken": worker.topic}}
        wanted["Resources"] = {"Added": added} | wanted["Resources"]
        self.assertEqual(stack.update(wanted), "UPDATE_FAILED")
        self.assertEqual(
            [(r["RequestType"], r["LogicalResourceId"]) for r in worker.requests[1:]],
            [("Create", "Added"), ("Update", "Install"), ("Update", "Install"), ("Delete", "Added")],
        )

    def test_what_an_update_removes_but_cannot_delete_is_abandoned(self) -> None:
        worker, stack = self.created(fails_on("Delete"))
        left = self.template(Version=1)
        whole = self.template(Version=1)
        whole["Resources"]["Other"] = whole["Resources"]["Install"]
        self.assertEqual(stack.update(whole), "UPDATE_COMPLETE")
        self.assertEqual(stack.update(left), "UPDATE_COMPLETE")
        self.assertEqual(stack.delete(), "DELETE_COMPLETE")
        self.assertEqual(
            [r["LogicalResourceId"] for r in worker.requests if r["RequestType"] == "Delete"],
            ["Other", "Install"],
        )

    def test_the_service_token_may_not_change(self) -> None:
        worker, stack = self.created(lambda _: {})
        other = self.worker(lambda _: {})
        self.assertEqual(stack.update(template(other.topic, Version=2)), "UPDATE_FAILED")
        self.assertEqual(
            stack.reason("UPDATE_FAILED"), "Modifying service token is not allowed."
        )
        self.assertEqual(worker.request_types + other.request_types, ["Create"])


class Delete(StackTest):
    def test_a_failed_delete_stops_the_stack_and_can_be_tried_again(self) -> None:
        worker = self.worker(fails_on("Delete"))
        stack = Stack(localstack)
        wanted = template(worker.topic)
        wanted["Resources"]["Other"] = {
            "Type": "Custom::Other",
            "DependsOn": "Install",
            "Properties": {"ServiceToken": worker.topic},
        }
        self.assertEqual(stack.create(wanted), "CREATE_COMPLETE")
        self.assertEqual(stack.delete(), "DELETE_FAILED")
        self.assertIn("no such plugin", stack.reason("DELETE_FAILED"))
        self.assertIn("failed to delete: [Other]", stack.describe()["StackStatusReason"])
        self.assertEqual(stack.delete(), "DELETE_COMPLETE")
        self.assertEqual(
            [r["LogicalResourceId"] for r in worker.requests if r["RequestType"] == "Delete"],
            ["Other", "Install", "Other"],
        )

    def test_a_stack_deleted_during_its_create_deletes_by_a_made_up_id(self) -> None:
        create_received = threading.Event()

        def answer(request: Request) -> Answer:
            if request["RequestType"] == "Delete":
                return {}
            create_received.set()
            return None

        worker = self.worker(answer)
        stack = Stack(localstack)
        wanted = template(worker.topic)
        stack.start_create(wanted)
        self.assertTrue(create_received.wait(10))
        self.assertEqual(stack.delete(), "DELETE_COMPLETE")
        self.assertEqual(worker.request_types, ["Create", "Delete"])
        self.assertRegex(
            worker.requests[1]["PhysicalResourceId"], rf"^{stack.name}-Install-[A-Z0-9]{{13}}$"
        )


if __name__ == "__main__":
    unittest.main()
