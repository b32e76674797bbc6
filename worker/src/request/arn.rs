//! Amazon Resource Names.

/// The parts of `arn:<partition>:<service>:<region>:<account>:<resource>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arn<'a> {
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub(crate) partition: &'a str,
    /// As in `sns`.
    pub(crate) service: &'a str,
    /// Empty if the service has none.
    pub(crate) region: &'a str,
    /// Empty if the service has none.
    pub(crate) account: &'a str,
    /// The rest, which may contain colons.
    pub(crate) resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Splits an ARN; `None` if the text is not one. The parts are not checked further.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        if parts.next() != Some("arn") {
            return None;
        }
        Some(Self {
            partition: parts.next()?,
            service: parts.next()?,
            region: parts.next()?,
            account: parts.next()?,
            resource: parts.next()?,
        })
    }

    /// The parts of a topic's ARN; `None` for another resource, or for a topic's subscription.
    pub(crate) fn of_topic(text: &'a str) -> Option<Self> {
        Self::parse(text).filter(|arn| arn.service == "sns" && !arn.resource.contains(':'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_has_six_parts() {
        let topic = Arn::parse("arn:aws:sns:eu-west-2:123456789012:extension-worker").unwrap();
        assert_eq!((topic.service, topic.region), ("sns", "eu-west-2"));
        assert!(Arn::parse("extension-worker").is_none());
    }
}
