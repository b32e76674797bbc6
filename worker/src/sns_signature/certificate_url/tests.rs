//! URLs of certificates, good and hostile.

use super::*;
use crate::sns_signature::{CertificateUrl, CertificateUrlError};

const FILE: &str = "SimpleNotificationService-0123456789abcdef0123456789abcdef.pem";
const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:extension-worker";

fn check(topic: &str, url: &str) -> Result<CertificateUrl, CertificateUrlError> {
    CertificateUrl::check(url, topic, None)
}

#[test]
fn certificates_come_from_sns_in_the_topics_region() {
    for (partition, region, host, name) in [
        (
            "aws",
            "us-east-1",
            "sns.us-east-1.amazonaws.com",
            "sns.amazonaws.com",
        ),
        (
            "aws",
            "af-south-1",
            "sns.af-south-1.amazonaws.com",
            "sns-signing.af-south-1.amazonaws.com",
        ),
        (
            "aws",
            "ap-southeast-5",
            "sns.ap-southeast-5.amazonaws.com:443",
            "sns.ap-southeast-5.amazonaws.com",
        ),
        (
            "aws-us-gov",
            "us-gov-west-1",
            "sns.us-gov-west-1.amazonaws.com",
            "sns-us-gov-west-1.amazonaws.com",
        ),
        (
            "aws-us-gov",
            "us-gov-east-1",
            "sns.us-gov-east-1.amazonaws.com",
            "sns-us-gov-west-1.amazonaws.com",
        ),
        (
            "aws-cn",
            "cn-northwest-1",
            "sns.cn-northwest-1.amazonaws.com.cn",
            "sns-cn-northwest-1.amazonaws.com.cn",
        ),
    ] {
        let topic = format!("arn:{partition}:sns:{region}:123456789012:t");
        let certificate = check(&topic, &format!("https://{host}/{FILE}"))
            .unwrap_or_else(|error| panic!("{host}: {error}"));
        assert!(
            certificate.names().unwrap().contains(&name.to_owned()),
            "{certificate:?}"
        );
    }
}

#[test]
fn hostile_urls_are_not_fetched() {
    let host = "sns.us-east-1.amazonaws.com";
    for hostile in [
        format!("http://{host}/{FILE}"),
        format!("https://{host}:8443/{FILE}"),
        format!("https://user@{host}/{FILE}"),
        format!("https://:password@{host}/{FILE}"),
        format!("https://{host}@evil.example/{FILE}"),
        format!("https://evil.example/{host}/{FILE}"),
        format!("https://evil.example\\@{host}/{FILE}"),
        format!("https://{host}.evil.example/{FILE}"),
        format!("https://evil-{host}/{FILE}"),
        format!("https://{host}./{FILE}"),
        format!("https://169.254.169.254/{FILE}"),
        format!("https://[::1]/{FILE}"),
        format!("https://localhost/{FILE}"),
        // Other services and regions of AWS, and a bucket named sns.
        format!("https://sns.eu-west-1.amazonaws.com/{FILE}"),
        format!("https://sns.us-east-1.amazonaws.com.cn/{FILE}"),
        format!("https://sns.amazonaws.com/{FILE}"),
        format!("https://s3.amazonaws.com/sns/{FILE}"),
        format!("https://sns.s3.amazonaws.com/{FILE}"),
        format!("https://sqs.us-east-1.amazonaws.com/{FILE}"),
        format!("https://{host}/{FILE}?X-Amz-Signature=a"),
        format!("https://{host}/{FILE}?"),
        format!("https://{host}/{FILE}#fragment"),
        format!("https://{host}/a/{FILE}"),
        format!("https://{host}//{FILE}"),
        format!("https://{host}/{FILE}/"),
        format!("https://{host}/{FILE}.exe"),
        format!("https://{host}/%2e%2e%2f{FILE}"),
        format!("https://{host}/{}", FILE.to_uppercase()),
        format!("https://{host}/{}", FILE.replace("abcdef", "ABCDEF")),
        format!("https://{host}/{}", FILE.replace("abcdef", "abcdeg")),
        format!("https://{host}/{}", FILE.replace("abcdef", "abcde")),
        format!("https://{host}/{}", FILE.replace("abcdef", "abcdef0")),
        format!("https://{host}/SimpleNotificationService.pem"),
        format!("https://{host}/?Action=Unsubscribe"),
        format!("file:///{FILE}"),
        FILE.to_owned(),
        String::new(),
    ] {
        assert!(check(TOPIC, &hostile).is_err(), "{hostile}");
    }
}

#[test]
fn a_topic_that_is_in_no_region_leads_nowhere() {
    for (region, host) in [
        ("s3", "sns.s3.amazonaws.com"),
        ("s3-us-west-2", "sns.s3-us-west-2.amazonaws.com"),
        ("s3-accelerate", "sns.s3-accelerate.amazonaws.com"),
        ("us-east-1.elb", "sns.us-east-1.elb.amazonaws.com"),
        ("us-east-1/x", "sns.us-east-1/x.amazonaws.com"),
        ("us-east", "sns.us-east.amazonaws.com"),
        ("us-1", "sns.us-1.amazonaws.com"),
        ("us--1", "sns.us--1.amazonaws.com"),
        ("us-east-001", "sns.us-east-001.amazonaws.com"),
        ("US-EAST-1", "sns.us-east-1.amazonaws.com"),
        ("", "sns..amazonaws.com"),
    ] {
        let topic = format!("arn:aws:sns:{region}:123456789012:t");
        let refused = check(&topic, &format!("https://{host}/{FILE}"));
        assert_eq!(refused, Err(CertificateUrlError::Topic(topic)), "{host}");
    }
    for topic in [
        "t",
        "arn:aws:sqs:us-east-1:123456789012:t",
        "arn:evil:sns:us-east-1:123456789012:t",
        "arn:aws:sns:us-east-1:123456789012",
        "arn:aws:sns:us-east-1:123456789012:t:subscription",
    ] {
        let refused = check(
            topic,
            &format!("https://sns.us-east-1.amazonaws.com/{FILE}"),
        );
        assert_eq!(refused, Err(CertificateUrlError::Topic(topic.to_owned())));
    }
}

#[test]
fn partitions_are_not_mixed_up() {
    for (topic, host) in [
        (
            "arn:aws:sns:us-east-1:1:t",
            "sns.us-east-1.amazonaws.com.cn",
        ),
        (
            "arn:aws-us-gov:sns:us-gov-west-1:1:t",
            "sns.us-gov-west-1.amazonaws.com.cn",
        ),
        (
            "arn:aws-cn:sns:cn-north-1:1:t",
            "sns.cn-north-1.amazonaws.com",
        ),
    ] {
        let refused = check(topic, &format!("https://{host}/{FILE}"));
        assert!(
            matches!(refused, Err(CertificateUrlError::Host { .. })),
            "{host}"
        );
    }
}

#[test]
fn the_override_relaxes_origin_and_directory_alone() {
    let origin: Origin = "http://127.0.0.1:4566".parse().unwrap();
    let check = |url: &str| CertificateUrl::check(url, TOPIC, Some(&origin));
    for good in ["_aws/sns/", ""] {
        let certificate = check(&format!("http://127.0.0.1:4566/{good}{FILE}")).unwrap();
        assert_eq!(certificate.names(), None);
    }
    let real = check(&format!("https://sns.us-east-1.amazonaws.com/{FILE}")).unwrap();
    assert!(real.names().is_some());
    for hostile in [
        format!("http://127.0.0.1:4567/_aws/sns/{FILE}"),
        format!("https://127.0.0.1:4566/_aws/sns/{FILE}"),
        format!("http://u@127.0.0.1:4566/_aws/sns/{FILE}"),
        format!("http://127.0.0.1:4566/_aws/sns/{FILE}?a"),
        format!("http://127.0.0.1:4566/_aws/sns/{FILE}#a"),
        "http://127.0.0.1:4566/_aws/sns/".to_owned(),
        "http://127.0.0.1:4566/bucket/own.pem".to_owned(),
        format!("http://127.0.0.1:4566/x{FILE}"),
    ] {
        assert!(check(&hostile).is_err(), "{hostile}");
    }
}
