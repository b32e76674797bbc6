//! The URLs that may be called. Any publisher to the topic can name a URL; the worker writes only to the bucket that
//! CloudFormation uses for the stack's region, and only under the key of this request.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, Utc};
use percent_encoding::percent_decode_str;
use url::Url;

use super::text::word;
use super::{Arn, Origin, RequestHeader, partition};

/// How long CloudFormation's presigned URLs are valid, in seconds.
const PRESIGNED_SECONDS: i64 = 7200;

/// Why a URL is not called: names the rule, never the URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResponseUrlError {
    /// It is not a URL.
    #[error("ResponseURL is not a URL")]
    NotAUrl,
    /// Not https on 443, or with user information or a fragment.
    #[error("ResponseURL must be https on port 443, without user information and fragment")]
    Form,
    /// The host is not the one of the stack's region.
    #[error("ResponseURL names host \"{found}\"; a stack in {region} is answered at {expected}")]
    Host {
        /// The host in the URL.
        found: String,
        /// The stack's region.
        region: String,
        /// The valid host.
        expected: String,
    },
    /// The partition or region of the stack is unknown.
    #[error(
        "StackId is in {region} of {partition}, which is no region of aws, aws-us-gov or aws-cn"
    )]
    Place {
        /// The stack's partition.
        partition: String,
        /// The stack's region.
        region: String,
    },
    /// The topic is in another region than the stack.
    #[error("StackId is in {stack}, the topic in {topic}")]
    Region {
        /// The stack's region.
        stack: String,
        /// The topic's region.
        topic: String,
    },
    /// The key is not that of this request.
    #[error("ResponseURL's path is not StackId|LogicalResourceId|RequestId of this request")]
    Path,
    /// The query has no signature.
    #[error("ResponseURL is not presigned")]
    Unsigned,
}

/// A URL that may be called. Its `Debug` and `Display` leave the signature out.
#[derive(Clone, PartialEq, Eq)]
pub struct ResponseUrl(Url);

impl ResponseUrl {
    /// Checks the URL of a request against the rules of this module.
    ///
    /// `topic_arn` is the envelope's, if it has one; `origin` is the one allowed beside CloudFormation's.
    ///
    /// # Errors
    /// [`ResponseUrlError`] of the first rule that the URL breaks.
    pub fn check(
        header: &RequestHeader,
        topic_arn: Option<&str>,
        origin: Option<&Origin>,
    ) -> Result<Self, ResponseUrlError> {
        let url = Url::parse(&header.response_url).map_err(|_| ResponseUrlError::NotAUrl)?;
        let overridden = origin.is_some_and(|origin| origin.is_of(&url));
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(ResponseUrlError::Form);
        }
        let stack = &header.stack_id;
        if !overridden {
            if url.scheme() != "https" || url.port().is_some() {
                return Err(ResponseUrlError::Form);
            }
            check_host(&url, header)?;
        }
        if let Some(topic) = topic_arn.and_then(Arn::parse).map(|arn| arn.region)
            && topic != stack.region
        {
            return Err(ResponseUrlError::Region {
                stack: stack.region.clone(),
                topic: word(topic).to_owned(),
            });
        }
        let key = format!(
            "{}|{}|{}",
            stack.arn, header.logical_resource_id, header.request_id
        );
        let path = percent_decode_str(url.path())
            .decode_utf8()
            .map_err(|_| ResponseUrlError::Path)?;
        let path = path.strip_prefix('/').unwrap_or_default();
        // LocalStack serves all buckets from one host.
        let below_bucket = overridden
            && path
                .split_once('/')
                .is_some_and(|(bucket, rest)| !bucket.is_empty() && rest == key);
        if path != key && !below_bucket {
            return Err(ResponseUrlError::Path);
        }
        let has = |parameter: &str| {
            url.query_pairs()
                .any(|(name, value)| name == parameter && !value.is_empty())
        };
        if !(has("X-Amz-Signature") || has("AWSAccessKeyId") && has("Expires") && has("Signature"))
        {
            return Err(ResponseUrlError::Unsigned);
        }
        Ok(Self(url))
    }

    /// The URL with its signature, for the PUT.
    pub(crate) fn expose(&self) -> &Url {
        &self.0
    }

    /// When the URL was signed, if it says so.
    pub(crate) fn signed_at(&self) -> Option<DateTime<Utc>> {
        if let Some(date) = self.parameter("X-Amz-Date") {
            return NaiveDateTime::parse_from_str(&date, "%Y%m%dT%H%M%SZ")
                .ok()
                .map(|date| date.and_utc());
        }
        let expires = self.parameter("Expires")?.parse::<i64>().ok()?;
        DateTime::from_timestamp(expires.checked_sub(PRESIGNED_SECONDS)?, 0)
    }

    /// When the URL expires, if it says so.
    pub(crate) fn expires_at(&self) -> Option<DateTime<Utc>> {
        let seconds = match self.parameter("X-Amz-Expires") {
            Some(seconds) => seconds.parse().ok()?,
            None => PRESIGNED_SECONDS,
        };
        self.signed_at()?
            .checked_add_signed(chrono::TimeDelta::try_seconds(seconds)?)
    }

    fn parameter(&self, name: &str) -> Option<String> {
        self.0
            .query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }
}

impl fmt::Debug for ResponseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for ResponseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}{}?***",
            self.0.origin().ascii_serialization(),
            self.0.path()
        )
    }
}

/// The endpoint of a bucket has four forms, of which the one without a region is only for us-east-1. CloudFormation has
/// used three; the dual-stack endpoint reaches the same bucket.
fn check_host(url: &Url, header: &RequestHeader) -> Result<(), ResponseUrlError> {
    let stack = &header.stack_id;
    let region = &stack.region;
    let domain =
        partition::domain(&stack.partition, region).ok_or_else(|| ResponseUrlError::Place {
            partition: stack.partition.clone(),
            region: region.clone(),
        })?;
    let bucket = format!(
        "cloudformation-custom-resource-response-{}",
        region.replace('-', "")
    );
    let regional = format!("{bucket}.s3.{region}.{domain}");
    let found = url.host_str().unwrap_or_default();
    let is_right = found == regional
        || found == format!("{bucket}.s3-{region}.{domain}")
        || found == format!("{bucket}.s3.dualstack.{region}.{domain}")
        || region == "us-east-1" && found == format!("{bucket}.s3.{domain}");
    if is_right {
        return Ok(());
    }
    Err(ResponseUrlError::Host {
        found: found.to_owned(),
        region: region.clone(),
        expected: regional,
    })
}

#[cfg(test)]
mod tests;
