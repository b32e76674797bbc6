//! The certificate that SNS signs with: whether it is SNS's, and whether a signature is its own. Reads no clock, fetches
//! nothing.
//!
//! # Where trust comes from
//! The URL is SNS's own in the topic's region ([`super::CertificateUrl`]), and the file came over HTTPS from
//! there. A file with intermediates, or a certificate that a root of the machine's store issued, must lead to that
//! store. SNS's files hold the leaf alone, issued by an intermediate that is in no store: such a certificate is checked
//! for dates, name and key, but who issued it is not, and trust in it rests on the HTTPS connection it came over.

use chrono::{DateTime, TimeDelta, Utc};
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::der::oid::db::rfc5912::RSA_ENCRYPTION;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

use super::chain::{Chain, ChainError, Roots};
use super::{Signature, SignatureVersion};

/// Why a certificate is not taken for SNS's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    /// Nothing that is a certificate, or one without a chain to a root.
    #[error(transparent)]
    ChainError(#[from] ChainError),
    /// It is malformed.
    #[error("the signing certificate cannot be read")]
    Malformed(#[source] x509_cert::der::Error),
    /// It is too early or too late.
    #[error("the signing certificate is valid from {not_before} to {not_after}")]
    Dates {
        /// From when it is valid.
        not_before: DateTime<Utc>,
        /// Until when it is valid.
        not_after: DateTime<Utc>,
    },
    /// It is of another name.
    #[error("the signing certificate is not SNS's: it names {0}")]
    Name(String),
    /// Its key is of another kind.
    #[error("the signing certificate's key is not an RSA key")]
    NotRsa,
}

/// A certificate that may have signed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SigningCertificate {
    /// PKCS#1's RSAPublicKey, in DER.
    key: Vec<u8>,
    /// Until when it is valid.
    pub(crate) not_after: DateTime<Utc>,
}

impl SigningCertificate {
    /// Takes the first certificate of a PEM file. With `names` it has to have one of them, and its chain is checked;
    /// without, it comes from the override's origin and is taken as it is, but for its dates and its key.
    ///
    /// # Errors
    /// [`CertificateError`], the first rule that is broken.
    pub(crate) fn check(
        pem: &[u8],
        names: Option<&[String]>,
        roots: &Roots,
        now: DateTime<Utc>,
    ) -> Result<Self, CertificateError> {
        let chain = Chain::read(pem)?;
        let certificate =
            Certificate::from_der(chain.leaf()).map_err(CertificateError::Malformed)?;
        let validity = &certificate.tbs_certificate.validity;
        let (not_before, not_after) = (date(validity.not_before), date(validity.not_after));
        if now < not_before || now > not_after {
            return Err(CertificateError::Dates {
                not_before,
                not_after,
            });
        }
        if let Some(names) = names {
            let found = names_of(&certificate)?;
            if !found.iter().any(|found| names.contains(found)) {
                return Err(CertificateError::Name(found.join(", ")));
            }
            // A leaf that came alone cannot be checked further: see the head of this file.
            roots.check(&chain, now)?;
        }
        let key = &certificate.tbs_certificate.subject_public_key_info;
        if key.algorithm.oid != RSA_ENCRYPTION {
            return Err(CertificateError::NotRsa);
        }
        Ok(Self {
            key: key.subject_public_key.raw_bytes().to_vec(),
            not_after,
        })
    }

    /// Whether the signature is this certificate's.
    pub(crate) fn has_signed(&self, signature: &Signature) -> bool {
        let algorithm = match signature.version {
            SignatureVersion::One => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            SignatureVersion::Two => &RSA_PKCS1_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, &self.key)
            .verify(signature.text.as_bytes(), &signature.bytes)
            .is_ok()
    }
}

/// The subject's common names and alternative names, in lower case.
fn names_of(certificate: &Certificate) -> Result<Vec<String>, CertificateError> {
    let certificate = &certificate.tbs_certificate;
    let subject = certificate.subject.0.iter();
    let mut names: Vec<String> = subject
        .flat_map(|part| part.0.iter())
        .filter(|attribute| attribute.oid == COMMON_NAME)
        .filter_map(|attribute| std::str::from_utf8(attribute.value.value()).ok())
        .map(str::to_ascii_lowercase)
        .collect();
    let alternatives = certificate
        .get::<SubjectAltName>()
        .map_err(CertificateError::Malformed)?;
    for name in alternatives.into_iter().flat_map(|(_, names)| names.0) {
        if let GeneralName::DnsName(name) = name {
            names.push(name.as_str().to_ascii_lowercase());
        }
    }
    Ok(names)
}

fn date(time: Time) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::from_std(time.to_unix_duration()).unwrap_or(TimeDelta::zero())
}

#[cfg(test)]
mod tests;
