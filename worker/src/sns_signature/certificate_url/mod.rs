//! Which URL a certificate of SNS may be fetched from. Any sender to the queue can name a URL; only SNS's own
//! host in the topic's region is ever asked.

use url::Url;

use crate::request::text::word;
use crate::request::{Arn, Origin, partition};

/// Why a certificate is not fetched. Says which rule, never more of the URL than its host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateUrlError {
    /// Nothing says in which region SNS is to be asked.
    #[error(
        "TopicArn \"{0}\" of the SNS envelope is not one of a topic in aws, aws-us-gov or aws-cn"
    )]
    Topic(String),
    /// It is no URL.
    #[error("SigningCertURL of the SNS envelope is not a URL")]
    NotAUrl,
    /// Not https on 443, or with user information, a query or a fragment.
    #[error(
        "SigningCertURL must be https on port 443, without user information, query and fragment"
    )]
    Form,
    /// Another host than SNS's in the topic's region.
    #[error("SigningCertURL names host \"{found}\"; the topic's certificates are at {expected}")]
    Host {
        /// The host that it names.
        found: String,
        /// The host that is right.
        expected: String,
    },
    /// Not a file as SNS names its certificates.
    #[error("SigningCertURL's path is not /SimpleNotificationService-<32 hexadecimal digits>.pem")]
    Path,
}

/// A URL that a certificate may be fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateUrl {
    url: Url,
    names: Option<[String; 4]>,
}

impl CertificateUrl {
    /// Checks a URL against the rules of this module. `origin` is the one override.
    ///
    /// # Errors
    /// [`CertificateUrlError`], the first rule that is broken.
    pub(crate) fn check(
        url: &str,
        topic_arn: &str,
        origin: Option<&Origin>,
    ) -> Result<Self, CertificateUrlError> {
        let url = Url::parse(url).map_err(|_| CertificateUrlError::NotAUrl)?;
        if !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(CertificateUrlError::Form);
        }
        // LocalStack serves its certificate below a directory.
        if origin.is_some_and(|origin| origin.is_of(&url)) {
            let file = url.path().rsplit('/').next().unwrap_or_default();
            return if is_certificate(file) {
                Ok(Self { url, names: None })
            } else {
                Err(CertificateUrlError::Path)
            };
        }
        if url.scheme() != "https" || url.port().is_some() {
            return Err(CertificateUrlError::Form);
        }
        let (region, domain) = region_and_domain(topic_arn)
            .ok_or_else(|| CertificateUrlError::Topic(word(topic_arn).to_owned()))?;
        let expected = format!("sns.{region}.{domain}");
        let found = url.host_str().unwrap_or_default();
        if found != expected {
            return Err(CertificateUrlError::Host {
                found: found.to_owned(),
                expected,
            });
        }
        if !url.path().strip_prefix('/').is_some_and(is_certificate) {
            return Err(CertificateUrlError::Path);
        }
        // SNS in both regions of GovCloud signs as the western one.
        let dashed = match region {
            "us-gov-east-1" => "us-gov-west-1",
            _ => region,
        };
        let names = [
            "sns.amazonaws.com".to_owned(),
            expected,
            // Regions that came after 2018.
            format!("sns-signing.{region}.{domain}"),
            // GovCloud and China.
            format!("sns-{dashed}.{domain}"),
        ];
        Ok(Self {
            url,
            names: Some(names),
        })
    }

    /// The URL, for the one that fetches it.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// The names of which the certificate has to have one. None where it comes from the override's origin, whose
    /// certificates say nothing of SNS.
    pub(crate) fn names(&self) -> Option<&[String]> {
        self.names.as_ref().map(<[String; 4]>::as_slice)
    }
}

/// The region of a topic, and the domain of its partition.
fn region_and_domain(topic_arn: &str) -> Option<(&str, &'static str)> {
    let topic = Arn::of_topic(topic_arn)?;
    Some((
        topic.region,
        partition::domain(topic.partition, topic.region)?,
    ))
}

fn is_certificate(file: &str) -> bool {
    file.strip_prefix("SimpleNotificationService-")
        .and_then(|rest| rest.strip_suffix(".pem"))
        .is_some_and(|hash| {
            hash.len() == 32
                && hash
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
}

#[cfg(test)]
mod tests;
