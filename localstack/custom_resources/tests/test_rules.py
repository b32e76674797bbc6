"""What is refused: declarations that CloudFormation cannot act on, and answers that break its rules."""

import os
import unittest
import urllib.parse
from unittest import mock

from tests.support import Answer, LocalStack, Request, Stack, Worker
from tests.test_lifecycle import template

localstack: LocalStack


def setUpModule() -> None:
    global localstack
    localstack = LocalStack()


def tearDownModule() -> None:
    localstack.stop()


class Declarations(unittest.TestCase):
    def failure(self, declared: dict) -> str:
        stack = Stack(localstack)
        resource = {"Type": "AWS::CloudFormation::CustomResource", "Properties": declared}
        self.assertEqual(stack.create({"Resources": {"Install": resource}}), "CREATE_FAILED")
        reason = stack.reason("CREATE_FAILED")
        self.assertEqual(stack.delete(), "DELETE_COMPLETE")
        return reason

    def test_a_service_token_is_the_arn_of_a_topic_in_this_region(self) -> None:
        for token, expected in (
            (None, "Missing required property: ServiceToken"),
            ("topic", "is not an ARN"),
            ("arn:aws:lambda:us-east-1:000000000000:function:f", "is a Lambda function"),
            ("arn:aws:sqs:us-east-1:000000000000:queue", "is not the ARN of an SNS topic"),
            ("arn:aws:sns:eu-west-1:000000000000:topic", "must be in the region of the stack, us-east-1"),
            ("arn:aws:sns:us-east-1:000000000000:absent", "Topic does not exist"),
        ):
            with self.subTest(token):
                reason = self.failure({"ServiceToken": token} if token else {"Other": "x"})
                self.assertIn(expected, reason)
                if token:
                    self.assertIn(token, reason)

    def test_a_service_timeout_is_an_integer_from_1_to_3600(self) -> None:
        topic = localstack.client("sns").create_topic(Name="unused")["TopicArn"]
        for timeout in (0, 3601, -1, "soon", 1.5):
            with self.subTest(timeout):
                self.assertIn(
                    f"Invalid ServiceTimeout: {timeout}",
                    self.failure({"ServiceToken": topic, "ServiceTimeout": timeout}),
                )


class Answers(unittest.TestCase):
    def setUp(self) -> None:
        self.worker = Worker(localstack, lambda _: {})
        self.addCleanup(self.worker.stop)

    def test_an_answer_that_breaks_a_rule_fails_the_resource(self) -> None:
        answers: list[tuple[Answer, str]] = [
            ({"Status": "OK"}, "Invalid Status"),
            ({"Status": "FAILED"}, "Invalid Reason"),
            ({"PhysicalResourceId": ""}, "Invalid PhysicalResourceId"),
            ({"PhysicalResourceId": None}, "Invalid PhysicalResourceId"),
            ({"PhysicalResourceId": "é" * 513}, "Invalid PhysicalResourceId"),
            ({"StackId": "other"}, "Invalid StackId"),
            ({"RequestId": "other"}, "Invalid RequestId"),
            ({"LogicalResourceId": "other"}, "Invalid LogicalResourceId"),
            ({"Data": ["x"]}, "Invalid Data"),
            ({"Data": {"Key": "x" * 4096}}, "Response object is too long"),
            (b"{", "Response is not valid JSON"),
            (b"[]", "Response is not a JSON object"),
            (b"", "Response is not valid JSON"),
        ]
        for broken, expected in answers:
            with self.subTest(expected):

                def answer(request: Request) -> Answer:
                    return broken if request["RequestType"] == "Create" else {}

                self.worker.answer = answer
                stack = Stack(localstack)
                self.assertEqual(stack.create(template(self.worker.topic)), "CREATE_FAILED")
                self.assertIn(expected, stack.reason("CREATE_FAILED"))

    def test_an_answer_of_the_greatest_size_is_taken(self) -> None:
        self.worker.answer = lambda _: {
            "PhysicalResourceId": "x" * 1024,
            "Data": {"Key": "y" * 2500},
        }
        stack = Stack(localstack)
        self.assertEqual(stack.create(template(self.worker.topic)), "CREATE_COMPLETE")
        self.assertEqual(stack.outputs()["Id"], "x" * 1024)

    def test_a_content_type_breaks_the_signature(self) -> None:
        self.worker.content_type = "application/json"
        stack = Stack(localstack)
        wanted = template(self.worker.topic, ServiceTimeout=1)
        self.assertEqual(stack.create(wanted), "CREATE_FAILED")
        self.assertEqual(self.worker.put_statuses, [403, 403])

    def test_the_url_is_in_no_log(self) -> None:
        stack = Stack(localstack)
        self.assertEqual(stack.create(template(self.worker.topic)), "CREATE_COMPLETE")
        url = urllib.parse.urlsplit(self.worker.requests[0]["ResponseURL"])
        signature = urllib.parse.parse_qs(url.query)["Signature"][0]
        log = localstack.log.read_text()
        self.assertIn(self.worker.requests[0]["RequestId"], log)
        self.assertNotIn(signature, log)
        self.assertNotIn(urllib.parse.quote(signature, safe=""), log)


class SignatureVersion4(unittest.TestCase):
    def test_it_can_be_chosen(self) -> None:
        with mock.patch.dict(os.environ, SNS_CUSTOM_RESOURCES_URL_SIGNATURE="v4"):
            localstack = LocalStack()
        self.addCleanup(localstack.stop)
        worker = Worker(localstack, lambda _: {})
        self.addCleanup(worker.stop)
        self.assertEqual(Stack(localstack).create(template(worker.topic)), "CREATE_COMPLETE")
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(worker.requests[0]["ResponseURL"]).query)
        self.assertEqual(query["X-Amz-Algorithm"], ["AWS4-HMAC-SHA256"])
        self.assertEqual(query["X-Amz-Expires"], ["7200"])
        self.assertEqual(query["X-Amz-SignedHeaders"], ["host"])


if __name__ == "__main__":
    unittest.main()
