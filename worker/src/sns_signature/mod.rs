//! Verifies the SNS signature of a message, and decides what follows from a signature that is not valid.

pub(crate) mod certificate;
pub(crate) mod certificate_cache;
mod certificate_url;
pub(crate) mod chain;
mod signed_fields;

pub(crate) use certificate_url::{CertificateUrl, CertificateUrlError};
pub(crate) use signed_fields::{Signature, SignatureFieldError, SignatureVersion, SignedFields};

use std::sync::Arc;

use tracing::warn;

use self::certificate_cache::{CertificateFetchError, Certificates};
use crate::process::error_chain::with_causes;
use crate::process::http::Http;
use crate::process::tls::TlsError;
use crate::request::{Envelope, Origin};

/// Whether messages must have a valid SNS signature, `WORKER_SNS_SIGNATURE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum SignatureCheck {
    /// Signatures are not verified.
    #[default]
    Off,
    /// A message without a valid signature is logged, and processed.
    Warn,
    /// A message without a valid signature is moved to the dead-letter queue.
    Enforce,
}

/// Why the signature of a message cannot be confirmed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignatureError {
    /// With raw delivery there is no signature.
    #[error(
        "raw delivery has no signature: deliver the SNS envelope, or set WORKER_SNS_SIGNATURE to off"
    )]
    Raw,
    /// The fields of the envelope cannot be valid.
    #[error("the SNS signature is not valid")]
    Fault(#[source] SignatureFieldError),
    /// The certificate could not be fetched, or is not valid.
    #[error("the SNS signature cannot be checked")]
    Certificate(#[source] Arc<CertificateFetchError>),
    /// The signature does not match the key or the text.
    #[error("the SNS signature is not valid: the envelope was not signed by SNS, or was changed")]
    Forged,
}

impl SignatureError {
    /// Whether another attempt may succeed.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Certificate(error) => error.is_temporary(),
            Self::Raw | Self::Fault(_) | Self::Forged => false,
        }
    }
}

/// Verifies signatures.
#[derive(Debug)]
pub struct Signatures {
    check: SignatureCheck,
    origin: Option<Origin>,
    /// `None` if signatures are not verified.
    certificates: Option<Certificates>,
}

impl Signatures {
    /// `origin` is one more origin of certificates, beside SNS's.
    ///
    /// # Errors
    /// [`TlsError`] if signatures are verified and the machine has no root certificates.
    pub fn new(
        check: SignatureCheck,
        origin: Option<Origin>,
        http: Http,
    ) -> Result<Self, TlsError> {
        let certificates = match check {
            SignatureCheck::Off => None,
            SignatureCheck::Warn | SignatureCheck::Enforce => Some(Certificates::new(http)?),
        };
        Ok(Self {
            check,
            origin,
            certificates,
        })
    }

    /// Verifies a message according to the setting. `message_id` is SQS's, for the log.
    ///
    /// # Errors
    /// [`SignatureError`], if the message may not be processed.
    pub(crate) async fn check(
        &self,
        message_id: &str,
        envelope: &Envelope,
    ) -> Result<(), SignatureError> {
        let Some(certificates) = &self.certificates else {
            return Ok(());
        };
        let Err(unverified) = self.verify(certificates, envelope).await else {
            return Ok(());
        };
        let reason = with_causes(&unverified);
        match self.check {
            SignatureCheck::Off => Ok(()),
            SignatureCheck::Warn => {
                warn!(
                    message_id,
                    reason,
                    "not known to come from SNS, and handled all the same (WORKER_SNS_SIGNATURE)"
                );
                Ok(())
            }
            SignatureCheck::Enforce => {
                // A message that is refused for good is logged when it is moved to the dead-letter queue.
                if unverified.is_temporary() {
                    warn!(message_id, reason, "given back, to be checked again");
                }
                Err(unverified)
            }
        }
    }

    async fn verify(
        &self,
        certificates: &Certificates,
        envelope: &Envelope,
    ) -> Result<(), SignatureError> {
        let signed = envelope.signed.as_ref().ok_or(SignatureError::Raw)?;
        let signature = SignedFields::new(signed)
            .signature(self.origin.as_ref())
            .map_err(SignatureError::Fault)?;
        let certificate = certificates
            .at(&signature.certificate)
            .await
            .map_err(SignatureError::Certificate)?;
        if certificate.has_signed(&signature) {
            Ok(())
        } else {
            Err(SignatureError::Forged)
        }
    }
}
