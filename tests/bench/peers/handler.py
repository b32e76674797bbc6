"""A custom resource's handler as it is usually written for Lambda, and a loop that stands for Lambda's poller.

What handlers have in common: clients outlive an invocation, a connection to the database does not.
"""

import json
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import psycopg2
from psycopg2 import sql

# Requests that are handled at the same time.
IN_FLIGHT = 8
BATCH = 10
WAIT_SECONDS = 20

SECRETS = boto3.client("secretsmanager")
SECRET: dict[str, Any] = {}


def handler(request: dict[str, Any]) -> None:
    """Handle one request of CloudFormation."""
    properties = request["ResourceProperties"]
    if not SECRET:
        read = SECRETS.get_secret_value(SecretId=properties["DBSecret"])
        SECRET.update(json.loads(read["SecretString"]))
    connection = psycopg2.connect(
        host=SECRET["host"],
        port=properties["DBPort"],
        user=SECRET["username"],
        password=SECRET["password"],
        dbname=properties["DBName"],
    )
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT extname, extversion FROM pg_extension")
            installed = dict(cursor.fetchall())
            for name in properties["Extensions"]:
                if name not in installed:
                    create = sql.SQL("CREATE EXTENSION IF NOT EXISTS {}")
                    cursor.execute(create.format(sql.Identifier(name)))
    finally:
        connection.close()
    respond(request)


def respond(request: dict[str, Any]) -> None:
    """Send the response to where CloudFormation waits for it."""
    response = {
        "Status": "SUCCESS",
        "PhysicalResourceId": request["ResourceProperties"]["DBName"],
        "StackId": request["StackId"],
        "RequestId": request["RequestId"],
        "LogicalResourceId": request["LogicalResourceId"],
    }
    put = urllib.request.Request(request["ResponseURL"], json.dumps(response).encode(), method="PUT")
    urllib.request.urlopen(put).close()


def main(queue: str) -> None:
    """Receive, handle and delete until the process ends."""
    sqs = boto3.client("sqs")

    def process(message: dict[str, Any]) -> None:
        handler(json.loads(message["Body"]))
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        while True:
            received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=BATCH, WaitTimeSeconds=WAIT_SECONDS)
            # What failed ends the program.
            list(threads.map(process, received.get("Messages", [])))


main(sys.argv[1])
