"""A LocalStack process, and a worker that answers the requests of one topic. Traffic stays on the loopback address."""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError

REGION = "us-east-1"
START_TIMEOUT_S = 60
STACK_TIMEOUT_S = 30

Request = dict[str, Any]
# What to answer: the fields that differ from a plain SUCCESS, the raw body, or None for no answer at all.
Answer = dict[str, Any] | bytes | None


class LocalStack:
    """One LocalStack on a free port, with the packages of the Python that runs the tests."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._volume = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.log = Path(self._volume.name) / "localstack.log"
        environment = os.environ | {
            "GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
            "LOCALSTACK_HOST": f"127.0.0.1:{self.port}",
            "LOCALSTACK_VOLUME_DIR": self._volume.name,
            "DISABLE_EVENTS": "1",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            # Nothing here reads the metrics of the queues, which take the emulator as long as the messages.
            "SQS_DISABLE_CLOUDWATCH_METRICS": "1",
            "DNS_ADDRESS": "0",
            "SQS_ENDPOINT_STRATEGY": "path",
            "S3_SKIP_SIGNATURE_VALIDATION": "0",
            "DEBUG": "1",
            # LocalStack remembers the plug-ins that it found here, for two minutes even if they changed.
            "XDG_CACHE_HOME": self._volume.name,
        }
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "localstack.runtime.main"],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        self._await_ready()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.endpoint}/_localstack/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        log = self.log.read_text()
        self.stop()
        raise RuntimeError(f"LocalStack did not start:\n{log}")

    def client(self, service: str, config: Config | None = None) -> BaseClient:
        """A client of this LocalStack."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=config,
        )

    def stop(self) -> None:
        """Ends the process and forgets its files."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._volume.cleanup()


class Worker:
    """The other end of the topic: keeps every request, and answers with what `answer` returns for it."""

    def __init__(self, localstack: LocalStack, answer: Callable[[Request], Answer]):
        self.envelopes: list[dict[str, Any]] = []
        self.requests: list[Request] = []
        self.answer = answer
        self.put_statuses: list[int] = []
        self.content_type: str | None = None
        self._sqs = localstack.client("sqs")
        sns = localstack.client("sns")
        name = f"worker-{uuid.uuid4()}"
        self.topic: str = sns.create_topic(Name=name)["TopicArn"]
        self._queue: str = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        queue_arn = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])
        sns.subscribe(
            TopicArn=self.topic, Protocol="sqs", Endpoint=queue_arn["Attributes"]["QueueArn"]
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def request_types(self) -> list[str]:
        """The requests so far, in order."""
        return [request["RequestType"] for request in self.requests]

    def stop(self) -> None:
        """Stops to answer."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            received = self._sqs.receive_message(QueueUrl=self._queue, WaitTimeSeconds=1)
            for message in received.get("Messages", []):
                self._sqs.delete_message(
                    QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"]
                )
                envelope = json.loads(message["Body"])
                request = json.loads(envelope["Message"])
                self.envelopes.append(envelope)
                self.requests.append(request)
                self._respond(request)

    def _respond(self, request: Request) -> None:
        answer = self.answer(request)
        if answer is None:
            return
        if isinstance(answer, dict):
            fields = {
                "Status": "SUCCESS",
                "PhysicalResourceId": request.get("PhysicalResourceId", "first-id"),
                "StackId": request["StackId"],
                "RequestId": request["RequestId"],
                "LogicalResourceId": request["LogicalResourceId"],
            }
            answer = json.dumps(fields | answer).encode()
        url = urllib.parse.urlsplit(request["ResponseURL"])
        connection = http.client.HTTPConnection(url.netloc, timeout=5)
        headers = {} if self.content_type is None else {"Content-Type": self.content_type}
        connection.request("PUT", f"{url.path}?{url.query}", body=answer, headers=headers)
        self.put_statuses.append(connection.getresponse().status)
        connection.close()


class Stack:
    """One stack, followed until the engine is done with it."""

    def __init__(self, localstack: LocalStack):
        self.name = f"stack-{uuid.uuid4().hex[:8]}"
        self._cloudformation = localstack.client("cloudformation")

    def create(self, template: dict[str, Any]) -> str:
        """Creates it, and returns the status in which it ends."""
        self.start_create(template)
        return self._end_status()

    def update(self, template: dict[str, Any]) -> str:
        """Updates it, and returns the status in which it ends."""
        self._cloudformation.update_stack(StackName=self.name, TemplateBody=json.dumps(template))
        return self._end_status()

    def deploy(self, template: dict[str, Any], change_set_type: str) -> str:
        """Creates or updates it through a change set, as `aws cloudformation deploy` does."""
        change_set = self._cloudformation.create_change_set(
            StackName=self.name,
            ChangeSetName=f"changes-{uuid.uuid4().hex[:8]}",
            ChangeSetType=change_set_type,
            TemplateBody=json.dumps(template),
        )["Id"]
        self._cloudformation.get_waiter("change_set_create_complete").wait(
            ChangeSetName=change_set, WaiterConfig={"Delay": 1}
        )
        self._cloudformation.execute_change_set(ChangeSetName=change_set)
        return self._end_status()

    def delete(self) -> str:
        """Deletes it, and returns the status in which it ends."""
        self._stack_id: str = self.describe()["StackId"]
        self._cloudformation.delete_stack(StackName=self.name)
        # What was under way may end first, and its end be seen for a moment.
        return self._end_status(self._stack_id, of="DELETE_")

    def start_create(self, template: dict[str, Any]) -> None:
        """Asks for it without waiting."""
        self._cloudformation.create_stack(StackName=self.name, TemplateBody=json.dumps(template))

    def describe(self, name_or_id: str | None = None) -> dict[str, Any]:
        """The description of the stack."""
        return self._cloudformation.describe_stacks(StackName=name_or_id or self.name)["Stacks"][0]

    def outputs(self) -> dict[str, str]:
        """The stack's outputs."""
        return {o["OutputKey"]: o["OutputValue"] for o in self.describe().get("Outputs", [])}

    def reason(self, resource_status: str) -> str:
        """The newest reason that was given for this status of a resource."""
        events = self._cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        return next(
            event["ResourceStatusReason"]
            for event in events
            if event["ResourceStatus"] == resource_status and "ResourceStatusReason" in event
        )

    def _end_status(self, name_or_id: str | None = None, of: str = "") -> str:
        deadline = time.monotonic() + STACK_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                status = self.describe(name_or_id)["StackStatus"]
            except ClientError:
                return "DELETE_COMPLETE"
            if status.startswith(of) and not status.endswith("_IN_PROGRESS"):
                return status
            time.sleep(0.05)
        raise TimeoutError(f"{self.name} stayed in {status}")
