//! Good URLs and hostile ones, over the partitions.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

const SIGNED: &str = "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20260301T120000Z&X-Amz-Expires=7200&X-Amz-Signature=ab";

fn message(partition: &str, region: &str, url: &str) -> Value {
    json!({
        "RequestType": "Create",
        "ResponseURL": url,
        "StackId": format!("arn:{partition}:cloudformation:{region}:123456789012:stack/app/5b9"),
        "RequestId": "r-1",
        "LogicalResourceId": "L",
    })
}

fn header(partition: &str, region: &str, url: &str) -> RequestHeader {
    RequestHeader::read(message(partition, region, url).as_object().unwrap()).unwrap()
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
        (
            "aws",
            "us-east-1",
            "cloudformation-custom-resource-response-useast1.s3.dualstack.us-east-1.amazonaws.com",
        ),
        (
            "aws-us-gov",
            "us-gov-east-1",
            "cloudformation-custom-resource-response-usgoveast1.s3.dualstack.us-gov-east-1.amazonaws.com",
        ),
        (
            "aws-cn",
            "cn-north-1",
            "cloudformation-custom-resource-response-cnnorth1.s3.dualstack.cn-north-1.amazonaws.com.cn",
        ),
    ] {
        for query in [SIGNED, "?AWSAccessKeyId=A&Expires=1772373600&Signature=s"] {
            let url = format!("https://{host}/{}{query}", key(partition, region));
            ResponseUrl::check(&header(partition, region, &url), None, None)
                .unwrap_or_else(|error| panic!("{url}: {error}"));
        }
    }
}

#[test]
fn hostile_urls_are_not_called() {
    for (partition, region, other, domain) in [
        ("aws", "eu-west-1", "us-east-1", "amazonaws.com"),
        ("aws", "us-east-1", "us-west-2", "amazonaws.com"),
        (
            "aws-us-gov",
            "us-gov-west-1",
            "us-gov-east-1",
            "amazonaws.com",
        ),
        ("aws-cn", "cn-north-1", "cn-northwest-1", "amazonaws.com.cn"),
    ] {
        let prefix = "cloudformation-custom-resource-response-";
        let bucket = format!("{prefix}{}", region.replace('-', ""));
        let host = format!("{bucket}.s3.{region}.{domain}");
        let key = key(partition, region);
        let others_bucket = format!("{prefix}{}", other.replace('-', ""));
        let others_domain = match domain {
            "amazonaws.com" => "amazonaws.com.cn",
            _ => "amazonaws.com",
        };
        let mut hosts = vec![
            format!("{host}.evil.example"),
            format!("{host}@evil.example"),
            format!("evil.example/{host}"),
            format!("{host}."),
            format!("{host}:8443"),
            format!("user@{host}"),
            format!("user:password@{host}"),
            format!("x.{host}"),
            "169.254.169.254".to_owned(),
            "[::1]".to_owned(),
            "localhost".to_owned(),
            // The bucket below the endpoint, and endpoints of other kinds.
            format!("s3.{region}.{domain}/{bucket}"),
            format!("{bucket}.s3-accelerate.{domain}"),
            format!("{bucket}.s3-website-{region}.{domain}"),
            format!("{bucket}.s3.dualstack.{other}.{domain}"),
            format!("{others_bucket}.s3.dualstack.{region}.{domain}"),
            format!("{bucket}.s3.dualstack.{domain}"),
            format!("{bucket}.s3-dualstack.{region}.{domain}"),
            format!("{bucket}.s3-external-1.{domain}"),
            // Another region's bucket, endpoint or both; another partition's domain.
            format!("{others_bucket}.s3.{region}.{domain}"),
            format!("{bucket}.s3.{other}.{domain}"),
            format!("{others_bucket}.s3.{other}.{domain}"),
            format!("{bucket}.s3.{region}.{others_domain}"),
            // A bucket that is nearly of that name.
            format!("{bucket}1.s3.{region}.{domain}"),
            format!("{prefix}{region}.s3.{region}.{domain}"),
        ];
        if region != "us-east-1" {
            hosts.push(format!("{bucket}.s3.{domain}"));
        }
        let mut urls: Vec<String> = hosts
            .into_iter()
            .map(|host| format!("https://{host}/{key}{SIGNED}"))
            .collect();
        urls.extend([
            format!("http://{host}/{key}{SIGNED}"),
            format!("ftp://{host}/{key}{SIGNED}"),
            format!("https://{host}/{key}{SIGNED}#fragment"),
            // Another request's key.
            format!("https://{host}/{key}x{SIGNED}"),
            format!("https://{host}/x/{key}{SIGNED}"),
            format!("https://{host}//{key}{SIGNED}"),
            format!("https://{host}/{}{SIGNED}", key.replace("%7C", "%257C")),
            format!("https://{host}/{}{SIGNED}", key.replace("r-1", "r-2")),
            format!(
                "https://{host}/{}{SIGNED}",
                key.replace("app", "app/../other")
            ),
            format!("https://{host}/{SIGNED}"),
            // It has no signature.
            format!("https://{host}/{key}"),
            format!("https://{host}/{key}?X-Amz-Signature="),
            format!("https://{host}/{key}?AWSAccessKeyId=A&Signature=s"),
            format!("https://{host}/{key}?x-amz-signature=ab"),
            format!("file:///{key}{SIGNED}"),
            "nonsense".to_owned(),
            String::new(),
        ]);
        for hostile in urls {
            let message = message(partition, region, &hostile);
            let Ok(header) = RequestHeader::read(message.as_object().unwrap()) else {
                assert!(hostile.is_empty());
                continue;
            };
            let refused = ResponseUrl::check(&header, None, None);
            assert!(refused.is_err(), "{hostile}");
        }
    }
}

/// What looks like a region to a host name, and serves buckets of any account.
#[test]
fn a_stack_in_no_region_is_answered_nowhere() {
    for (partition, region) in [
        ("aws", "accelerate"),
        ("aws", "external-1"),
        ("aws-us-gov", "fips-us-gov-west-1"),
        ("aws", "cn-north-1"),
        ("aws-cn", "us-east-1"),
        ("aws-of-mine", "us-east-1"),
    ] {
        let bucket = format!(
            "cloudformation-custom-resource-response-{}",
            region.replace('-', "")
        );
        for host in [
            format!("{bucket}.s3-{region}.amazonaws.com"),
            format!("{bucket}.s3.{region}.amazonaws.com"),
            format!("{bucket}.s3.{region}.amazonaws.com.cn"),
        ] {
            let url = format!("https://{host}/{}{SIGNED}", key(partition, region));
            let refused = ResponseUrl::check(&header(partition, region, &url), None, None);
            assert!(
                matches!(refused, Err(ResponseUrlError::Place { .. })),
                "{url}"
            );
        }
    }
}

#[test]
fn the_topic_must_be_in_the_stacks_region() {
    let host = "cloudformation-custom-resource-response-euwest1.s3.eu-west-1.amazonaws.com";
    let header = header(
        "aws",
        "eu-west-1",
        &format!("https://{host}/{}{SIGNED}", key("aws", "eu-west-1")),
    );
    let topic = |region: &str| format!("arn:aws:sns:{region}:123456789012:t");
    assert!(ResponseUrl::check(&header, Some(&topic("eu-west-1")), None).is_ok());
    let refused = ResponseUrl::check(&header, Some(&topic("us-east-1")), None);
    assert!(matches!(refused, Err(ResponseUrlError::Region { .. })));
}

#[test]
fn the_override_relaxes_the_origin_alone() {
    let origin: Origin = "http://127.0.0.1:4566".parse().unwrap();
    let key = key("aws", "us-east-1");
    let check =
        |url: String| ResponseUrl::check(&header("aws", "us-east-1", &url), None, Some(&origin));
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
    let url = ResponseUrl::check(&header("aws", "us-east-1", &url), None, None).unwrap();
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
        let header = header("aws", "us-east-1", &url);
        let url = ResponseUrl::check(&header, None, None).unwrap();
        assert_eq!(
            url.signed_at().unwrap().to_rfc3339(),
            "2026-03-01T12:00:00+00:00"
        );
        assert_eq!(
            url.expires_at().unwrap() - url.signed_at().unwrap(),
            chrono::TimeDelta::hours(2)
        );
        assert_eq!(header.service_timeout, Duration::from_secs(3600));
    }
}
