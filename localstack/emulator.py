"""LocalStack as a plain process."""

import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import install
from run import Run

NAME = "localstack"
# Loaded at start, so that no test pays seconds for the first call to one of them. Others load when first called.
EAGER_SERVICES = "cloudformation,sns,sqs,s3,secretsmanager,iam,kms,logs"
HEALTH_TIMEOUT_SECONDS = 2


@dataclass(frozen=True)
class Emulator:
    """A LocalStack to be started, and how to reach it."""

    run: Run
    python: Path
    port: int

    @property
    def endpoint(self) -> str:
        """The one address of all its services."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """The variables that AWS clients read, and where the pieces are."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "LOCALSTACK_LOG": str(self.run.log(NAME)),
            "REQUEST_LOG": str(self.run.directory / "requests.jsonl"),
            "LOCALSTACK_PYTHON": str(self.python),
        }

    def start(self, services: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """Start it; `is_ready` says when it answers. `services` leads its RDS to PostgreSQL."""
        home = self.run.directory / NAME
        (home / "tmp").mkdir(parents=True)
        # Where it looks for what an installation brings along.
        (home / install.STATIC).parent.mkdir(parents=True)
        (home / install.STATIC).symlink_to(self.python.parent.parent / install.STATIC)
        address = f"127.0.0.1:{self.port}"
        env = {
            **services,
            "PATH": os.environ.get("PATH", os.defpath),
            # Its own home: the index of plug-ins that it keeps there would miss one installed a moment ago.
            "HOME": str(home),
            "TMPDIR": str(home / "tmp"),
            # Inside a container it would take the machine's /var/lib, /etc and /usr/lib for its own.
            "OVERRIDE_IN_DOCKER": "0",
            "FILESYSTEM_ROOT": str(home),
            "GATEWAY_LISTEN": address,
            "LOCALSTACK_HOST": address,
            "DISABLE_EVENTS": "1",
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            # Nothing here reads the metrics of the queues, which take the emulator as long as the messages.
            "SQS_DISABLE_CLOUDWATCH_METRICS": "1",
            "DNS_ADDRESS": "0",
            "SQS_ENDPOINT_STRATEGY": "path",
            "S3_SKIP_SIGNATURE_VALIDATION": "0",
            "SERVICES": EAGER_SERVICES,
            "EAGER_SERVICE_LOADING": "1",
            "STRICT_SERVICE_LOADING": "0",
        }
        return self.run.start_service(
            NAME,
            [self.python, "-m", "localstack.runtime.main"],
            env=env,
            cwd=home,
            # It has nothing to save, and a polite end takes it seconds.
            stop_with=signal.SIGKILL,
            whole_family=True,
        )

    def is_ready(self) -> bool:
        """Whether it answers."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"{self.endpoint}/_localstack/health", timeout=HEALTH_TIMEOUT_SECONDS) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
