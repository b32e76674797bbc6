//! The one TLS stack: rustls on ring, for AWS, for answers and for PostgreSQL with libpq's `sslmode`s.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tracing::{info, warn};

use super::error_chain::with_causes;

/// `PGSSLROOTCERT` for the machine's own store.
const SYSTEM: &str = "system";

/// libpq's `sslmode`, `PGSSLMODE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS if the server supports it; its certificate is not verified.
    Prefer,
    /// TLS; the certificate is verified only if `PGSSLROOTCERT` is set.
    Require,
    /// TLS with a certificate of a trusted CA, for any host.
    VerifyCa,
    /// TLS with a certificate of a trusted CA for the server's host name.
    VerifyFull,
}

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The bundle cannot be read, or is no PEM.
    #[error("cannot read the CA bundle {path}")]
    Bundle {
        /// `PGSSLROOTCERT`.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// There is no certificate in the bundle or on the machine.
    #[error("cannot verify any server: there is no CA certificate in {0}")]
    NoRoots(String),
    /// rustls refuses the configuration.
    #[error("cannot set up TLS")]
    Rustls(#[from] rustls::Error),
    /// rustls refuses the roots.
    #[error("cannot set up certificate verification")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// Makes ring the process's provider of cryptography. Calling it again changes nothing.
pub fn install_provider() {
    // An error only says that one is installed already.
    drop(ring::default_provider().install_default());
}

/// The TLS configuration for connections to PostgreSQL.
///
/// `root_cert` is `PGSSLROOTCERT`: a file of PEM certificates, each of them a trust anchor, or `system` for the machine's.
/// Unset, it is the machine's. A file that changes later counts from the next connection on.
///
/// # Errors
/// [`TlsError`] where the bundle cannot be used.
pub fn postgres_config(mode: SslMode, root_cert: Option<&str>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let verified = match mode {
        SslMode::Disable | SslMode::Prefer => false,
        SslMode::Require => root_cert.is_some(),
        SslMode::VerifyCa | SslMode::VerifyFull => true,
    };
    let bundle = verified
        .then(|| Bundle::open(root_cert, Arc::clone(&provider)))
        .transpose()?;
    let verifier = Arc::new(Verifier {
        provider: Arc::clone(&provider),
        bundle,
        any_host: mode != SslMode::VerifyFull,
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // A resumed session would be taken without another look at the certificate.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The trust anchors of `PGSSLROOTCERT`, or the machine's.
pub(crate) fn roots(root_cert: Option<&str>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match root_cert {
        None | Some(SYSTEM) => {
            let native = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(native.certs);
        }
        Some(path) => {
            let unreadable = |source| TlsError::Bundle {
                path: PathBuf::from(path),
                source,
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
                roots.add(certificate.map_err(unreadable)?)?;
            }
        }
    }
    if roots.is_empty() {
        let place = root_cert.map_or_else(|| "the system's store".to_owned(), str::to_owned);
        return Err(TlsError::NoRoots(place));
    }
    Ok(roots)
}

/// The trust anchors, and the file that they are read from again when it has changed.
#[derive(Debug)]
struct Bundle {
    /// None for the machine's store.
    path: Option<PathBuf>,
    provider: Arc<CryptoProvider>,
    read: Mutex<(Stamp, Arc<WebPkiServerVerifier>)>,
}

/// Identifies one state of a file; none where its metadata cannot be read.
type Stamp = Option<(SystemTime, u64)>;

impl Bundle {
    fn open(root_cert: Option<&str>, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let path = root_cert.filter(|path| *path != SYSTEM).map(PathBuf::from);
        let stamp = path.as_deref().and_then(stamp);
        let verifier = verifier(root_cert, &provider)?;
        Ok(Self {
            path,
            provider,
            read: Mutex::new((stamp, verifier)),
        })
    }

    /// The file's present content; where it cannot be read, the content before.
    fn current(&self) -> Arc<WebPkiServerVerifier> {
        let mut read = self.read.lock();
        if let Some(path) = &self.path {
            let now = stamp(path);
            if now != read.0 {
                match verifier(path.to_str(), &self.provider) {
                    Ok(verifier) => {
                        info!(path = %path.display(), "the CA bundle has changed");
                        *read = (now, verifier);
                    }
                    Err(error) => warn!(
                        error = with_causes(&error),
                        "the CA bundle has changed, and the one before still serves"
                    ),
                }
            }
        }
        Arc::clone(&read.1)
    }
}

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

fn verifier(
    root_cert: Option<&str>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let roots = Arc::new(roots(root_cert)?);
    let builder = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider));
    Ok(builder.build()?)
}

/// What each `sslmode` asks of a server's certificate.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// None for `prefer` and `require`: as libpq has it, the connection is encrypted, and the server's identity is not checked.
    bundle: Option<Bundle>,
    /// `verify-ca`: the chain counts, the name does not.
    any_host: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(bundle) = &self.bundle else {
            return Ok(ServerCertVerified::assertion());
        };
        // webpki looks at the name last: this error means that the chain is right.
        match bundle.current().verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        ) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.any_host => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_of_the_image_is_read_whole() {
        const BUNDLE: &str = "rds-global-bundle.pem";
        let text = fs::read_to_string(BUNDLE).unwrap();
        let certificates = text.matches("-----BEGIN CERTIFICATE-----").count();
        assert!(certificates > 80);
        assert_eq!(roots(Some(BUNDLE)).unwrap().len(), certificates);
    }

    #[test]
    fn a_bundle_without_a_certificate_is_none() {
        let error = roots(Some("Cargo.toml")).unwrap_err();
        insta::assert_snapshot!(error, @"cannot verify any server: there is no CA certificate in Cargo.toml");
    }
}
