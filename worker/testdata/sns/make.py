#!/usr/bin/env python3
"""Make the certificates and the signed notifications beside this script, for the tests of SNS's signatures.

Each run makes new keys, and keeps none of them: run it again, and everything here is replaced together. Needs the
package `cryptography`, which LocalStack's virtual environment has. The tests say at which time they look: all but
`expired.pem` are valid in 2026.
"""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HERE = Path(__file__).resolve().parent
SNS = "sns.amazonaws.com"
BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
NOTIFICATION = {
    "Type": "Notification",
    "MessageId": "7c72a0bb-c6f6-536b-88b7-ef25c9c6734a",
    "TopicArn": "arn:aws:sns:us-east-1:123456789012:extension-worker",
    "Message": '{"RequestType":"Create","Note":"line\\nÜmlaut"}',
    "Timestamp": "2026-03-01T12:00:00.042Z",
    "SigningCertURL": f"https://sns.us-east-1.amazonaws.com/SimpleNotificationService-{'0123456789abcdef' * 2}.pem",
}
SIGNED = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")


def certificate(common_name, key, issuer, issuer_key, *, names=(), end=END, ca=False):
    """A certificate, signed with the issuer's key."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN if end == END else datetime(2024, 1, 1, tzinfo=UTC))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if not ca:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(usage, critical=False)
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def new_key():
    """An RSA key as SNS's are."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def write(name, *certificates):
    """Certificates to a PEM file."""
    pem = serialization.Encoding.PEM
    (HERE / name).write_bytes(b"".join(each.public_bytes(pem) for each in certificates))


def notify(name, key, version, subject=None):
    """A notification, signed, to a JSON file."""
    fields = NOTIFICATION | ({"Subject": subject} if subject else {})
    text = "".join(f"{field}\n{fields[field]}\n" for field in SIGNED if field in fields)
    digest = {"1": hashes.SHA1, "2": hashes.SHA256}[version]()
    signature = key.sign(text.encode(), padding.PKCS1v15(), digest)
    fields |= {"SignatureVersion": version, "Signature": base64.b64encode(signature).decode()}
    (HERE / name).write_text(json.dumps(fields, indent=1, ensure_ascii=False) + "\n")


def main():
    """Make everything."""
    root_key, middle_key, key, other_key = new_key(), new_key(), new_key(), new_key()
    root = certificate("Test Root", root_key, None, root_key, ca=True)
    middle = certificate("Test Intermediate", middle_key, root, root_key, ca=True)
    leaf = certificate(SNS, key, middle, middle_key, names=[SNS])
    write("root.pem", root)
    write("leaf.pem", leaf)
    write("chain.pem", leaf, middle)
    # The same names, another key: neither is what it says.
    stranger = certificate("Test Intermediate", other_key, root, other_key, ca=True)
    write("chain-of-a-stranger.pem", certificate(SNS, other_key, stranger, other_key, names=[SNS]), stranger)
    write("leaf-by-root.pem", certificate(SNS, key, root, root_key, names=[SNS]))
    write("leaf-by-a-false-root.pem", certificate(SNS, key, root, other_key, names=[SNS]))
    write("expired.pem", certificate(SNS, key, middle, middle_key, names=[SNS], end=datetime(2025, 1, 1, tzinfo=UTC)))
    write("common-name-alone.pem", certificate(SNS, key, middle, middle_key))
    regional = ["sns-signing.af-south-1.amazonaws.com", "sns.af-south-1.amazonaws.com"]
    write("regional.pem", certificate(regional[0], key, middle, middle_key, names=regional))
    other = certificate("sns.amazonaws.com.example.org", key, middle, middle_key, names=["example.org"])
    write("other-name.pem", other, middle)
    curve = ec.generate_private_key(ec.SECP256R1())
    write("elliptic-curve.pem", certificate(SNS, curve, middle, middle_key, names=[SNS]))
    for version in ("1", "2"):
        notify(f"version-{version}.json", key, version)
        notify(f"version-{version}-subject.json", key, version, "AWS CloudFormation custom resource request")


main()
