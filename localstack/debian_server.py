#!/usr/bin/env python3
"""PostgreSQL servers of other versions than the machine's, with extensions, from other releases of Debian.

Their programs are changed so that they run on any Linux with their own C library and the libraries beside them; nothing
is installed, and no root is needed. With a version as the argument, prints where its programs are.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True

import debian  # noqa: E402
from console import Failure, progress, quietly  # noqa: E402

REPOSITORY = Path(__file__).resolve().parent.parent
# The release that has each version of PostgreSQL.
RELEASES = {"13": "bullseye", "15": "bookworm", "17": "trixie", "18": "forky"}
EXTENSIONS = ("cron", "hypopg", "partman", "pgaudit", "postgis-3", "repack")
# Of what the packages depend on: shared libraries, and the data of projections. Not compilers for just-in-time code, nor
# Python and Perl, which the server's maintenance scripts are written in.
NEEDED = re.compile(r"lib(?!llvm|perl|python)(?!.*-perl$)|postgresql-(?!common)|proj-data$|gcc-\d+-base$|tzdata$")
LIBRARIES = ("lib", "usr/lib")
# Directories without what a server reads.
UNUSED = ("usr/share/doc", "usr/share/locale", "usr/share/man", "usr/share/python3", "usr/lib/python3", "etc", "var")


def home(repository: Path, version: str) -> Path:
    """The tree of a version, `usr/lib/postgresql/<version>/bin` in it; fetched where it is missing."""
    release = RELEASES.get(version)
    if release is None:
        raise Failure(f"no release of Debian is known for PostgreSQL {version!r}; there is one for {', '.join(RELEASES)}")
    local = repository / ".local"
    tree = (local / f"debian-postgresql-{version}").resolve()
    patchelf = debian.unpacked(
        local / "patchelf", ["patchelf"], even_if_installed=["patchelf"], needed=[Path("usr/bin/patchelf")]
    )

    def finish(fresh: Path) -> None:
        _adapt(fresh, tree, version, patchelf / "usr/bin/patchelf")

    server = f"postgresql-{version}"
    return debian.unpacked(
        tree,
        [server, *(f"{server}-{extension}" for extension in EXTENSIONS)],
        even_if_installed=(),
        needed=[Path(f"usr/lib/postgresql/{version}/bin", name) for name in ("postgres", "initdb", "pg_upgrade", "psql")],
        finish=finish,
        suite=release,
        is_needed=lambda package: NEEDED.match(package) is not None,
    )


def _adapt(fresh: Path, tree: Path, version: str, patchelf: Path) -> None:
    """Have the programs find the loader and the libraries of the tree, at the place where it will be."""
    for unused in UNUSED:
        subprocess.run(["rm", "-rf", fresh / unused], check=True)
    loader = next((file for part in ("lib*", "usr/lib*") for file in fresh.glob(f"{part}/ld-linux*.so.*")), None)
    if loader is None:
        raise Failure(f"the packages of PostgreSQL {version} bring no C library")
    # RPATH, which what a program loads inherits, and not RUNPATH, nor LD_LIBRARY_PATH, which the machine's own programs
    # that it starts would inherit.
    paths = [tree / directory.relative_to(fresh) for directory in _library_directories(fresh)]
    for program in sorted((fresh / "usr/lib/postgresql" / version / "bin").iterdir()):
        if program.is_symlink() or not _is_elf(program):
            continue
        change = ["--set-interpreter", tree / loader.relative_to(fresh), "--force-rpath", "--set-rpath"]
        quietly([patchelf, *change, ":".join(map(str, paths)), program], what=f"patchelf {program.name}")
    _keep_links_inside(fresh)
    # Debian's alternatives, which scripts of the packages set up at an installation.
    for control in (fresh / "usr/share/postgresql" / version / "extension").glob("*-3.control"):
        control.with_name(control.name.replace("-3.control", ".control")).symlink_to(control.name)


def _library_directories(fresh: Path) -> list[Path]:
    """Those in which a loader looks for shared libraries."""
    # BLAS and LAPACK are in directories of their own, between which Debian's alternatives choose.
    patterns = ("*.so*", "*-linux-gnu*/*.so*", "*-linux-gnu*/blas/*.so*", "*-linux-gnu*/lapack/*.so*")
    return sorted({library.parent for part in LIBRARIES for glob in patterns for library in (fresh / part).glob(glob)})


def _is_elf(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(4) == b"\x7fELF"


def _keep_links_inside(fresh: Path) -> None:
    """Make absolute links relative, so that they do not lead to the machine's files."""
    for link in fresh.rglob("*"):
        if link.is_symlink() and os.readlink(link).startswith("/"):
            inside = fresh / os.readlink(link).lstrip("/")
            link.unlink()
            if inside.exists() or inside.is_symlink():
                link.symlink_to(os.path.relpath(inside, link.parent))


if __name__ == "__main__":
    try:
        if len(sys.argv) != 2:
            raise Failure(f"usage: {sys.argv[0]} VERSION")
        print(home(REPOSITORY, sys.argv[1]) / "usr/lib/postgresql" / sys.argv[1] / "bin")
    except (Failure, OSError) as failure:
        progress(str(failure))
        sys.exit(1)
