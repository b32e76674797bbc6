#!/usr/bin/env python3
"""A browser for the tests of the report page: Chromium without a window, and the driver that WebDriver speaks to.

Prints the variables that lead to them, as JSON. Both are Debian's packages, unpacked below `.local` with the libraries
that the machine lacks: this needs no root, and leaves the machine as it was.
"""

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True

from console import Failure, progress, quietly  # noqa: E402
from install import locked  # noqa: E402

REPOSITORY = Path(__file__).resolve().parent.parent
# The driver's package asks for the browser with a window, which none of this needs.
SHELL, DRIVER_PACKAGE = "chromium-headless-shell", "chromium-driver"
# What these need beside each other in the tree, even where the machine has it.
TOGETHER = {SHELL, DRIVER_PACKAGE, "chromium-common"}
# Some font has to be there, or every text is invisible, and of no size.
FONT = "fonts-dejavu-core"
DRIVER = Path("usr/bin/chromedriver")
BROWSER = Path("usr/lib/chromium/chromium-headless-shell")


def variables(repository: Path) -> dict[str, str]:
    """Install what is missing, and return what the tests are told."""
    local = repository / ".local"
    home = local / "chromium"
    if not home.exists():
        with locked(local):
            if not home.exists():
                progress("fetching Chromium from Debian's packages")
                _unpack(home)
    return {
        "CHROMEDRIVER": str(home / DRIVER),
        "CHROMIUM": str(home / BROWSER),
        "LD_LIBRARY_PATH": ":".join(sorted(_library_directories(home))),
        "FONTCONFIG_FILE": str(home / "fonts.conf"),
    }


def _unpack(home: Path) -> None:
    """Fetch the packages and put their tree in place in one step."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise Failure("the tests of the report page need Chromium from the packages of Debian 12 or later")
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        place = Path(scratch)
        apt = ["apt-get", "-qq", *_own_state(place / "apt")]
        quietly([*apt, "update"], what="apt-get update")
        plan = quietly([*apt, "install", "--simulate", "--no-install-recommends", SHELL, FONT], what="apt-get --simulate")
        # By apt's own reckoning, what an installation would add.
        packages = TOGETHER | set(re.findall(r"^Inst (\S+)", plan, re.MULTILINE))
        quietly([*apt, "download", *sorted(packages)], what="apt-get download", cwd=place)
        tree = place / "tree"
        for package in sorted(place.glob("*.deb")):
            quietly(["dpkg-deb", "--extract", package, tree], what=f"unpacking {package.name}")
        for needed in (DRIVER, BROWSER):
            if not (tree / needed).exists():
                raise Failure(f"Debian's packages of Chromium have no {needed}")
        (tree / "fonts.conf").write_text(_fonts(home))
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


def _library_directories(home: Path) -> set[str]:
    """Where libraries lie that the machine lacks; Chromium finds its own beside itself."""
    found = {file.parent for file in (home / "usr/lib").rglob("*.so*")}
    return {str(directory) for directory in found if directory != (home / BROWSER).parent}


def _fonts(home: Path) -> str:
    return f"""<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>{home}/usr/share/fonts</dir>
  <cachedir>{home}/fontcache</cachedir>
</fontconfig>
"""


if __name__ == "__main__":
    try:
        print(json.dumps(variables(REPOSITORY)))
    except (Failure, OSError) as failure:
        progress(str(failure))
        sys.exit(1)
