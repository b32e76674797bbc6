"""Makes the certificates of a test in a directory: two authorities, each signed by a root that no client has, and what
the first of them signed for a server at a host. Arguments: the directory, the host."""

import datetime
import ipaddress
import os
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DIRECTORY = Path(sys.argv[1])
PEM = serialization.Encoding.PEM
NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)
HERE = [sys.argv[2]]


def utc(year: int, month: int) -> datetime.datetime:
    return datetime.datetime(year, month, 1, tzinfo=datetime.timezone.utc)


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def host(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)


def sign(subject: str, key, issuer: str, issuer_key, *, since=NOW - DAY, until=NOW + DAY, hosts=None):
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=hosts is None, path_length=None), critical=True)
    )
    if hosts is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([host(name) for name in hosts]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def write(name: str, certificate) -> None:
    (DIRECTORY / f"{name}.pem").write_bytes(certificate.public_bytes(PEM))


def authority(bundle: str):
    root, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    write(bundle, sign(bundle, key, f"root of {bundle}", root))
    return key


authority("other-bundle")
signing = authority("bundle")
server = ec.generate_private_key(ec.SECP256R1())
write("leaf", sign("server", server, "bundle", signing, hosts=HERE))
write("expired", sign("server", server, "bundle", signing, hosts=HERE, since=utc(2020, 1), until=utc(2020, 2)))
write("future", sign("server", server, "bundle", signing, hosts=HERE, since=utc(2120, 2), until=utc(2120, 3)))
write("elsewhere", sign("server", server, "bundle", signing, hosts=["db.example", "127.0.0.2"]))
with open(os.open(DIRECTORY / "server.key", os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
    file.write(server.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
