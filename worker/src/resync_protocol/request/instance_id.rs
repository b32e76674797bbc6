//! What names one instance or cluster of RDS: its identifier, or its ARN.

use crate::request::Arn;

/// The longest identifier that RDS has.
const MAX_IDENTIFIER: usize = 63;

/// What the identifier is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstanceKind {
    /// An instance.
    Instance,
    /// A cluster.
    Cluster,
}

/// An instance or a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstanceId {
    /// The identifier, in lower case as RDS keeps it.
    pub(crate) id: String,
    /// What an ARN says that it is; none for an identifier.
    pub(crate) kind: Option<InstanceKind>,
    /// The ARN, where it was given: the same identifier in another region or account is of something else.
    pub(crate) arn: Option<String>,
}

impl InstanceId {
    /// Takes an identifier or an ARN.
    ///
    /// # Errors
    /// What would be right.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let fault = || "must be the identifier or the ARN of an instance or a cluster".to_owned();
        let (kind, id) = match Arn::parse(text) {
            None => (None, text),
            Some(arn) if arn.service == "rds" => match arn.resource.split_once(':') {
                Some(("db", id)) => (Some(InstanceKind::Instance), id),
                Some(("cluster", id)) => (Some(InstanceKind::Cluster), id),
                Some(_) | None => return Err(fault()),
            },
            Some(_) => return Err(fault()),
        };
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if !(1..=MAX_IDENTIFIER).contains(&id.len()) || !id.bytes().all(is_known) {
            return Err(fault());
        }
        Ok(Self {
            id: id.to_ascii_lowercase(),
            kind,
            arn: kind.map(|_| text.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_or_an_arn_names_an_instance() {
        assert_eq!(
            InstanceId::parse("Orders-1"),
            Ok(InstanceId {
                id: "orders-1".to_owned(),
                kind: None,
                arn: None
            })
        );
        for (kind, expected) in [
            ("db", InstanceKind::Instance),
            ("cluster", InstanceKind::Cluster),
        ] {
            let arn = format!("arn:aws-cn:rds:cn-north-1:123456789012:{kind}:orders");
            let read = InstanceId::parse(&arn).unwrap();
            assert_eq!(
                (read.id.as_str(), read.kind, read.arn),
                ("orders", Some(expected), Some(arn))
            );
        }
    }

    #[test]
    fn what_names_nothing_of_rds_is_refused() {
        for text in [
            "",
            "a b",
            "orders/1",
            "arn:aws:rds:us-east-1:123456789012:snapshot:orders",
            "arn:aws:rds:us-east-1:123456789012:db:",
            "arn:aws:sns:us-east-1:123456789012:orders",
            &"a".repeat(64),
        ] {
            assert!(InstanceId::parse(text).is_err(), "{text}");
        }
    }
}
