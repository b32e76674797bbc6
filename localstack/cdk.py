#!/usr/bin/env python3
"""The examples of the AWS CDK, installed and synthesised: prints their templates' paths, as JSON.

npm and pip take what the examples lock, into .local/cdk; it is kept for the next run.
"""

import json
import os
import shutil
import sys
from pathlib import Path

sys.dont_write_bytecode = True

import install  # noqa: E402
from console import Failure, progress, quietly  # noqa: E402

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLES = REPOSITORY / "examples" / "cdk"
HOME = REPOSITORY / ".local" / "cdk"
TEMPLATE = "Example.template.json"


def typescript() -> Path:
    """The example in TypeScript: type-checked, compiled and run."""
    place = _copy("typescript", ("package.json", "package-lock.json"))
    if not (place / "installed").exists():
        progress("installing the CDK for TypeScript")
        npm = ["npm", "ci", "--no-audit", "--no-fund", "--silent"]
        quietly(npm, what="npm ci", cwd=place, env=os.environ | {"npm_config_cache": str(HOME / "npm")})
        (place / "installed").touch()
    quietly([place / "node_modules" / ".bin" / "tsc"], what="tsc", cwd=place)
    return _synthesise(["node", "build/app.js"], place)


def python() -> Path:
    """The example in Python, in a virtual environment."""
    place = _copy("python", ("requirements.txt",))
    interpreter = place / "venv" / "bin" / "python"
    if not (place / "installed").exists():
        progress("installing the CDK for Python")
        quietly([sys.executable, "-m", "venv", place / "venv"], what="python3 -m venv")
        pip = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
        quietly([*pip, "-r", place / "requirements.txt"], what="pip install")
        (place / "installed").touch()
    return _synthesise([str(interpreter), "-B", "app.py"], place)


def _copy(example: str, locks: tuple[str, ...]) -> Path:
    """A copy to build in; what is installed stays while the locks are the same."""
    source, place = EXAMPLES / example, HOME / example
    same = all((place / lock).exists() and (place / lock).read_bytes() == (source / lock).read_bytes() for lock in locks)
    if not same:
        shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if file.is_file():
            shutil.copyfile(file, place / file.name)
    return place


def _synthesise(command: list[str], place: Path) -> Path:
    output = place / "cdk.out"
    quiet = {"JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "1", "JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION": "1"}
    quietly(command, what=f"the example in {place.name}", cwd=place, env=os.environ | quiet | {"CDK_OUTDIR": str(output)})
    return output / TEMPLATE


if __name__ == "__main__":
    try:
        with install.locked(HOME.parent):
            print(json.dumps({"typescript": str(typescript()), "python": str(python())}))
    except (Failure, OSError) as failure:
        progress(str(failure))
        sys.exit(1)
