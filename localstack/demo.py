"""The main job, for a person to watch: stacks that declare extensions, and databases that then have them.

`make demo` runs this beside LocalStack and PostgreSQL, in LocalStack's virtual environment.
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pg8000.native

import demo_stacks
from console import Failure
from demo_stacks import Parameters, Stacks
from run import Run

REPOSITORY = Path(__file__).resolve().parent.parent
TEMPLATES = REPOSITORY / "templates"
WORKER = "worker"
# What `extension-worker resync` exits with where a database is not as declared.
EXIT_DRIFT = 3
WORKER_STACK = "extension-worker"
WORKER_TEMPLATE = (TEMPLATES / "worker.yaml").read_text()
DATABASE_TEMPLATE = (TEMPLATES / "database.yaml").read_text()
OLDER_TEMPLATE = Path(__file__).with_name("demo.yaml")
KEEP = os.environ.get("KEEP", "") not in ("", "0")


def main() -> int:
    """Runs the demo; returns the exit code."""
    begun = time.monotonic()
    stacks = Stacks()
    server = Server()

    heading("Deploying the worker's stack (templates/worker.yaml)")
    wanted = {"Image": "extension-worker", "DatabaseCidr": stacks.cidr(), "ReadRdsManagedSecrets": "true"}
    outputs = stacks.deploy(WORKER_STACK, WORKER_TEMPLATE, wanted | stacks.network())
    log = start_worker(outputs)
    say(f"the worker runs beside ECS, which this LocalStack lacks; its log is {log}" if KEEP else "worker started")

    spatial = server.spatial_extension()
    wanted = {
        "WorkerStackName": WORKER_STACK,
        "Extensions": "pgcrypto" if spatial.is_postgis else "pgcrypto,hstore",
        "PostGISVersion": spatial.version if spatial.is_postgis else "none",
        # The stacks are to be deleted again.
        "DeletionProtection": "false",
    } | stacks.network()
    for name in ("demo1", "demo2"):
        heading(f"Stack {name}: an instance of RDS and its extensions (templates/database.yaml)")
        stacks.deploy(name, DATABASE_TEMPLATE, wanted | {"DBName": name}, show_events=name == "demo1")
        say(f"AFTER:  {server.extensions(name)}")

    heading("Stack demo3: the older Custom::ExecuteSQL, for a database that is there already")
    server.create_database("demo3")
    older = {"ServiceToken": outputs["TopicArn"], "Database": "demo3", "SpatialVersion": spatial.version}
    older |= server.credentials()
    older_template = OLDER_TEMPLATE.read_text().replace("PostGIS", spatial.name)
    say(f"BEFORE: {server.extensions('demo3')}")
    stacks.deploy("demo3", older_template, older)
    say(f"AFTER:  {server.extensions('demo3')}")

    heading("Updating demo1: citext is added, and the instance becomes larger")
    larger = {"DBName": "demo1", "Extensions": wanted["Extensions"] + ",citext", "InstanceClass": "db.t4g.large"}
    say(f"Changes: {stacks.deploy('demo1', DATABASE_TEMPLATE, wanted | larger)['Changes']}")
    say(f"AFTER:   {server.extensions('demo1')}, on {stacks.instance_class('demo1')}")

    heading("Updating demo3: pg_trgm 1.5 is added, then moved to 1.6")
    for version in ("1.5", "1.6"):
        changed = stacks.deploy("demo3", older_template, older | {"TrigramVersion": version})
        say(f"Changes: {changed['Changes']}")
    say(f"AFTER:   {server.extensions('demo3')}")

    heading("Updating demo2 to a version that does not exist")
    impossible = wanted | {"DBName": "demo2", "PostGISVersion": "3.0.3"}
    say(f"Reason: {stacks.update_in_vain('demo2', DATABASE_TEMPLATE, impossible)}")
    say(f"rolled back: the database has {server.extensions('demo2')}")

    heading("Somebody drops pgcrypto of demo2 by hand; the fleet is re-synced")
    server.drop_extension("demo2", "pgcrypto")
    resync(outputs, "--report")
    resync(outputs, "--repair")

    heading("Deleting demo1: its snapshot stays, and another stack begins with it")
    stacks.delete("demo1")
    snapshot = stacks.snapshot_of("demo1")
    say(f"snapshot: {snapshot}")
    restored = {"DBName": "demo1", "DBSnapshotIdentifier": snapshot, "Extensions": larger["Extensions"]}
    stacks.deploy("restored", DATABASE_TEMPLATE, wanted | restored)
    say(f"RESTORED: {server.extensions('demo1')}")

    if KEEP:
        keep(outputs)
    else:
        heading("Deleting the stacks")
        for name in ("restored", "demo2", "demo3"):
            stacks.delete(name)
            say(f"{name} is gone")
        say(f"demo3, which is no part of its stack, has {server.extensions('demo3')}")

    heading(f"Done in {time.monotonic() - begun:.0f} s")
    if not KEEP:
        say("Nothing is left running. To keep all of it for stacks of your own: make demo KEEP=1")
    return 0


def keep(outputs: Parameters) -> None:
    """Says how to go on with what keeps running."""
    heading("LocalStack, PostgreSQL and the worker keep running")
    say(f"ServiceToken of stacks of your own: {outputs['TopicArn']}")
    say("The secret demo3 is there to name as DBSecret.")
    say(f"Variables for a shell:              . {os.environ['RUN_DIR']}/env")
    say("To stop all of it:                  make demo-stop")


def resync(outputs: Parameters, mode: str) -> None:
    """Has the worker compare all databases of the demo's server with what their stacks declared."""
    command = [os.environ["WORKER_BINARY"], "resync", "--instances", mode, "--wait", "--timeout-seconds", "60"]
    done = run_command(outputs, command)
    for line in done.stdout.splitlines():
        say(line)
    if done.returncode != (EXIT_DRIFT if mode == "--report" else 0):
        raise Failure(f"extension-worker resync {mode} exited with {done.returncode}")


def run_command(outputs: Parameters, command: list[str]) -> "subprocess.CompletedProcess[str]":
    """Runs a command that publishes to the worker's topics, to its end."""
    topics = {"WORKER_TOPIC_ARN": outputs["ResyncTopicArn"], "WORKER_RESULTS_TOPIC_ARN": outputs["ResultsTopicArn"]}
    return subprocess.run(command, env=os.environ | topics, stdout=subprocess.PIPE, text=True, check=False)


def start_worker(outputs: Parameters) -> Path:
    """Starts the worker as one of the run's services, so that it ends with them."""
    run = Run(Path(os.environ["RUN_DIR"]))
    run.start_service(
        WORKER,
        [os.environ["WORKER_BINARY"], "run"],
        env=os.environ
        | {
            "WORKER_QUEUE_URL": outputs["QueueUrl"],
            "WORKER_DEAD_LETTER_QUEUE_URL": outputs["DeadLetterQueueUrl"],
            "WORKER_TOPIC_ARNS": outputs["TopicArn"],
            "WORKER_RESYNC_TOPIC_ARNS": outputs["ResyncTopicArn"],
            "WORKER_VERIFY_STACKS": "enforce",
            "WORKER_RESULTS_TOPIC_ARN": outputs["ResultsTopicArn"],
            "WORKER_ACCOUNTS": "000000000000",
            "WORKER_RESPONSE_ORIGIN": os.environ["AWS_ENDPOINT_URL"],
            # RDS's instances are servers of this machine.
            "WORKER_HOSTS": os.environ["PGHOST"],
            # A worker sees its last receive through before it stops: short, so that the demo ends soon.
            "WORKER_RECEIVE_WAIT_SECONDS": "2",
            "WORKER_LOG_FORMAT": "text",
        },
        cwd=REPOSITORY,
        stop_with=signal.SIGTERM,
        whole_family=False,
    )
    return run.log(WORKER)


@dataclass(frozen=True)
class Spatial:
    """The first extension of the demo: PostGIS, or hstore on a server that comes without it."""

    name: str
    version: str

    @property
    def is_postgis(self) -> bool:
        """Whether it is."""
        return self.name == "PostGIS"


class Server:
    """The PostgreSQL server, as its administrator sees it."""

    def __init__(self) -> None:
        self._host = os.environ["PGHOST"]
        self._port = os.environ["PGPORT"]
        self._password = secrets.token_hex(16)
        self._execute("postgres", f"CREATE ROLE demo LOGIN SUPERUSER PASSWORD '{self._password}'")

    def credentials(self) -> Parameters:
        """What the stacks' secrets say."""
        return {"Host": self._host, "Port": self._port, "Username": "demo", "Password": self._password}

    def create_database(self, name: str) -> None:
        """Makes an empty database."""
        self._execute("postgres", f'CREATE DATABASE "{name}"')

    def extensions(self, database: str) -> str:
        """What is installed, oldest first."""
        rows = self._execute(database, "SELECT extname, extversion FROM pg_extension ORDER BY oid")
        return ", ".join(name if name == "plpgsql" else f"{name} {version}" for name, version in rows)

    def drop_extension(self, database: str, name: str) -> None:
        """Does what stacks do not know of."""
        self._execute(database, f'DROP EXTENSION "{name}"')

    def spatial_extension(self) -> Spatial:
        """PostGIS in the server's own version, or what stands for it."""
        offered = dict(self._execute("postgres", "SELECT name, default_version FROM pg_available_extensions"))
        if "postgis" in offered:
            return Spatial("PostGIS", offered["postgis"])
        say("this PostgreSQL comes without PostGIS: hstore stands for it")
        return Spatial("hstore", offered["hstore"])

    def _execute(self, database: str, sql: str) -> Sequence[Sequence[str]]:
        connection = pg8000.native.Connection(
            os.environ["PGUSER"], self._host, database, int(self._port), os.environ["PGPASSWORD"]
        )
        try:
            return connection.run(sql) or []
        finally:
            connection.close()


def heading(text: str) -> None:
    """Begins a part."""
    print(f"\n== {text}", flush=True)


def say(text: str) -> None:
    """Says one thing."""
    print(f"   {text}", flush=True)


if __name__ == "__main__":
    demo_stacks.say = say
    try:
        sys.exit(main())
    except Failure as failure:
        heading(f"The demo failed: {failure}")
        sys.exit(1)
