#!/usr/bin/env python3
"""The interpreters that the worker is compared with, and a faster emulator; prints where they are, as JSON.

Everything goes to .local/peers, from PyPI and npm's registry, as the lock files say.
"""

import hashlib
import json
import os
import platform
import shutil
import sys
import tomllib
from pathlib import Path

sys.dont_write_bytecode = True

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
sys.path.insert(0, str(REPOSITORY / "localstack"))

from console import Failure, progress, quietly  # noqa: E402
from install import locked  # noqa: E402

LOCKS = ("requirements.txt", "package.json", "package-lock.json", "consumer.mjs")


def peers() -> dict[str, object]:
    """Install what is missing or has changed."""
    home = REPOSITORY / ".local" / "peers"
    stamp = home / "installed"
    wanted = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in LOCKS)).hexdigest()
    if not shutil.which("npm"):
        raise Failure("the comparison needs Node with npm")
    with locked(REPOSITORY / ".local"):
        if not stamp.exists() or stamp.read_text() != wanted:
            progress("installing what the worker is compared with")
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            quietly([sys.executable, "-m", "venv", home / "venv"], what="python3 -m venv")
            pip = [home / "venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            quietly([*pip, "-r", HERE / "requirements.txt"], what="installing the Python handler's packages")
            # Beside its modules: that is where Node looks for them.
            for name in LOCKS[1:]:
                shutil.copy(HERE / name, home)
            env = os.environ | {"npm_config_update_notifier": "false"}
            npm = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            quietly(npm, what="npm ci", cwd=home, env=env)
            stamp.write_text(wanted)
    return {
        "python": str(home / "venv/bin/python"),
        "handler": str(HERE / "handler.py"),
        "node": shutil.which("node") or "node",
        "consumer": str(home / "consumer.mjs"),
        "emulator": str(HERE / "emulator.py"),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    """What the contestants are made of."""
    python = dict(line.split("==") for line in (HERE / "requirements.txt").read_text().splitlines() if "==" in line)
    node = json.loads((HERE / "package.json").read_text())["dependencies"]
    rust = tomllib.loads((REPOSITORY / "Cargo.lock").read_text())["package"]
    return {
        "python": platform.python_version(),
        "node": quietly(["node", "--version"], what="node --version").strip().lstrip("v"),
        **{name: python[name] for name in ("boto3", "psycopg2-binary", "ministack")},
        **{name: node[name] for name in ("sqs-consumer", "pg")},
        **{package["name"]: package["version"] for package in rust if package["name"] == "tokio-postgres"},
    }


if __name__ == "__main__":
    try:
        print(json.dumps(peers()))
    except (Failure, OSError) as failure:
        progress(str(failure))
        sys.exit(1)
