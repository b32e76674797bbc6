#!/usr/bin/env python3
"""Names of hosts for one process: nss_wrapper, which answers for the C library's resolver from a file.

Prints the library to be preloaded. With it, and `NSS_WRAPPER_HOSTS` naming a file like /etc/hosts, a process finds the
hosts of RDS on the loopback interface, and the machine's own names stay as they are.
"""

import sys
from pathlib import Path

sys.dont_write_bytecode = True

import debian  # noqa: E402
from console import Failure, progress  # noqa: E402

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = "libnss-wrapper"
LIBRARY = Path("usr/lib/*/libnss_wrapper.so")


def library(repository: Path) -> Path:
    """Install it where it is missing, and return where it is."""
    home = debian.unpacked(
        repository / ".local" / "nss_wrapper", [PACKAGE], even_if_installed=[PACKAGE], needed=[LIBRARY]
    )
    return next(home.glob(str(LIBRARY)))


if __name__ == "__main__":
    try:
        print(library(REPOSITORY))
    except (Failure, OSError) as failure:
        progress(str(failure))
        sys.exit(1)
