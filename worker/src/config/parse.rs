//! Values that several settings share: which are valid, and the message for those that are not.

use std::time::Duration;

use ::url::Url;

use crate::request::Arn;
use crate::request::text::{is_name, path, secret_id, word};

pub(super) fn secret(text: &str) -> Result<String, String> {
    secret_id(text).map_err(|fault| fault.to_string())?;
    Ok(text.to_owned())
}

pub(super) fn file(text: &str) -> Result<String, String> {
    if text.is_empty() || path(text) != text {
        return Err("must be the path of a file".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn owner(text: &str) -> Result<String, String> {
    match text.len() {
        1..=255 if is_name(text) => Ok(text.to_owned()),
        _ => Err("must be a name of up to 255 bytes".to_owned()),
    }
}

/// Source: `PutMetricData` in CloudWatch's API reference.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b".-_/#: ".contains(&byte);
    match text.len() {
        1..=255 if text.bytes().all(is_known) && !text.starts_with("AWS/") => Ok(text.to_owned()),
        _ => Err(
            "must be a namespace of CloudWatch: up to 255 of A-Z a-z 0-9 . - _ / # : and spaces, not AWS/…"
                .to_owned(),
        ),
    }
}

pub(super) fn seconds_to_3600(text: &str) -> Result<Duration, String> {
    seconds(text, 0, 3600)
}

pub(super) fn seconds_from_1_to_3600(text: &str) -> Result<Duration, String> {
    seconds(text, 1, 3600)
}

pub(super) fn queue_url(text: &str) -> Result<String, String> {
    match Url::parse(text) {
        // It is logged: there is no password in it.
        Ok(url)
            if matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none() =>
        {
            Ok(text.to_owned())
        }
        _ => Err(
            "must be the URL of a queue: https://sqs.<region>.amazonaws.com/<account>/<name>"
                .to_owned(),
        ),
    }
}

pub(super) fn topic_arn(text: &str) -> Result<String, String> {
    if Arn::of_topic(text).is_some() && word(text) == text {
        Ok(text.to_owned())
    } else {
        Err("must be the ARN of a topic: arn:aws:sns:<region>:<account>:<name>".to_owned())
    }
}

pub(super) fn account(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("must be the 12 digits of an account".to_owned())
    }
}

pub(super) fn seconds_from_1_to_20(text: &str) -> Result<Duration, String> {
    seconds(text, 1, 20)
}

pub(super) fn seconds_to_110(text: &str) -> Result<Duration, String> {
    seconds(text, 0, 110)
}

pub(super) fn seconds_from_10_to_43200(text: &str) -> Result<Duration, String> {
    seconds(text, 10, 43_200)
}

pub(super) fn seconds(text: &str, least: u64, most: u64) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (least..=most).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("must be whole seconds from {least} to {most}")),
    }
}
