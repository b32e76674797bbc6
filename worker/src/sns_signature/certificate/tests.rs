//! Certificates and signatures that `worker/testdata/sns/make.py` made: a root, an intermediate and leaves of its own.

use serde_json::{Value, json};

use super::super::SignedFields;
use super::*;
use crate::request::Envelope;

const NAMES: [&str; 2] = ["sns.amazonaws.com", "sns.us-east-1.amazonaws.com"];
const VERSIONS: [&str; 4] = [
    include_str!("../../../testdata/sns/version-1.json"),
    include_str!("../../../testdata/sns/version-1-subject.json"),
    include_str!("../../../testdata/sns/version-2.json"),
    include_str!("../../../testdata/sns/version-2-subject.json"),
];

macro_rules! pem {
    ($name:literal) => {
        include_bytes!(concat!("../../../testdata/sns/", $name, ".pem"))
    };
}

fn march() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn check_of(
    pem: &[u8],
    names: &[&str],
    now: DateTime<Utc>,
) -> Result<SigningCertificate, CertificateError> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    SigningCertificate::check(pem, Some(&names), &Roots::of(pem!("root")), now)
}

fn check(pem: &[u8]) -> Result<SigningCertificate, CertificateError> {
    check_of(pem, &NAMES, march())
}

/// The whole of what is wrong, cause by cause.
fn fault(result: Result<SigningCertificate, CertificateError>) -> String {
    let error = result.unwrap_err();
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    message
}

fn signature(envelope: &Value) -> Signature {
    let envelope = Envelope::open(&envelope.to_string(), &[]).unwrap();
    SignedFields::new(&envelope.signed.unwrap())
        .signature(None)
        .unwrap()
}

#[test]
fn both_versions_are_verified_with_a_subject_and_without() {
    let certificate = check(pem!("chain")).unwrap();
    for text in VERSIONS {
        // Parsed and written again: neither white space nor escapes of the envelope count.
        let signed = signature(&serde_json::from_str(text).unwrap());
        assert!(certificate.has_signed(&signed), "{text}");
    }
}

#[test]
fn a_change_in_any_signed_field_is_seen() {
    let certificate = check(pem!("chain")).unwrap();
    for text in VERSIONS {
        let genuine: Value = serde_json::from_str(text).unwrap();
        for (field, change) in [
            ("Message", json!("{\"RequestType\":\"Delete\"}")),
            ("MessageId", json!("7c72a0bb-c6f6-536b-88b7-ef25c9c6734b")),
            ("Subject", json!("Another")),
            ("Timestamp", json!("2026-03-01T12:00:00.043Z")),
            (
                "TopicArn",
                json!("arn:aws:sns:us-east-1:999999999999:extension-worker"),
            ),
            ("Type", json!("AnotherType")),
        ] {
            let mut tampered = genuine.clone();
            tampered[field] = change;
            assert!(!certificate.has_signed(&signature(&tampered)), "{field}");
        }
        let mut without_subject = genuine.clone();
        if without_subject
            .as_object_mut()
            .unwrap()
            .remove("Subject")
            .is_some()
        {
            assert!(!certificate.has_signed(&signature(&without_subject)));
        }
    }
}

#[test]
fn a_signature_is_of_its_version_its_text_and_its_key() {
    let certificate = check(pem!("chain")).unwrap();
    let [first, _, second, _] = VERSIONS.map(|text| serde_json::from_str::<Value>(text).unwrap());
    for (signature_of, version) in [(&first, "2"), (&second, "1")] {
        let mut other = (*signature_of).clone();
        other["SignatureVersion"] = json!(version);
        assert!(!certificate.has_signed(&signature(&other)));
    }
    for wrong in ["", "AAEC"] {
        let mut other = first.clone();
        other["Signature"] = json!(wrong);
        assert!(!certificate.has_signed(&signature(&other)));
    }
    let another_key =
        SigningCertificate::check(pem!("root"), None, &Roots::of(pem!("root")), march()).unwrap();
    assert!(!another_key.has_signed(&signature(&first)));
}

#[test]
fn a_chain_leads_to_a_root_or_nowhere() {
    assert!(check(pem!("chain")).is_ok());
    assert!(check(pem!("leaf-by-root")).is_ok());
    assert_eq!(
        fault(check(pem!("chain-of-a-stranger"))),
        "the signing certificate\'s chain is refused: invalid peer certificate: BadSignature"
    );
    assert_eq!(
        fault(check(pem!("leaf-by-a-false-root"))),
        "the signing certificate\'s chain is refused: invalid peer certificate: BadSignature"
    );
    // The intermediate's own roots: to others the same chain leads nowhere.
    let strangers = Roots::of(pem!("elliptic-curve"));
    let names = [NAMES[0].to_owned()];
    assert!(SigningCertificate::check(pem!("chain"), Some(&names), &strangers, march()).is_err());
}

#[test]
fn a_leaf_that_comes_alone_rests_on_the_connection() {
    for lonely in [pem!("leaf").as_slice(), pem!("common-name-alone")] {
        let certificate = check(lonely).unwrap();
        assert_eq!(
            certificate.not_after.to_rfc3339(),
            "2027-01-01T00:00:00+00:00"
        );
        let genuine = serde_json::from_str(VERSIONS[0]).unwrap();
        assert!(certificate.has_signed(&signature(&genuine)));
    }
}

#[test]
fn a_certificate_is_taken_between_its_dates_alone() {
    assert_eq!(
        fault(check(pem!("expired"))),
        "the signing certificate is valid from 2024-01-01 00:00:00 UTC to 2025-01-01 00:00:00 UTC"
    );
    for (now, is_valid) in [
        ("2025-12-31T23:59:59Z", false),
        ("2026-01-01T00:00:00Z", true),
        ("2027-01-01T00:00:00Z", true),
        ("2027-01-01T00:00:01Z", false),
    ] {
        for pem in [pem!("leaf").as_slice(), pem!("chain")] {
            let found = check_of(pem, &NAMES, now.parse().unwrap());
            assert_eq!(found.is_ok(), is_valid, "{now}: {found:?}");
        }
    }
    let unchecked =
        SigningCertificate::check(pem!("expired"), None, &Roots::of(pem!("root")), march());
    assert!(matches!(unchecked, Err(CertificateError::Dates { .. })));
}

#[test]
fn a_certificate_names_sns() {
    assert_eq!(
        fault(check(pem!("other-name"))),
        "the signing certificate is not SNS's: it names sns.amazonaws.com.example.org, example.org"
    );
    let regional = pem!("regional");
    assert!(check(regional).is_err());
    assert!(check_of(regional, &["sns-signing.af-south-1.amazonaws.com"], march()).is_ok());
    assert!(check_of(regional, &["sns.af-south-1.amazonaws.com"], march()).is_ok());
}

#[test]
fn what_comes_from_the_overrides_origin_is_taken_as_it_is() {
    for pem in [
        pem!("other-name").as_slice(),
        pem!("chain-of-a-stranger"),
        // LocalStack's own is a CA that signed itself.
        pem!("root"),
    ] {
        let taken = SigningCertificate::check(pem, None, &Roots::of(pem!("root")), march());
        assert!(taken.is_ok(), "{taken:?}");
    }
}

#[test]
fn what_is_no_certificate_or_no_rsa_key_is_refused() {
    assert_eq!(
        fault(check(pem!("elliptic-curve"))),
        "the signing certificate's key is not an RSA key"
    );
    for no_certificate in [
        "",
        "<html>",
        "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n****\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n",
    ] {
        for names in [None, Some(NAMES.map(str::to_owned))] {
            let names = names.as_ref().map(<[String; 2]>::as_slice);
            let refused = SigningCertificate::check(
                no_certificate.as_bytes(),
                names,
                &Roots::of(pem!("root")),
                march(),
            );
            assert!(refused.is_err(), "{no_certificate}");
        }
    }
}
