"""The log of requests."""

import json
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from botocore.config import Config
from botocore.exceptions import ClientError
from request_log import calls

from tests.support import LocalStack

AGENT = "aws-sdk-rust/1.3 ua/2.1 api/sqs#1.119 os/linux lang/rust#1.95 app/extension-worker"


class Log(unittest.TestCase):
    def test_each_call_leaves_a_line_with_who_made_it(self) -> None:
        with tempfile.TemporaryDirectory() as place:
            log = Path(place) / "requests.jsonl"
            with mock.patch.dict(os.environ, {"REQUEST_LOG": str(log)}):
                localstack = LocalStack()
            self.addCleanup(localstack.stop)
            localstack.client("sns").list_topics()
            with self.assertRaises(ClientError):
                localstack.client("sqs", Config(user_agent_appid="app-1")).get_queue_url(QueueName="none")
            lines = [json.loads(line) for line in log.read_text().splitlines()]
        self.assertEqual(lines[0], {"service": "sns", "operation": "ListTopics", "app": None, "status": 200})
        self.assertEqual(lines[1], {"service": "sqs", "operation": "GetQueueUrl", "app": "app-1", "status": 400})

    def test_the_app_is_in_either_header(self) -> None:
        for headers in ({"User-Agent": AGENT}, {"User-Agent": "aws-sdk-rust/1.3", "x-amz-user-agent": AGENT}):
            self.assertIn('"app": "extension-worker"', calls.line("sqs", "ReceiveMessage", headers, 200))
        self.assertIn('"app": null', calls.line("sqs", "ReceiveMessage", {"User-Agent": "webapp/1"}, 200))


if __name__ == "__main__":
    unittest.main()
