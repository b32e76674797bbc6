"""The comparison of the task role with the calls."""

import copy
import json
import unittest
from typing import Any

import task_role
from cfnlint.decode import cfn_yaml

CALLS = {"sqs:ReceiveMessage", "sns:Publish"}
SILENT = set(task_role.NO_CALLS)


def line(service: str, operation: str, app: str | None = task_role.APP, status: int = 200) -> str:
    return json.dumps({"service": service, "operation": operation, "app": app, "status": status})


class Calls(unittest.TestCase):
    def test_a_batch_needs_the_permission_of_one(self) -> None:
        calls = task_role.called([line("sqs", "DeleteMessageBatch"), line("sqs", "DeleteMessage")])
        self.assertEqual(calls, {"sqs:DeleteMessage": 2})

    def test_a_call_that_failed_counts_and_another_program_s_does_not(self) -> None:
        others = [line("s3", "PutObject", None), line("sns", "Subscribe", "extension-worker-command")]
        calls = task_role.called([*others, line("rds", "DescribeDBInstances", status=403)])
        self.assertEqual(calls, {"rds:DescribeDBInstances": 1})

    def test_a_log_without_workers_is_no_success(self) -> None:
        with self.assertRaisesRegex(task_role.Difference, "no call"):
            task_role.called([line("s3", "PutObject", None)])


class Comparison(unittest.TestCase):
    def test_the_same_is_no_difference_and_some_leave_no_call(self) -> None:
        task_role.compare(CALLS | SILENT, CALLS)

    def test_too_little_is_named(self) -> None:
        with self.assertRaisesRegex(task_role.Difference, "^called, and not allowed: sqs:ReceiveMessage$"):
            task_role.compare({"sns:Publish"} | SILENT, CALLS)

    def test_too_much_is_named(self) -> None:
        with self.assertRaisesRegex(task_role.Difference, "^allowed, and never called: sqs:PurgeQueue$"):
            task_role.compare(CALLS | SILENT | {"sqs:PurgeQueue"}, CALLS)

    def test_what_leaves_no_call_is_missed_too(self) -> None:
        with self.assertRaisesRegex(task_role.Difference, "^needed, and not allowed: rds-db:connect"):
            task_role.compare(CALLS | SILENT - {"rds-db:connect"}, CALLS)


class Role(unittest.TestCase):
    def setUp(self) -> None:
        template: dict[str, Any] = cfn_yaml.load(str(task_role.TEMPLATE))
        self.template = copy.deepcopy(template)
        self.role = self.template["Resources"][task_role.ROLE]["Properties"]
        self.statements = self.role["Policies"][0]["PolicyDocument"]["Statement"]

    def test_what_is_allowed_under_a_condition_is_allowed(self) -> None:
        self.assertTrue(CALLS | {"rds-db:connect", "kms:Decrypt"} <= task_role.allowed(self.template))

    def test_a_wildcard_is_a_fault(self) -> None:
        self.statements.append({"Effect": "Allow", "Action": ["sqs:*"], "Resource": "*"})
        with self.assertRaisesRegex(task_role.Difference, r"sqs:\*"):
            task_role.allowed(self.template)

    def test_a_managed_policy_is_a_fault(self) -> None:
        self.role["ManagedPolicyArns"] = ["arn:aws:iam::aws:policy/AmazonSQSFullAccess"]
        with self.assertRaisesRegex(task_role.Difference, "managed"):
            task_role.allowed(self.template)

    def test_a_denial_is_a_fault(self) -> None:
        self.statements.append({"Effect": "Deny", "Action": "sqs:SendMessage", "Resource": "*"})
        with self.assertRaisesRegex(task_role.Difference, "only what is allowed"):
            task_role.allowed(self.template)


if __name__ == "__main__":
    unittest.main()
