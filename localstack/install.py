"""LocalStack and this repository's plug-in for it, in a virtual environment. Nothing is installed outside of it,
except, where Debian splits Python, the package that makes virtual environments."""

import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from console import Failure, progress, quietly

# The locked set names packages that need 3.11; it was installed and started with these three.
PYTHONS = ((3, 11), (3, 12), (3, 13))
BUILD_LEFTOVERS = {"build", "dist", "__pycache__"}
STAMP = "installed.json"
# Below its root, LocalStack keeps what is fixed at installation here.
STATIC = Path("usr/lib/localstack")


@contextmanager
def locked(local: Path) -> Iterator[None]:
    """Hold the directory that installs go to, so that two runs do not install at once."""
    try:
        local.mkdir(exist_ok=True)
        lock = (local / "lock").open("a")
    except OSError as error:
        raise Failure(f"cannot write to {local}: {error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another run that is installing")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def localstack(repository: Path) -> Path:
    """Install what is missing or has changed, and return the environment's Python."""
    local = repository / ".local"
    venv = local / "venv"
    requirements = repository / "localstack" / "requirements.txt"
    plugin = repository / "localstack" / "custom_resources"
    python = venv / "bin" / "python"
    wanted = {"requirements": _digest(requirements), "plugin": _digest(plugin)}
    if _stamp(venv) == wanted and os.access(python, os.X_OK):
        return python

    with locked(local):
        stamp = _stamp(venv)
        if not os.access(python, os.X_OK) or not stamp:
            _make_environment(venv)
            stamp = {}
        if stamp.get("requirements") != wanted["requirements"]:
            progress("installing LocalStack (a minute or so)")
            _pip(python, "LocalStack", "-r", requirements)
            _index_services(python, venv)
            _write_stamp(venv, wanted | {"plugin": ""})
        if stamp.get("plugin") != wanted["plugin"]:
            progress("installing the custom resource plug-in")
            _install_plugin(python, plugin)
        _write_stamp(venv, wanted)
    return python


def _make_environment(venv: Path) -> None:
    base = _base_python()
    progress(f"making a virtual environment in {venv}")
    try:
        quietly([base, "-m", "venv", "--clear", venv], what="python3 -m venv")
    except Failure as failure:
        prefix = root_prefix()
        if prefix is None or not shutil.which("apt-get") or not Path("/etc/debian_version").exists():
            raise Failure(f"{failure}\nOn Debian and Ubuntu, install python3-venv.") from failure
        progress("installing python3-venv with apt-get")
        apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
        quietly([*apt, "update"], what="apt-get update")
        quietly([*apt, "install", "--no-install-recommends", "python3-venv"], what="apt-get install python3-venv")
        quietly([base, "-m", "venv", "--clear", venv], what="python3 -m venv")


def root_prefix() -> list[str] | None:
    """What to put before a command to run it as root without a question; None where that is not possible."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo"):
        try:
            quietly(["sudo", "-n", "true"], what="sudo")
        except Failure:
            return None
        return ["sudo", "-n"]
    return None


def _base_python() -> str:
    """This Python if the locked set can be installed with it, else another one on PATH."""
    if sys.version_info[:2] in PYTHONS:
        return sys.executable
    for major, minor in PYTHONS:
        found = shutil.which(f"python{major}.{minor}")
        if found:
            return found
    known = ", ".join(f"{major}.{minor}" for major, minor in PYTHONS)
    raise Failure(f"LocalStack's locked packages need one of Python {known}; this is {sys.version.split()[0]}")


def _index_services(python: Path, venv: Path) -> None:
    """Make LocalStack's index of the AWS APIs once; each run would take three seconds to make its own."""
    # It refuses to write over an older one.
    shutil.rmtree(venv / STATIC, ignore_errors=True)
    (venv / STATIC).mkdir(parents=True)
    env = {"PATH": os.defpath, "HOME": str(venv), "OVERRIDE_IN_DOCKER": "0", "FILESYSTEM_ROOT": str(venv)}
    quietly([python, "-m", "localstack.aws.spec"], what="indexing the AWS APIs", env=env, cwd=venv)


def _install_plugin(python: Path, plugin: Path) -> None:
    """Install from a copy: building in place would leave its products among the sources."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / plugin.name
        for source in _sources(plugin):
            target = copy / source.relative_to(plugin)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        # Without dependencies: what it stands on is LocalStack, and that is locked.
        _pip(python, "the plug-in", "--no-deps", "--force-reinstall", copy)


def _pip(python: Path, what: str, *arguments: str | Path) -> None:
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    quietly(command, what=f"installing {what} with pip")


def _digest(source: Path) -> str:
    """A hash of a file, or of the names and contents of a package's sources."""
    if not source.exists():
        raise Failure(f"{source} is missing")
    digest = hashlib.sha256()
    for file in [source] if source.is_file() else _sources(source):
        digest.update(f"{file.relative_to(source)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _sources(package: Path) -> list[Path]:
    """The files of a package, without what building and running it leave there."""

    def is_source(file: Path) -> bool:
        return not any(
            part in BUILD_LEFTOVERS or part.startswith(".") or part.endswith(".egg-info")
            for part in file.relative_to(package).parts
        )

    return sorted(file for file in package.rglob("*") if file.is_file() and is_source(file))


def _stamp(venv: Path) -> dict[str, str]:
    """What a finished install said is there; nothing when the Python under the environment was replaced since."""
    try:
        stamp: dict[str, str] = json.loads((venv / STAMP).read_text())
    except (OSError, ValueError):
        return {}
    return stamp if stamp.pop("python", "") == _real_python(venv) else {}


def _write_stamp(venv: Path, stamp: dict[str, str]) -> None:
    (venv / STAMP).write_text(json.dumps(stamp | {"python": _real_python(venv)}))


def _real_python(venv: Path) -> str:
    return str((venv / "bin" / "python").resolve())


if __name__ == "__main__":
    try:
        print(localstack(Path(__file__).resolve().parent.parent))
    except (Failure, OSError) as failure:
        progress(str(failure))
        sys.exit(1)
