//! Checks that the certificates of a file form a chain to a root certificate of the machine. Reads no clock, fetches
//! nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};

use crate::process::tls::{self, TlsError};

/// Why the certificates of a file are refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChainError {
    /// The file is not PEM, or contains no certificate.
    #[error("the file that should hold the signing certificate is not one of PEM")]
    NoCertificate,
    /// The chain does not lead to a root, or is not valid now.
    #[error("the signing certificate's chain is refused")]
    Chain(#[source] rustls::Error),
}

/// The root certificates.
#[derive(Debug)]
pub(crate) struct Roots(RootCertStore);

impl Roots {
    /// Those of the machine.
    ///
    /// # Errors
    /// [`TlsError`] if it has none.
    pub(crate) fn system() -> Result<Self, TlsError> {
        tls::roots(None).map(Self)
    }

    /// Checks the chain from a file's first certificate over its others to a root. A certificate without others is accepted
    /// if its issuer is unknown here.
    ///
    /// # Errors
    /// [`ChainError`] if there are others and they do not lead to a root, or if a certificate without others names a root
    /// as its issuer and is not signed by it.
    pub(crate) fn check(&self, chain: &Chain, now: DateTime<Utc>) -> Result<(), ChainError> {
        let parsed = ParsedCertificate::try_from(&chain.leaf).map_err(ChainError::Chain)?;
        let since_1970 = Duration::from_secs(u64::try_from(now.timestamp()).unwrap_or_default());
        let verified = verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.0,
            &chain.others,
            UnixTime::since_unix_epoch(since_1970),
            ring::default_provider()
                .signature_verification_algorithms
                .all,
        );
        match verified {
            Ok(()) => Ok(()),
            // The chain cannot be checked: the caller decides what follows.
            Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
                if chain.others.is_empty() =>
            {
                Ok(())
            }
            Err(error) => Err(ChainError::Chain(error)),
        }
    }
}

/// The certificates of a file.
#[derive(Debug)]
pub(crate) struct Chain {
    leaf: CertificateDer<'static>,
    others: Vec<CertificateDer<'static>>,
}

impl Chain {
    /// Parses a PEM file.
    ///
    /// # Errors
    /// [`ChainError::NoCertificate`].
    pub(crate) fn read(pem: &[u8]) -> Result<Self, ChainError> {
        let mut certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| ChainError::NoCertificate)?
            .into_iter();
        let leaf = certificates.next().ok_or(ChainError::NoCertificate)?;
        Ok(Self {
            leaf,
            others: certificates.collect(),
        })
    }

    /// The first certificate, in DER.
    pub(crate) fn leaf(&self) -> &[u8] {
        &self.leaf
    }
}

#[cfg(test)]
impl Roots {
    pub(crate) fn of(pem: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(pem) {
            roots.add(root.unwrap()).unwrap();
        }
        Self(roots)
    }
}
