#!/usr/bin/env python3
"""PgBouncer, a pooler of the kind that RDS Proxy is, from Debian's packages.

Prints the program, and the directory in which it finds the libraries that the machine lacks.
"""

import sys
from pathlib import Path

sys.dont_write_bytecode = True

import debian  # noqa: E402
from console import Failure, progress  # noqa: E402

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = "pgbouncer"
PROGRAM = Path("usr/sbin/pgbouncer")
# Every architecture has a directory of its own.
LIBRARIES = Path("usr/lib/*-linux-gnu*")


def program(repository: Path) -> tuple[Path, Path]:
    """Fetch it where it is missing, and return the program and its libraries' directory."""
    home = debian.unpacked(
        repository / ".local" / "pgbouncer", [PACKAGE], even_if_installed=[PACKAGE], needed=[PROGRAM]
    )
    return home / PROGRAM, next(home.glob(str(LIBRARIES)), home / "usr/lib")


if __name__ == "__main__":
    try:
        print(*program(REPOSITORY), sep="\n")
    except (Failure, OSError) as failure:
        progress(str(failure))
        sys.exit(1)
