#!/usr/bin/env python3
"""A browser for the tests of the report page: Chromium without a window, and the driver that WebDriver speaks to.

Prints the variables that lead to them, as JSON. Both are Debian's packages, with the libraries that the machine lacks.
"""

import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True

import debian  # noqa: E402
from console import Failure, progress  # noqa: E402

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
    """Install what is missing, and return the variables for the tests."""
    home = repository / ".local" / "chromium"
    debian.unpacked(
        home,
        [SHELL, FONT],
        even_if_installed=TOGETHER,
        needed=[DRIVER, BROWSER],
        finish=lambda tree: (tree / "fonts.conf").write_text(_fonts(home)),
    )
    return {
        "CHROMEDRIVER": str(home / DRIVER),
        "CHROMIUM": str(home / BROWSER),
        "LD_LIBRARY_PATH": ":".join(sorted(_library_directories(home))),
        "FONTCONFIG_FILE": str(home / "fonts.conf"),
    }


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
