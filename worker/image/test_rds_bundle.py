"""That the committed bundle is what it says, and that a certificate which it lacks is noticed."""

import re
import unittest
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import rds_bundle

# The regions of AWS's bundle as npm's package has it. GovCloud and China have bundles of their own.
REGIONS = """
    af-south-1 ap-east-1 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1
    ap-southeast-2 ap-southeast-3 ap-southeast-4 ca-central-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2
    eu-west-1 eu-west-2 eu-west-3 me-central-1 me-south-1 sa-east-1 us-east-1 us-east-2 us-west-1 us-west-2
""".split()
ALGORITHMS = ("RSA2048", "RSA4096", "ECC384")
# Of RDS Proxy and Aurora Serverless v1, whose certificates come from ACM.
PUBLIC_ROOTS = {f"Amazon Root CA {number}" for number in (1, 2, 3, 4)} | {
    "Starfield Services Root Certificate Authority - G2"
}


class Bundle(unittest.TestCase):
    text = rds_bundle.BUNDLE.read_text()
    certificates = rds_bundle.parse(text)

    def test_each_certificate_is_a_root_that_signed_itself_and_has_not_expired(self) -> None:
        for one in self.certificates:
            with self.subTest(rds_bundle.name(one)):
                constraints = one.extensions.get_extension_for_class(x509.BasicConstraints)
                self.assertTrue(constraints.value.ca)
                one.verify_directly_issued_by(one)
                self.assertGreater(one.not_valid_after_utc, datetime.now(UTC))

    def test_each_region_has_a_root_for_each_of_the_three_algorithms(self) -> None:
        names = {rds_bundle.name(one) for one in self.certificates}
        wanted = {f"Amazon RDS {region} Root CA {algorithm} G1" for region in REGIONS for algorithm in ALGORITHMS}
        self.assertEqual(wanted - names, set())

    def test_nothing_but_the_public_roots_is_another_name_than_rds(self) -> None:
        others = {name for name in map(rds_bundle.name, self.certificates) if not name.startswith("Amazon RDS ")}
        self.assertEqual(others, PUBLIC_ROOTS)

    def test_the_file_is_as_the_script_writes_it(self) -> None:
        valid = rds_bundle.valid(self.certificates, datetime.now(UTC))
        self.assertEqual(rds_bundle.text(valid), self.text)


class Comparison(unittest.TestCase):
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def test_a_new_certificate_is_lacking_and_a_known_or_expired_one_is_not(self) -> None:
        known, new, expired = self.root("known"), self.root("new"), self.root("expired", days=-1)
        missing = rds_bundle.lacking([known], [expired, known, new, new], self.now)
        self.assertEqual([rds_bundle.name(one) for one in missing], ["new"])

    def test_whatever_the_order_and_how_often_the_text_is_the_same(self) -> None:
        one, two = self.root("one"), self.root("two")
        texts = {
            rds_bundle.text(rds_bundle.valid(certificates, self.now)) for certificates in ([one, two], [two, one, two])
        }
        self.assertEqual(len(texts), 1)
        self.assertEqual(re.findall(r"^# (\w+), until", texts.pop(), re.MULTILINE), ["one", "two"])

    def root(self, name: str, days: int = 1) -> x509.Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(self.now - timedelta(days=10))
        return builder.not_valid_after(self.now + timedelta(days=days)).sign(key, hashes.SHA256())


if __name__ == "__main__":
    unittest.main()
