"""valgrind, which counts instructions: the machine's own, or Debian's package below `.local`."""

import shutil
from pathlib import Path

import debian

PACKAGE = "valgrind"
# The program itself: `usr/bin/valgrind` is a script of Debian's around it.
PROGRAM = Path("usr/bin/valgrind.bin")
TOOLS = Path("usr/libexec/valgrind")


def find(repository: Path) -> tuple[str, dict[str, str]]:
    """Install what is missing, and return the program, with the variable that leads to its tools."""
    installed = shutil.which("valgrind")
    if installed:
        return installed, {}
    home = repository / ".local" / "valgrind"
    debian.unpacked(home, [PACKAGE], even_if_installed={PACKAGE}, needed=[PROGRAM, TOOLS / "callgrind-*-linux"])
    return str(home / PROGRAM), {"VALGRIND_LIB": str(home / TOOLS)}
