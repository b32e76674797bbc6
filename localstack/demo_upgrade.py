"""An upgrade of the engine, for a person to watch: 20 databases are checked before it, and repaired after it.

`make demo-upgrade` runs this beside LocalStack and PostgreSQL 15, in LocalStack's virtual environment. The server is
upgraded to 17 by pg_upgrade, and listens on the same port afterwards, as an instance of RDS has the same endpoint.
"""

import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

import demo_stacks
import postgres
import postgres_source
from console import Failure
from demo import (
    DATABASE_TEMPLATE,
    REPOSITORY,
    TEMPLATES,
    WORKER_STACK,
    WORKER_TEMPLATE,
    heading,
    run_command,
    say,
    start_worker,
)
from demo_stacks import Parameters, Stacks
from run import Run
from upgrade_cluster import Upgrade
from upgrade_databases import Contents, Databases

VERSION = "17"
# What `extension-worker upgrade-check` exits with where something has to be done before.
EXIT_STEPS = 3
DECLARED = "declared"
RDS_EVENTS_TEMPLATE = (TEMPLATES / "rds-events.yaml").read_text()
# The event of RDS that says that the upgrade of an instance's engine is over.
ENGINE_UPGRADED = "RDS-EVENT-0047"
HEALED_SECONDS = 120.0
POLL_SECONDS = 0.5
# Where the report pages go.
PAGES = Path(os.environ.get("PAGES") or os.environ["RUN_DIR"])

APPLICATION = ["pgcrypto", "citext", "pg_trgm", {"Name": "pg_stat_statements", "Version": "default"}]
SPATIAL = [
    {"Name": name, "Version": "default"} for name in ("postgis", "postgis_raster", "postgis_topology", "postgis_sfcgal")
]
PARTMAN = [{"Name": "pg_partman", "Version": "default", "Schema": "partman", "CreateSchema": True}]
REPACK = [{"Name": "pg_repack", "Version": "default", "OnNoUpdatePath": "Recreate"}]
PLANS = [{"Name": "hypopg", "Version": "default"}]
CRON = [{"Name": "pg_cron", "Version": "default"}]

# One database is where pg_cron has its jobs, and one is that of the instance's own stack.
DATABASES: dict[str, list[Any]] = (
    {f"places{number}": SPATIAL for number in range(1, 5)}
    | {f"events{number}": PARTMAN for number in range(1, 4)}
    | {f"tables{number}": REPACK for number in range(1, 3)}
    | {f"plans{number}": PLANS for number in range(1, 3)}
    | {f"orders{number}": APPLICATION for number in range(1, 8)}
    | {"postgres": CRON}
)
INSTANCE_DATABASE = "app"


def main() -> int:
    """Runs the story; returns the exit code."""
    begun = time.monotonic()
    stacks = Stacks()
    run = Run(Path(os.environ["RUN_DIR"]))
    server = Databases([*DATABASES, INSTANCE_DATABASE])
    upgrade = Upgrade(run, postgres.of_run(run), postgres_source.debian(VERSION, REPOSITORY / ".local"))
    upgrade.set_and_restart({"max_prepared_transactions": "10"})

    heading("The worker, and what publishes the events of RDS to it (templates/worker.yaml, templates/rds-events.yaml)")
    wanted = {"Image": "extension-worker", "DatabaseCidr": stacks.cidr(), "ReadRdsManagedSecrets": "true"}
    outputs = stacks.deploy(WORKER_STACK, WORKER_TEMPLATE, wanted | stacks.network())
    stacks.deploy("rds-events", RDS_EVENTS_TEMPLATE, {"WorkerStackName": WORKER_STACK, "Mode": "Repair"})
    start_worker(outputs)

    heading(f"An instance of RDS with PostgreSQL {server.version()}, and {len(server.names())} databases with extensions")
    instance = deploy_instance(stacks)
    server.create()
    stacks.deploy(DECLARED, json.dumps(declarations(outputs, instance)), {})
    server.fill()
    before = Contents.of(server)
    say(f"extensions: {before.summary()}")

    heading(f"Ready for {VERSION}? extension-worker upgrade-check asks a server that runs it already")
    like = stage(upgrade)
    found = check(outputs, like, "before.html")
    mend(server, found)
    heading("Again: nothing is left to be done before")
    check(outputs, like, "mended.html", expect=0)

    heading(f"pg_upgrade to {VERSION}: the same port, the data in place")
    took = upgrade.to_next()
    say(f"PostgreSQL {server.version()} after {took:.0f} s; extensions: {Contents.of(server).summary()}")

    heading("RDS says that the engine is upgraded; the worker re-syncs the instance")
    healed = heal(server, instance)
    say(f"from the event to the last change: {healed:.1f} s")
    after = Contents.of(server)
    say(f"extensions: {after.summary()}")
    before.compare(after)
    report(outputs, "after.html")

    heading(f"Done in {time.monotonic() - begun:.0f} s: nothing was lost")
    return 0


@dataclass(frozen=True)
class Instance:
    """The instance of RDS."""

    identifier: str
    endpoint: str
    port: str
    secret: str


def deploy_instance(stacks: Stacks) -> Instance:
    """An instance with the database of its own stack."""
    wanted = {
        "WorkerStackName": WORKER_STACK,
        "DBName": INSTANCE_DATABASE,
        "EngineVersion": "15",
        "Extensions": "pgcrypto,pg_trgm",
        "PostGISVersion": "none",
        "DeletionProtection": "false",
    }
    outputs = stacks.deploy("instance", DATABASE_TEMPLATE, wanted | stacks.network())
    return Instance(
        outputs["DBInstanceIdentifier"], outputs["Endpoint"], outputs["Port"], outputs["SecretArn"]
    )


def declarations(outputs: Parameters, instance: Instance) -> dict[str, Any]:
    """A template with a resource for each database."""
    resources = {
        name.capitalize(): {
            "Type": "Custom::PostgresExtensions",
            "Properties": {
                "ServiceToken": outputs["TopicArn"],
                "ServiceTimeout": 300,
                "DBSecret": instance.secret,
                "DBHost": instance.endpoint,
                "DBPort": instance.port,
                "DBName": name,
                "Extensions": extensions,
            },
        }
        for name, extensions in DATABASES.items()
    }
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def stage(upgrade: Upgrade) -> str:
    """Starts a server of the next version, and returns the secret that leads to it."""
    staging = upgrade.start_staging()
    credentials = {
        "host": os.environ["PGHOST"],
        "port": staging.port,
        "dbname": "postgres",
        "username": os.environ["PGUSER"],
        "password": staging.password,
    }
    client("secretsmanager").create_secret(Name="staging", SecretString=json.dumps(credentials))
    return "staging"


def check(outputs: Parameters, like: str, page: str, *, expect: int = EXIT_STEPS) -> list[dict[str, Any]]:
    """Runs the command; returns what it found that has to be done before, with the database of each."""
    arguments = ["upgrade-check", "--to", VERSION, "--like", like, "--instances", "--wait", "--timeout-seconds", "120"]
    say(f"extension-worker {' '.join(arguments)}")
    results = command(outputs, [*arguments, "--json", "--html", str(PAGES / page)], expect)
    found = [finding | {"Database": result.get("Database")} for result in results for finding in result.get("Findings", [])]
    kinds = Counter((finding["Severity"], finding["Code"], finding["Object"]) for finding in found)
    for (severity, code, about), number in sorted(kinds.items()):
        say(f"{severity:<10} {code:<20} {about}{f', in {number} databases' if number > 1 else ''}")
    say(f"the report page is {PAGES / page}")
    return [finding for finding in found if finding["Severity"] in ("Blocks", "StepBefore")]


def mend(server: Databases, found: list[dict[str, Any]]) -> None:
    """Does what each finding says mends it."""
    heading("What has to be done before is done by the statements of the findings")
    for finding in found:
        database = finding["Database"] or "postgres"
        say(f"{database}: {finding['Remedy']}")
        server.mend(database, finding["Remedy"])


def heal(server: Databases, instance: Instance) -> float:
    """Publishes the event of RDS, and waits until every extension has the default version; returns the seconds."""
    described = client("rds").describe_db_instances(DBInstanceIdentifier=instance.identifier)["DBInstances"][0]
    detail = {
        "EventCategories": ["maintenance"],
        "SourceType": "DB_INSTANCE",
        "SourceArn": described["DBInstanceArn"],
        "SourceIdentifier": instance.identifier,
        "Message": "The upgrade of the engine is finished",
        "EventID": ENGINE_UPGRADED,
    }
    entry = {"Source": "aws.rds", "DetailType": "RDS DB Instance Event", "Detail": json.dumps(detail)}
    begun = time.monotonic()
    client("events").put_events(Entries=[entry | {"Resources": [described["DBInstanceArn"]]}])
    while outdated := server.outdated():
        if time.monotonic() - begun > HEALED_SECONDS:
            raise Failure(f"not healed after {HEALED_SECONDS:.0f} s: {outdated}")
        time.sleep(POLL_SECONDS)
    return time.monotonic() - begun


def report(outputs: Parameters, page: str) -> None:
    """Has the worker compare all databases with what is declared, which has to be what they have."""
    arguments = ["resync", "--instances", "--report", "--wait", "--timeout-seconds", "120"]
    say(f"extension-worker {' '.join(arguments)}")
    results = command(outputs, [*arguments, "--json", "--html", str(PAGES / page)], 0)
    say(", ".join(f"{number} {state}" for state, number in Counter(result["State"] for result in results).items()))
    drifted = [result for result in results if result["State"] not in ("InSync", "Unmanaged")]
    if drifted:
        raise Failure(f"not in sync: {drifted}")


def command(outputs: Parameters, arguments: list[str], expect: int) -> list[dict[str, Any]]:
    """Runs the worker's command; returns the results of its report."""
    done = run_command(outputs, [os.environ["WORKER_BINARY"], *arguments])
    if done.returncode != expect:
        raise Failure(f"extension-worker {arguments[0]} exited with {done.returncode}: {done.stdout}")
    results: list[dict[str, Any]] = json.loads(done.stdout)["Results"]
    return results


def client(service: str) -> Any:
    """A client of LocalStack."""
    return boto3.client(service, endpoint_url=os.environ["AWS_ENDPOINT_URL"])


if __name__ == "__main__":
    demo_stacks.say = say
    try:
        sys.exit(main())
    except Failure as failure:
        heading(f"The demo failed: {failure}")
        sys.exit(1)
