//! Texts that may be quoted. A secret, a DSN or a key in the place of a name must not be in a response or a log, because
//! many people can read the events of a stack. Pure.

use super::Arn;

/// Secrets Manager's limit for an ARN; that for a name is lower.
const MAX_SECRET_ID_BYTES: usize = 2048;
/// Maximum length of any other name.
const MAX_NAME_BYTES: usize = 255;
/// Maximum length of a quoted key of an object.
const MAX_KEY_BYTES: usize = 63;
/// Maximum length of a quoted word: SNS's limit for an ARN.
const MAX_WORD_BYTES: usize = 320;

/// Whether a text may be a name: it is not JSON, a connection string or a PEM file, and not too long.
pub(crate) fn is_name(text: &str) -> bool {
    let is_json = text.contains(['{', '}']) || text.starts_with('[') || text.contains("\":");
    let has_user_information = text
        .split_once(':')
        .is_some_and(|(_, rest)| rest.contains('@'));
    let is_dsn = text.contains("://")
        || has_user_information
        || text.contains("password=")
        || text.contains('=') && text.contains(char::is_whitespace);
    (1..=MAX_NAME_BYTES).contains(&text.len())
        && !is_json
        && !is_dsn
        && !text.contains(char::is_control)
}

/// Why a text is neither the name nor the ARN of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretIdError {
    /// It is another text, maybe the secret itself.
    #[error(
        "must be the name or the ARN of a secret in Secrets Manager (A-Z a-z 0-9 / _ + = . @ - !), not its content \
         and not a URL"
    )]
    Form,
    /// It has the form of `valueFrom` in the task definitions of ECS.
    #[error(
        "must be the ARN alone, without the field, version stage and version id that ECS takes behind it: end it \
         after the name of the secret"
    )]
    Field,
}

/// Checks the name or ARN of a secret, or the prefix of a name.
///
/// # Errors
/// [`SecretIdError`].
pub(crate) fn secret_id(text: &str) -> Result<(), SecretIdError> {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-!:".contains(&byte);
    if !(1..=MAX_SECRET_ID_BYTES).contains(&text.len()) || !text.bytes().all(is_known) {
        return Err(SecretIdError::Form);
    }
    if !text.contains(':') {
        return Ok(());
    }
    let secret = Arn::parse(text).filter(|arn| arn.service == "secretsmanager");
    let name = secret.and_then(|arn| arn.resource.strip_prefix("secret:"));
    match name {
        Some(name) if name.contains(':') => Err(SecretIdError::Field),
        Some(_) => Ok(()),
        None => Err(SecretIdError::Form),
    }
}

/// Whether the key of an object may be quoted.
pub(crate) fn is_key(text: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.$".contains(&byte);
    (1..=MAX_KEY_BYTES).contains(&text.len()) && text.bytes().all(is_known)
}

/// The text, if it has only the characters of type names and ARNs; otherwise a word that replaces it.
pub(crate) fn word(text: &str) -> &str {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:*/".contains(&byte);
    if text.len() <= MAX_WORD_BYTES && text.bytes().all(is_known) && !text.contains("://") {
        text
    } else {
        "(not shown)"
    }
}

/// The path of a file, if it can be one; otherwise a word that replaces it.
pub(crate) fn path(text: &str) -> &str {
    if text.len() <= 4096
        && !text.contains("://")
        && !text.contains(['{', '}'])
        && !text.contains("password=")
        && !text.contains(char::is_control)
    {
        text
    } else {
        "(not shown: no path)"
    }
}

/// The beginning of a foreign text, for a Reason: SQS accepts no control characters.
pub(crate) fn printable(text: &str, characters: usize) -> String {
    let kept = text.chars().filter(|character| !character.is_control());
    kept.take(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forms of a password in the place of another value.
    const SECRETS: [&str; 6] = [
        r#"{"username": "u", "password": "hunter2"}"#,
        "postgres://u:hunter2@h:5432/d",
        "host=h user=u password=hunter2",
        "u:hunter2@h/d",
        r#"["hunter2"]"#,
        "-----BEGIN PRIVATE KEY-----\nhunter2",
    ];

    #[test]
    fn a_secret_is_no_name_of_anything() {
        for secret in SECRETS {
            assert!(!is_name(secret), "{secret}");
            assert!(!is_key(secret), "{secret}");
            assert_eq!(secret_id(secret), Err(SecretIdError::Form), "{secret}");
            assert_eq!(word(secret), "(not shown)");
        }
        for name in ["orders", "uuid-ossp", "my database", "a=b", "ÄÖ", "x\"y"] {
            assert!(is_name(name), "{name}");
        }
    }

    #[test]
    fn a_secret_is_named_by_its_name_or_its_arn() {
        const ARN: &str = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:prod/db-AbCdEf";
        for id in ["demo1", "prod/db@eu", "rds!cluster-1", ARN] {
            assert_eq!(secret_id(id), Ok(()), "{id}");
        }
        for field in [":password::", ":", ":password:AWSCURRENT:"] {
            let id = format!("{ARN}{field}");
            assert_eq!(secret_id(&id), Err(SecretIdError::Field), "{id}");
        }
        for other in ["", "a b", "arn:aws:s3:::bucket", "name:password::"] {
            assert_eq!(secret_id(other), Err(SecretIdError::Form), "{other}");
        }
    }

    #[test]
    fn what_looks_like_a_credential_is_no_name() {
        assert!(is_name("orders") && is_name("my database"));
        assert!(!is_name("{\"password\": \"x\"}"));
        assert!(!is_name("postgres://u:p@h/db") && !is_name("host=h password=p"));
    }
}
