"""Debian's packages, unpacked below `.local`: this needs no root, and leaves the machine as it was."""

import re
import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

from console import Failure, progress, quietly
from install import locked

MIRROR = "http://deb.debian.org/debian"
# What apt verifies a release with.
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def _as_it_is(_: Path) -> None:
    pass


def unpacked(
    home: Path,
    wanted: Collection[str],
    *,
    even_if_installed: Collection[str],
    needed: Collection[Path],
    finish: Callable[[Path], object] = _as_it_is,
    suite: str | None = None,
    is_needed: Callable[[str], bool] = lambda _: True,
) -> Path:
    """The tree `home` with the packages that are wanted, and with what they need and the machine lacks.

    `even_if_installed` are those that have to be in the tree although the machine has them, `needed` the files that are
    looked for in the end, and `finish` is called with the tree before it is put in place.

    With a `suite`, packages come from that release of Debian instead of the machine's, and with all that they need: of
    these, `is_needed` chooses by the package's name.
    """
    if not home.exists():
        with locked(home.parent):
            if not home.exists():
                progress(f"fetching {home.name} from Debian's packages")
                _unpack(home, wanted, set(even_if_installed), needed, finish, suite, is_needed)
    return home


def _unpack(
    home: Path,
    wanted: Collection[str],
    packages: set[str],
    needed: Collection[Path],
    finish: Callable[[Path], object],
    suite: str | None,
    is_needed: Callable[[str], bool],
) -> None:
    """Fetch the packages and put their tree in place in one step."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise Failure(f"{home.name} is needed from the packages of Debian 12 or later")
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        place = Path(scratch)
        apt = ["apt-get", "-qq", *_own_state(place / "apt"), *(_other_release(place / "apt", suite) if suite else ())]
        quietly([*apt, "update"], what="apt-get update")
        plan = quietly([*apt, "install", "--simulate", "--no-install-recommends", *wanted], what="apt-get --simulate")
        # By apt's own reckoning, what an installation would add.
        packages = packages | set(filter(is_needed, re.findall(r"^Inst (\S+)", plan, re.MULTILINE)))
        quietly([*apt, "download", *sorted(packages)], what="apt-get download", cwd=place)
        tree = place / "tree"
        for package in sorted(place.glob("*.deb")):
            quietly(["dpkg-deb", "--extract", package, tree], what=f"unpacking {package.name}")
        for file in needed:
            if not list(tree.glob(str(file))):
                raise Failure(f"Debian's packages of {home.name} have no {file}")
        finish(tree)
        tree.rename(home)


def _own_state(state: Path) -> list[str]:
    """Options that let any user update lists of packages, and download: what apt writes goes to a place of its own."""
    for part in ("lists/partial", "cache/archives/partial"):
        (state / part).mkdir(parents=True)
    options = {
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state / "cache",
        # As root it would become a user who may not write here.
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "1",
    }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def _other_release(state: Path, suite: str) -> list[str]:
    """Options that let apt see one release alone, on a machine where nothing is installed."""
    sources = state / "sources.list"
    sources.write_text(f"deb [signed-by={KEYRING}] {MIRROR} {suite} main\n")
    (state / "status").touch()
    options = {
        "Dir::State::status": state / "status",
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
    }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
