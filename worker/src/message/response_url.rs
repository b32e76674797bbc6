//! Which URLs may be called. Whoever can publish to the topic can name a URL; only the bucket that CloudFormation
//! uses for the stack's region, and in it only the key of this very request, is ever written to.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, Utc};
use percent_encoding::percent_decode_str;
use url::Url;

use super::{Coordinates, Origin};

/// How long CloudFormation's presigned URLs are valid, in seconds.
const PRESIGNED_SECONDS: i64 = 7200;

/// Why a URL is not called. Says which rule, never the URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForbiddenUrl {
    /// It is no URL.
    #[error("ResponseURL is not a URL")]
    NotAUrl,
    /// Not https on 443, or with user information or a fragment.
    #[error("ResponseURL must be https on port 443, without user information and fragment")]
    Form,
    /// Another host than the stack's region's.
    #[error("ResponseURL names host \"{found}\"; a stack in {region} is answered at {expected}")]
    Host {
        /// The host that it names.
        found: String,
        /// The stack's region.
        region: String,
        /// The host that is right.
        expected: String,
    },
    /// The topic is in another region than the stack.
    #[error("StackId is in {stack}, the topic in {topic}")]
    Region {
        /// The stack's region.
        stack: String,
        /// The topic's region.
        topic: String,
    },
    /// The key is not this request's.
    #[error("ResponseURL's path is not StackId|LogicalResourceId|RequestId of this request")]
    Path,
    /// Nothing in the query is a signature.
    #[error("ResponseURL is not presigned")]
    Unsigned,
}

/// A URL that may be called. Its `Debug` and `Display` leave the signature out.
#[derive(Clone, PartialEq, Eq)]
pub struct ResponseUrl(Url);

impl ResponseUrl {
    /// Checks the request's URL against the rules of this module.
    ///
    /// `topic_arn` is the envelope's, where it has one; `origin` the one override.
    ///
    /// # Errors
    /// [`ForbiddenUrl`], the first rule that is broken.
    pub fn check(
        coordinates: &Coordinates,
        topic_arn: Option<&str>,
        origin: Option<&Origin>,
    ) -> Result<Self, ForbiddenUrl> {
        let url = Url::parse(&coordinates.response_url).map_err(|_| ForbiddenUrl::NotAUrl)?;
        let overridden = origin.is_some_and(|origin| origin.is_of(&url));
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(ForbiddenUrl::Form);
        }
        let stack = &coordinates.stack_id;
        if !overridden {
            if url.scheme() != "https" || url.port().is_some() {
                return Err(ForbiddenUrl::Form);
            }
            check_host(&url, coordinates)?;
        }
        if let Some(topic) = topic_arn.and_then(|arn| arn.split(':').nth(3))
            && topic != stack.region
        {
            return Err(ForbiddenUrl::Region {
                stack: stack.region.clone(),
                topic: topic.to_owned(),
            });
        }
        let key = format!(
            "{}|{}|{}",
            stack.arn, coordinates.logical_resource_id, coordinates.request_id
        );
        let path = percent_decode_str(url.path())
            .decode_utf8()
            .map_err(|_| ForbiddenUrl::Path)?;
        let path = path.strip_prefix('/').unwrap_or_default();
        // LocalStack serves its buckets below one host.
        let below_bucket = overridden
            && path
                .split_once('/')
                .is_some_and(|(bucket, rest)| !bucket.is_empty() && rest == key);
        if path != key && !below_bucket {
            return Err(ForbiddenUrl::Path);
        }
        let has = |parameter: &str| {
            url.query_pairs()
                .any(|(name, value)| name == parameter && !value.is_empty())
        };
        if !(has("X-Amz-Signature") || has("AWSAccessKeyId") && has("Expires") && has("Signature"))
        {
            return Err(ForbiddenUrl::Unsigned);
        }
        Ok(Self(url))
    }

    /// The URL with its signature, for the one that calls it.
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// When the URL was signed, where it says so.
    pub fn signed_at(&self) -> Option<DateTime<Utc>> {
        if let Some(date) = self.parameter("X-Amz-Date") {
            return NaiveDateTime::parse_from_str(&date, "%Y%m%dT%H%M%SZ")
                .ok()
                .map(|date| date.and_utc());
        }
        let expires = self.parameter("Expires")?.parse::<i64>().ok()?;
        DateTime::from_timestamp(expires.checked_sub(PRESIGNED_SECONDS)?, 0)
    }

    /// When the URL stops working, where it says so.
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
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

/// `B.s3.us-east-1…` has three spellings, of which the first is us-east-1's alone.
fn check_host(url: &Url, coordinates: &Coordinates) -> Result<(), ForbiddenUrl> {
    let region = &coordinates.stack_id.region;
    let domain = match coordinates.stack_id.partition.as_str() {
        "aws-cn" => "amazonaws.com.cn",
        _ => "amazonaws.com",
    };
    let bucket = format!(
        "cloudformation-custom-resource-response-{}",
        region.replace('-', "")
    );
    let regional = format!("{bucket}.s3.{region}.{domain}");
    let found = url.host_str().unwrap_or_default();
    let is_right = found == regional
        || found == format!("{bucket}.s3-{region}.{domain}")
        || region == "us-east-1" && found == format!("{bucket}.s3.{domain}");
    if is_right {
        return Ok(());
    }
    Err(ForbiddenUrl::Host {
        found: found.to_owned(),
        region: region.clone(),
        expected: regional,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    const SIGNED: &str = "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20260301T120000Z&X-Amz-Expires=7200&X-Amz-Signature=ab";

    fn coordinates(partition: &str, region: &str, url: &str) -> Coordinates {
        let message = json!({
            "RequestType": "Create",
            "ResponseURL": url,
            "StackId": format!("arn:{partition}:cloudformation:{region}:123456789012:stack/app/5b9"),
            "RequestId": "r-1",
            "LogicalResourceId": "L",
        });
        Coordinates::read(message.as_object().unwrap()).unwrap()
    }

    fn key(partition: &str, region: &str) -> String {
        format!(
            "arn%3A{partition}%3Acloudformation%3A{region}%3A123456789012%3Astack/app/5b9%7CL%7Cr-1"
        )
    }

    #[test]
    fn cloudformations_own_urls_are_called() {
        for (partition, region, host) in [
            (
                "aws",
                "us-east-1",
                "cloudformation-custom-resource-response-useast1.s3.amazonaws.com",
            ),
            (
                "aws",
                "us-east-1",
                "cloudformation-custom-resource-response-useast1.s3.us-east-1.amazonaws.com",
            ),
            (
                "aws",
                "us-west-2",
                "cloudformation-custom-resource-response-uswest2.s3-us-west-2.amazonaws.com",
            ),
            (
                "aws",
                "eu-central-1",
                "cloudformation-custom-resource-response-eucentral1.s3.eu-central-1.amazonaws.com",
            ),
            (
                "aws-us-gov",
                "us-gov-west-1",
                "cloudformation-custom-resource-response-usgovwest1.s3.us-gov-west-1.amazonaws.com",
            ),
            (
                "aws-cn",
                "cn-north-1",
                "cloudformation-custom-resource-response-cnnorth1.s3.cn-north-1.amazonaws.com.cn",
            ),
        ] {
            for query in [SIGNED, "?AWSAccessKeyId=A&Expires=1772373600&Signature=s"] {
                let url = format!("https://{host}/{}{query}", key(partition, region));
                ResponseUrl::check(&coordinates(partition, region, &url), None, None)
                    .unwrap_or_else(|error| panic!("{url}: {error}"));
            }
        }
    }

    #[test]
    fn hostile_urls_are_not_called() {
        let host = "cloudformation-custom-resource-response-euwest1.s3.eu-west-1.amazonaws.com";
        let key = key("aws", "eu-west-1");
        for hostile in [
            format!("http://{host}/{key}{SIGNED}"),
            format!("https://{host}:8443/{key}{SIGNED}"),
            format!("https://user@{host}/{key}{SIGNED}"),
            format!("https://{host}@evil.example/{key}{SIGNED}"),
            format!("https://{host}/{key}{SIGNED}#fragment"),
            format!("https://{host}.evil.example/{key}{SIGNED}"),
            format!("https://evil.example/{host}/{key}{SIGNED}"),
            format!("https://169.254.169.254/{key}{SIGNED}"),
            format!("https://{host}./{key}{SIGNED}"),
            // us-east-1's short form, in another region.
            format!(
                "https://cloudformation-custom-resource-response-euwest1.s3.amazonaws.com/{key}{SIGNED}"
            ),
            // Another region's bucket.
            format!(
                "https://cloudformation-custom-resource-response-useast1.s3.eu-west-1.amazonaws.com/{key}{SIGNED}"
            ),
            // Another request's key.
            format!("https://{host}/{key}x{SIGNED}"),
            format!("https://{host}/x/{key}{SIGNED}"),
            format!("https://{host}/{}{SIGNED}", key.replace("%7C", "%257C")),
            format!("https://{host}/{key}"),
            format!("https://{host}/{key}?X-Amz-Signature="),
            format!("file:///{key}{SIGNED}"),
            "nonsense".to_owned(),
        ] {
            let refused =
                ResponseUrl::check(&coordinates("aws", "eu-west-1", &hostile), None, None);
            assert!(refused.is_err(), "{hostile}");
        }
    }

    #[test]
    fn the_topic_must_be_in_the_stacks_region() {
        let host = "cloudformation-custom-resource-response-euwest1.s3.eu-west-1.amazonaws.com";
        let coordinates = coordinates(
            "aws",
            "eu-west-1",
            &format!("https://{host}/{}{SIGNED}", key("aws", "eu-west-1")),
        );
        let topic = |region: &str| format!("arn:aws:sns:{region}:123456789012:t");
        assert!(ResponseUrl::check(&coordinates, Some(&topic("eu-west-1")), None).is_ok());
        let refused = ResponseUrl::check(&coordinates, Some(&topic("us-east-1")), None);
        assert!(matches!(refused, Err(ForbiddenUrl::Region { .. })));
    }

    #[test]
    fn the_override_relaxes_the_origin_alone() {
        let origin: Origin = "http://127.0.0.1:4566".parse().unwrap();
        let key = key("aws", "us-east-1");
        let check = |url: String| {
            ResponseUrl::check(&coordinates("aws", "us-east-1", &url), None, Some(&origin))
        };
        assert!(check(format!("http://127.0.0.1:4566/bucket/{key}{SIGNED}")).is_ok());
        assert!(check(format!("http://127.0.0.1:4566/{key}{SIGNED}")).is_ok());
        for hostile in [
            format!("http://127.0.0.1:4567/bucket/{key}{SIGNED}"),
            format!("https://127.0.0.1:4566/bucket/{key}{SIGNED}"),
            format!("http://127.0.0.1:4566/a/b/{key}{SIGNED}"),
            format!("http://127.0.0.1:4566/bucket/{key}x{SIGNED}"),
            format!("http://127.0.0.1:4566/bucket/{key}"),
            format!("http://127.0.0.1:4566/bucket/{key}{SIGNED}#f"),
            format!("http://u:p@127.0.0.1:4566/bucket/{key}{SIGNED}"),
        ] {
            assert!(check(hostile.clone()).is_err(), "{hostile}");
        }
    }

    #[test]
    fn the_signature_is_never_printed() {
        let host = "cloudformation-custom-resource-response-useast1.s3.amazonaws.com";
        let url = format!("https://{host}/{}{SIGNED}", key("aws", "us-east-1"));
        let url = ResponseUrl::check(&coordinates("aws", "us-east-1", &url), None, None).unwrap();
        assert_eq!(
            format!("{url:?}"),
            format!("https://{host}/{}?***", key("aws", "us-east-1"))
        );
    }

    #[test]
    fn both_signature_styles_say_when_they_were_made() {
        let host = "cloudformation-custom-resource-response-useast1.s3.amazonaws.com";
        for query in [SIGNED, "?AWSAccessKeyId=A&Expires=1772373600&Signature=s"] {
            let url = format!("https://{host}/{}{query}", key("aws", "us-east-1"));
            let coordinates = coordinates("aws", "us-east-1", &url);
            let url = ResponseUrl::check(&coordinates, None, None).unwrap();
            assert_eq!(
                url.signed_at().unwrap().to_rfc3339(),
                "2026-03-01T12:00:00+00:00"
            );
            assert_eq!(
                url.expires_at().unwrap() - url.signed_at().unwrap(),
                chrono::TimeDelta::hours(2)
            );
            assert_eq!(coordinates.service_timeout, Duration::from_secs(3600));
        }
    }
}
