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
DEMO_TEMPLATE = Path(__file__).with_name("demo.yaml")
KEEP = os.environ.get("KEEP", "") not in ("", "0")


def main() -> int:
    """Runs the demo; returns the exit code."""
    begun = time.monotonic()
    stacks = Stacks()
    server = Server()

    heading("Deploying the topic, the queue and the dead-letter queue (templates/worker.yaml)")
    outputs = stacks.deploy("extension-worker", (TEMPLATES / "worker.yaml").read_text(), {})
    log = start_worker(outputs)
    say(f"worker started; its log is {log}" if KEEP else "worker started")

    spatial = server.spatial_extension()
    template = DEMO_TEMPLATE.read_text().replace("PostGIS", spatial.name)
    base = {"ServiceToken": outputs["TopicArn"], "SpatialVersion": spatial.version} | server.credentials()

    for name in ("demo1", "demo2", "demo3"):
        heading(f"Stack {name}: a secret, and the extensions {spatial.name} and pgcrypto")
        server.create_database(name)
        say(f"BEFORE: {server.extensions(name)}")
        stacks.deploy(name, template, base | {"Database": name}, show_events=name == "demo1")
        say(f"AFTER:  {server.extensions(name)}")

    heading("Updating demo1: pg_trgm 1.5 is added, then moved to 1.6")
    for version in ("1.5", "1.6"):
        changed = base | {"Database": "demo1", "TrigramVersion": version}
        say(f"Changes: {stacks.deploy('demo1', template, changed)['Changes']}")
    say(f"AFTER:  {server.extensions('demo1')}")

    heading("Stack demo4 asks for a version that does not exist")
    server.create_database("demo4")
    impossible = base | {"Database": "demo4", "SpatialVersion": "3.0.3"}
    say(f"Reason: {stacks.deploy_in_vain('demo4', template, impossible)}")
    say(f"rolled back: the stack is gone, and the database has {server.extensions('demo4')}")

    heading("Somebody drops pgcrypto of demo2 by hand; the fleet is re-synced")
    server.drop_extension("demo2", "pgcrypto")
    resync(outputs, "--report")
    resync(outputs, "--repair")

    if server.can_dump():
        heading("Dumping demo1 and restoring it as demo1_restored")
        server.create_database("demo1_restored")
        server.copy("demo1", "demo1_restored")
        say(f"RESTORED: {server.extensions('demo1_restored')}")

    if KEEP:
        keep(outputs)
    else:
        heading("Deleting the stacks")
        for name in ("demo1", "demo2", "demo3"):
            stacks.delete(name)
            say(f"{name}: {server.extensions(name)}")

    heading(f"Done in {time.monotonic() - begun:.0f} s")
    if not KEEP:
        say("Nothing is left running. To keep all of it for stacks of your own: make demo KEEP=1")
    return 0


def keep(outputs: Parameters) -> None:
    """Says how to go on with what keeps running."""
    heading("LocalStack, PostgreSQL and the worker keep running")
    say(f"ServiceToken of stacks of your own: {outputs['TopicArn']}")
    say("The secrets demo1, demo2 and demo3 are there to name as DBSecret.")
    say(f"Variables for a shell:              . {os.environ['RUN_DIR']}/env")
    say("To stop all of it:                  make demo-stop")


def resync(outputs: Parameters, mode: str) -> None:
    """Has the worker compare all databases of the demo's server with what their stacks declared."""
    command = [os.environ["WORKER_BINARY"], "resync", "--prefix", "demo", mode, "--wait", "--timeout-seconds", "60"]
    topics = {"WORKER_TOPIC_ARN": outputs["TopicArn"], "WORKER_RESULTS_TOPIC_ARN": outputs["ResultsTopicArn"]}
    done = subprocess.run(command, env=os.environ | topics, stdout=subprocess.PIPE, text=True, check=False)
    for line in done.stdout.splitlines():
        say(line)
    if done.returncode != (EXIT_DRIFT if mode == "--report" else 0):
        raise Failure(f"extension-worker resync {mode} exited with {done.returncode}")


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
            "WORKER_RESULTS_TOPIC_ARN": outputs["ResultsTopicArn"],
            "WORKER_ACCOUNTS": "000000000000",
            "WORKER_RESPONSE_ORIGIN": os.environ["AWS_ENDPOINT_URL"],
            # A worker sees its last receive through before it stops: short, so that the demo ends soon.
            "WORKER_RECEIVE_WAIT_SECONDS": "2",
            "WORKER_LOG_FORMAT": "text",
        },
        cwd=REPOSITORY,
        stop_with=signal.SIGTERM,
        whole_family=False,
    )
    return run.log(WORKER)


class Spatial:
    """The first extension of the demo: PostGIS, or hstore on a server that comes without it."""

    def __init__(self, name: str, version: str) -> None:
        self.name = name
        self.version = version


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

    def can_dump(self) -> bool:
        """Whether pg_dump and psql are there; the PostgreSQL from npm comes without."""
        return all(self._program(name).exists() for name in ("pg_dump", "psql"))

    def copy(self, source: str, target: str) -> None:
        """Dumps one database into another."""
        dump = subprocess.Popen([self._program("pg_dump"), source], stdout=subprocess.PIPE)
        restore = [self._program("psql"), "-q", "-o", os.devnull, "-v", "ON_ERROR_STOP=1", target]
        subprocess.run(restore, stdin=dump.stdout, check=True)
        if dump.wait() != 0:
            raise Failure(f"pg_dump of {source} failed")

    def _program(self, name: str) -> Path:
        return Path(os.environ["PG_BINDIR"]) / name

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
