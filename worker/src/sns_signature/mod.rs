//! Whether a message is checked for SNS's signature, and what comes of one that is not right.

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

/// Why a message is not known to come from its topic.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignatureError {
    /// Raw delivery brings the request without what SNS says of it.
    #[error(
        "raw delivery has no signature: deliver the SNS envelope, or set WORKER_SNS_SIGNATURE to off"
    )]
    Raw,
    /// The envelope has no signature that could be right.
    #[error("the SNS signature is not valid")]
    Fault(#[source] SignatureFieldError),
    /// The certificate is not to be had, now or ever.
    #[error("the SNS signature cannot be checked")]
    Certificate(#[source] Arc<CertificateFetchError>),
    /// The signature is of another key or another text.
    #[error("the SNS signature is not valid: the envelope was not signed by SNS, or was changed")]
    Forged,
}

impl SignatureError {
    /// Whether trying again may help.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            Self::Certificate(error) => error.is_temporary(),
            Self::Raw | Self::Fault(_) | Self::Forged => false,
        }
    }
}

/// Checks signatures.
#[derive(Debug)]
pub struct Signatures {
    check: SignatureCheck,
    origin: Option<Origin>,
    /// None where nothing is checked.
    certificates: Option<Certificates>,
}

impl Signatures {
    /// `origin` is the one override of where a certificate may come from.
    ///
    /// # Errors
    /// [`TlsError`] where signatures are checked and the machine has no roots.
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

    /// Checks a message, as far as the setting asks for it. `message_id` is SQS's, for the log.
    ///
    /// # Errors
    /// [`SignatureError`], where the message may not be handled.
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
                // What is refused for good is logged with its way to the dead-letter queue.
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
