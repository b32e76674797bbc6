//! What SNS signs: the fields of the envelope, and the text that they make. Nothing is fetched or computed here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{CertificateUrl, CertificateUrlError};
use crate::request::Origin;
use crate::request::text::{printable, word};

/// In this order they are signed, each as its name and its value, a line feed behind both.
const FIELDS: [&str; 6] = [
    "Message",
    "MessageId",
    "Subject",
    "Timestamp",
    "TopicArn",
    "Type",
];

/// The one that a publisher may leave out.
const OPTIONAL_FIELD: &str = "Subject";

/// SNS's own spelling, and that of its events for Lambda.
const CERTIFICATE_FIELDS: [&str; 2] = ["SigningCertURL", "SigningCertUrl"];

/// Which digest the topic signs with, its attribute `SignatureVersion`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureVersion {
    /// RSA with SHA-1, a topic's default.
    One,
    /// RSA with SHA-256.
    Two,
}

/// Why an envelope cannot be right, whatever the certificate says. Never quotes more than a host or a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureFieldError {
    /// A field is not there.
    #[error("the SNS envelope has no {0}")]
    Missing(&'static str),
    /// A field is no text.
    #[error("{0} of the SNS envelope is not a string")]
    NotAString(&'static str),
    /// A version that this worker does not know.
    #[error("SignatureVersion \"{0}\" of the SNS envelope is not one of 1, 2")]
    Version(String),
    /// The signature is no base64.
    #[error("Signature of the SNS envelope is not base64")]
    NotBase64,
    /// The certificate may not be fetched.
    #[error(transparent)]
    Url(#[from] CertificateUrlError),
}

/// The envelope's fields as they came: what is signed are these texts, not what they mean.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SignedFields<'a>(&'a Map<String, Value>);

/// A signature, what it is of, and whose it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    /// With which digest.
    pub(crate) version: SignatureVersion,
    /// The text that is signed.
    pub(crate) text: String,
    /// The signature itself.
    pub(crate) bytes: Vec<u8>,
    /// Where the certificate is.
    pub(crate) certificate: CertificateUrl,
}

impl<'a> SignedFields<'a> {
    /// Takes the fields of an envelope, none of them looked at yet.
    pub(crate) fn new(envelope: &'a Map<String, Value>) -> Self {
        Self(envelope)
    }

    /// Reads the signature. `origin` is the one override of where a certificate may come from.
    ///
    /// # Errors
    /// [`SignatureFieldError`], the first that is found.
    pub(crate) fn signature(
        &self,
        origin: Option<&Origin>,
    ) -> Result<Signature, SignatureFieldError> {
        let version = match self.required("SignatureVersion")? {
            "1" => SignatureVersion::One,
            "2" => SignatureVersion::Two,
            other => {
                return Err(SignatureFieldError::Version(
                    word(&printable(other, 20)).to_owned(),
                ));
            }
        };
        let bytes = STANDARD
            .decode(self.required("Signature")?)
            .map_err(|_| SignatureFieldError::NotBase64)?;
        let mut text = String::new();
        for field in FIELDS {
            let value = match self.optional(field)? {
                Some(value) => value,
                None if field == OPTIONAL_FIELD => continue,
                None => return Err(SignatureFieldError::Missing(field)),
            };
            for part in [field, "\n", value, "\n"] {
                text.push_str(part);
            }
        }
        let [usual, other] = CERTIFICATE_FIELDS;
        let url = match self.optional(usual)? {
            Some(url) => url,
            None => self
                .optional(other)?
                .ok_or(SignatureFieldError::Missing(usual))?,
        };
        let certificate = CertificateUrl::check(url, self.required("TopicArn")?, origin)?;
        Ok(Signature {
            version,
            text,
            bytes,
            certificate,
        })
    }

    fn required(&self, field: &'static str) -> Result<&str, SignatureFieldError> {
        self.optional(field)?
            .ok_or(SignatureFieldError::Missing(field))
    }

    fn optional(&self, field: &'static str) -> Result<Option<&str>, SignatureFieldError> {
        match self.0.get(field) {
            Some(Value::String(text)) => Ok(Some(text)),
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(SignatureFieldError::NotAString(field))
            }
        }
    }
}

#[cfg(test)]
mod tests;
