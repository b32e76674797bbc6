#!/usr/bin/env python3
"""Runs what the manual says can be run: the README's YAML as a stack, and each block of commands with the mark `run`.

Needs the services, their Python, and WORKER_BINARY. The services stand for `make demo KEEP=1`: its lines, and those that
read its variables, are left out. Exit code 1 and the block where one fails.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pages
from pages import REPOSITORY, Block

sys.path.insert(0, str(REPOSITORY / "localstack"))

import boto3  # noqa: E402
import demo  # noqa: E402
import pg8000.native  # noqa: E402
from console import Failure  # noqa: E402
from demo_stacks import Parameters, Stacks  # noqa: E402

BLOCK_SECONDS = 120
# What the services have done already.
DONE = re.compile(r"^(make demo( KEEP=1)?|make demo-stop|\. /tmp/extension-worker-demo/env)\s*(#.*)?$")
# A re-sync that finds drift exits with 3, which is a result.
PREAMBLE = """extension-worker() { command extension-worker "$@" || test $? = 3; }\n"""
# A version that no server has.
IMPOSSIBLE = "3.0.3"


def main() -> int:
    """Runs all; returns the exit code."""
    stacks, server = Stacks(), demo.Server()
    wanted = {"Image": "extension-worker", "DatabaseCidr": stacks.cidr(), "ReadRdsManagedSecrets": "true"}
    outputs = stacks.deploy(demo.WORKER_STACK, demo.WORKER_TEMPLATE, wanted | stacks.network())
    demo.start_worker(outputs)
    make_databases(server)
    spatial = server.spatial_extension()
    check_first_yaml(stacks, server, spatial)
    if spatial.is_postgis:
        check_reason(stacks, outputs)
    ran = 0
    with tempfile.TemporaryDirectory() as place:
        environment = prepare(Path(place), outputs)
        for page, text in pages.pages().items():
            for block in pages.blocks(page, text):
                if block.mark == "run":
                    run(block, Path(place), environment)
                    ran += 1
    print(f"{ran} blocks of commands were run")
    return 0 if ran else 1


def make_databases(server: demo.Server) -> None:
    """The databases and secrets that the pages name, and an instance of RDS."""
    secrets = client("secretsmanager")
    for secret, database in (("demo1", "demo1"), ("demo3", "demo3"), ("prod/orders", "orders")):
        server.create_database(database)
        login = {key.lower(): value for key, value in server.credentials().items()}
        secrets.create_secret(Name=secret, SecretString=json.dumps(login | {"dbname": database}))
    client("rds").create_db_instance(
        DBInstanceIdentifier="prod-1",
        DBInstanceClass="db.t4g.micro",
        AllocatedStorage=20,
        Engine="postgres",
        MasterUsername="boss",
        ManageMasterUserPassword=True,
        Tags=[{"Key": "env", "Value": "prod"}],
    )


def check_first_yaml(stacks: Stacks, server: demo.Server, spatial: demo.Spatial) -> None:
    """Deploys the README's resource as it is printed there, beside a secret."""
    server.create_database("first")
    login = {key.lower(): value for key, value in server.credentials().items()} | {"dbname": "first"}
    secret = {"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": json.dumps(login)}}
    template = f"Resources:\n  DatabaseSecret: {json.dumps(secret)}\n{first_yaml()}"
    stacks.deploy("first", template.replace("postgis", spatial.name.lower()), {})
    installed = server.extensions("first")
    for expected in (spatial.name.lower(), "pgcrypto 1.3"):
        if expected not in installed:
            raise Failure(f"README.md: the resource was created, and the database has {installed}")


def check_reason(stacks: Stacks, outputs: Parameters) -> None:
    """The Reason that the README shows is the one that a stack's events show, but for ids and versions of this server."""
    properties = {
        "ServiceToken": outputs["TopicArn"],
        "DBSecret": "demo1",
        "Extensions": [{"Name": "postgis", "Version": IMPOSSIBLE}],
    }
    resource = {"Type": "Custom::PostgresExtensions", "Properties": properties}
    try:
        stacks.deploy("wrong", json.dumps({"Resources": {"Extensions": resource}}), {})
    except Failure as failure:
        shown = pattern_of(quoted_reason())
        if not re.search(shown, str(failure)):
            raise Failure(f"README.md shows a Reason that is not this one: {failure}") from None
        return
    raise Failure(f"a stack that declares postgis {IMPOSSIBLE} succeeded")


def first_yaml() -> str:
    """The first block of the README."""
    return next(block.text for block in pages.blocks("README.md", (REPOSITORY / "README.md").read_text()))


def quoted_reason() -> str:
    """The README's only quotation, in one line."""
    lines = (REPOSITORY / "README.md").read_text().splitlines()
    return " ".join(line.removeprefix("> ") for line in lines if line.startswith("> "))


def pattern_of(reason: str) -> str:
    """What the Reason looks like with another database, other versions and another request."""
    variable = {
        "demo2": r"\w+",
        "PostgreSQL 15.18": r"PostgreSQL [0-9.]+",
        "3.3.2, 3.3.2next": r"[\w.]+(?:, [\w.]+)*",
        "3.3.*": r"[0-9]+\.[0-9]+\.\*",
        reason.rpartition("RequestId: ")[2].rstrip(")"): r"[0-9a-f-]+",
    }
    pattern = re.escape(reason)
    for shown, other in variable.items():
        if shown not in reason:
            raise Failure(f"README.md shows a Reason without {shown}")
        pattern = pattern.replace(re.escape(shown), other)
    return pattern


def prepare(place: Path, outputs: Parameters) -> dict[str, str]:
    """A directory with what the pages take to be there, and the variables that they name."""
    (place / "templates").symlink_to(REPOSITORY / "templates")
    programs = place / "bin"
    programs.mkdir()
    (programs / "extension-worker").symlink_to(os.environ["WORKER_BINARY"])
    return os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "WORKER_TOPIC_ARN": outputs["ResyncTopicArn"],
        "WORKER_RESULTS_TOPIC_ARN": outputs["ResultsTopicArn"],
    }


def run(block: Block, place: Path, environment: dict[str, str]) -> None:
    """Runs one block, by a shell, or in a database."""
    print(f"== {block.place}", flush=True)
    if block.language == "sql":
        query(block)
        return
    lines = [line for line in block.text.splitlines() if not DONE.match(line)]
    shell = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", PREAMBLE + "\n".join(lines)],
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        code = shell.wait(BLOCK_SECONDS)
    except subprocess.TimeoutExpired:
        shell.kill()
        raise Failure(f"{block.place}: not over after {BLOCK_SECONDS} s") from None
    if code:
        raise Failure(f"{block.place}: exit code {code}")


def query(block: Block) -> None:
    """Runs statements in a database with a ledger."""
    connection = pg8000.native.Connection(
        os.environ["PGUSER"], os.environ["PGHOST"], "demo1", int(os.environ["PGPORT"]), os.environ["PGPASSWORD"]
    )
    try:
        for statement in block.text.split(";"):
            if statement.strip():
                print(connection.run(statement))
    finally:
        connection.close()


def client(service: str) -> Any:
    """A client of LocalStack."""
    return boto3.client(service, endpoint_url=os.environ["AWS_ENDPOINT_URL"])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"== failed: {failure}", flush=True)
        sys.exit(1)
