"""Builds the image, and lists what is in it.

With the first of docker, podman and buildah that works; the variable ENGINE names one.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from platform import machine
from typing import IO

REPOSITORY = Path(__file__).resolve().parents[2]
# A client without its daemon, and a daemon that one may not talk to, fail here and not in the middle of a build.
PROBES = {"docker": ["version"], "podman": ["info"], "buildah": ["info"]}


class Failure(Exception):
    """Something a person has to know or do; its text is the whole message."""


def engine() -> str:
    wanted = os.environ.get("ENGINE")
    if wanted:
        if wanted not in PROBES:
            raise Failure(f"ENGINE={wanted}: must be one of {', '.join(PROBES)}")
        return wanted
    for name, probe in PROBES.items():
        if shutil.which(name) and subprocess.run([name, *probe], capture_output=True).returncode == 0:
            return name
    raise Failure(f"none of {', '.join(PROBES)} works here")


# As templates/worker.yaml has its parameter Architecture.
ARCHITECTURES = {"linux/amd64": "X86_64", "linux/arm64": "ARM64"}
MACHINES = {"x86_64": "linux/amd64", "aarch64": "linux/arm64", "arm64": "linux/arm64"}


def build(image: str, base: str, platform: str) -> None:
    """Build the image for a platform, and say which parameter of the template goes with it."""
    wanted = platform or MACHINES.get(machine(), "")
    if platform and platform not in ARCHITECTURES:
        raise Failure(f"PLATFORM={platform}: must be one of {', '.join(ARCHITECTURES)}")
    labels = {
        "VERSION": tomllib.loads((REPOSITORY / "Cargo.toml").read_text())["workspace"]["package"]["version"],
        "REVISION": _git("rev-parse", "HEAD"),
        "CREATED": _git("log", "-1", "--format=%cI"),
    }
    if base:
        labels["BUILD_IMAGE"] = base
    name = engine()
    # Images in OCI's format have no health check; Docker itself writes its own format unasked.
    form = [] if name == "docker" else ["--format", "docker"]
    arguments = [word for key, value in labels.items() if value for word in ("--build-arg", f"{key}={value}")]
    for_platform = ["--platform", platform] if platform else []
    _run([name, "build", *form, *for_platform, "--file", "worker/Dockerfile", "--tag", image, *arguments, "."])
    if wanted in ARCHITECTURES:
        print(f"{image} is for {wanted}: deploy templates/worker.yaml with Architecture={ARCHITECTURES[wanted]}")


def contents(image: str) -> None:
    """Print each file of the image with its size in bytes, the largest first, and the total."""
    name = engine()
    with tempfile.TemporaryDirectory() as place:
        archive = Path(place) / "image.tar"
        if name == "buildah":
            _run(["buildah", "push", "--quiet", image, f"docker-archive:{archive}"])
        else:
            _run([name, "save", "--output", str(archive), image])
        files = sizes(archive)
    for path, size in sorted(files.items(), key=lambda file: (-file[1], file[0])):
        print(f"{size:>12,}  {path}")
    print(f"{sum(files.values()):>12,}  in {len(files)} files")


def sizes(archive: Path) -> dict[str, int]:
    """The files of a saved image. It has no layer that takes something away from one below it."""
    files: dict[str, int] = {}
    with tarfile.open(archive) as saved:
        manifest = json.load(_member(saved, "manifest.json"))[0]
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=_member(saved, layer)) as content:
                for file in content:
                    if not file.isdir():
                        files["/" + file.name.removeprefix("./")] = file.size
    return files


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    member = archive.extractfile(name)
    if member is None:
        raise Failure(f"the saved image has no {name}")
    return member


def _git(*arguments: str) -> str:
    """What git says; nothing where these sources are no clone."""
    done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, cwd=REPOSITORY, check=True)
    except subprocess.CalledProcessError as error:
        raise Failure(f"{command[0]} failed (exit code {error.returncode})") from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("build", "contents"))
    parser.add_argument("image", help="the image's name")
    parser.add_argument("--base", default="", help="another image to build in, with the same Rust")
    parser.add_argument("--platform", default="", help="linux/amd64 or linux/arm64; unset: this machine's")
    arguments = parser.parse_args()
    if arguments.command == "build":
        build(arguments.image, arguments.base, arguments.platform)
    else:
        contents(arguments.image)


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError) as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)
