//! `WORKER_AUTH_METHODS`: how a password may be given to a server. Pure.

/// Authentication methods for a password, `WORKER_AUTH_METHODS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AuthMethod {
    /// SCRAM: the server learns neither the password nor anything else that it could log in with.
    #[value(name = "scram-sha-256")]
    ScramSha256,
    /// MD5 hash of the password, from which a weak password is found in minutes.
    Md5,
    /// The password in clear text.
    Password,
}

/// The authentication that a server may request on one connection.
#[derive(Debug, Clone)]
pub(crate) struct AuthPolicy {
    /// The methods that are allowed for a password.
    pub(crate) methods: Vec<AuthMethod>,
    /// An IAM token is sent instead of a password.
    pub(crate) is_token: bool,
    /// The server's certificate was verified for its host name (`verify-full`).
    pub(crate) is_verified: bool,
}

/// Why an authentication request of a server is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthMethodError {
    /// `WORKER_AUTH_METHODS` does not contain the method.
    #[error(
        "the server asks for authentication by {0}, which WORKER_AUTH_METHODS (--auth-methods) does not allow"
    )]
    Method(&'static str),
    /// The server's certificate was not verified: a server that receives an IAM token can log in with it.
    #[error(
        "the server asks for the IAM token in clear text, which is sent with PGSSLMODE verify-full alone"
    )]
    Token,
    /// The driver does not support the method.
    #[error(
        "the server asks for an authentication method that this worker does not have (number {0})"
    )]
    Unknown(u32),
    /// SCRAM with too few rounds, which would give the password away, or with too many, which would take the worker's time.
    #[error(
        "the server asks for {0} rounds of SCRAM; 4096 to 600000 are accepted (scram_iterations)"
    )]
    Rounds(String),
}

/// Codes of AuthenticationRequest.
///
/// Source: "Message Formats" in PostgreSQL's manual.
const OK: u32 = 0;
const CLEARTEXT_PASSWORD: u32 = 3;
const MD5_PASSWORD: u32 = 5;
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

/// Fewest rounds of SCRAM: RFC 7677 requires 4096, which is PostgreSQL's default.
const MIN_ROUNDS: u32 = 4096;
/// Most rounds of SCRAM: OWASP's recommendation for PBKDF2 with SHA-256 in 2023, about a second of the worker's time.
const MAX_ROUNDS: u32 = 600_000;

impl AuthPolicy {
    /// Checks an AuthenticationRequest of a server: its code, and the rest of the message.
    ///
    /// # Errors
    /// [`AuthMethodError`] where it must not be answered.
    pub(crate) fn check(&self, code: u32, rest: &[u8]) -> Result<(), AuthMethodError> {
        match code {
            OK | SASL_FINAL => Ok(()),
            SASL_CONTINUE => rounds(rest),
            SASL => self.allow(AuthMethod::ScramSha256, "SCRAM"),
            MD5_PASSWORD => self.allow(AuthMethod::Md5, "md5"),
            CLEARTEXT_PASSWORD if self.is_token => {
                self.is_verified.then_some(()).ok_or(AuthMethodError::Token)
            }
            CLEARTEXT_PASSWORD => self.allow(AuthMethod::Password, "password in clear text"),
            other => Err(AuthMethodError::Unknown(other)),
        }
    }

    fn allow(&self, method: AuthMethod, name: &'static str) -> Result<(), AuthMethodError> {
        let is_scram_of_token = self.is_token && method == AuthMethod::ScramSha256;
        if is_scram_of_token || self.methods.contains(&method) {
            Ok(())
        } else {
            Err(AuthMethodError::Method(name))
        }
    }
}

/// `r=<nonce>,s=<salt>,i=<rounds>`; what has another form is for the driver to refuse.
fn rounds(rest: &[u8]) -> Result<(), AuthMethodError> {
    let text = String::from_utf8_lossy(rest);
    let Some(rounds) = text.split(',').find_map(|part| part.strip_prefix("i=")) else {
        return Ok(());
    };
    match rounds.parse() {
        Ok(MIN_ROUNDS..=MAX_ROUNDS) => Ok(()),
        Ok(_) | Err(_) => Err(AuthMethodError::Rounds(rounds.chars().take(10).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(methods: &[AuthMethod]) -> AuthPolicy {
        AuthPolicy {
            methods: methods.to_vec(),
            is_token: false,
            is_verified: true,
        }
    }

    #[test]
    fn a_password_goes_out_by_the_methods_that_are_named() {
        let by_default = policy(&[AuthMethod::ScramSha256]);
        assert_eq!(by_default.check(OK, b""), Ok(()));
        assert_eq!(by_default.check(SASL, b"SCRAM-SHA-256\0\0"), Ok(()));
        assert!(by_default.check(CLEARTEXT_PASSWORD, b"").is_err());
        assert!(by_default.check(MD5_PASSWORD, b"salt").is_err());
        // GSS
        assert_eq!(by_default.check(7, b""), Err(AuthMethodError::Unknown(7)));
        let weak = policy(&[AuthMethod::Md5]);
        assert!(weak.check(SASL, b"SCRAM-SHA-256\0\0").is_err());
        assert_eq!(weak.check(MD5_PASSWORD, b"salt"), Ok(()));
        assert!(weak.check(CLEARTEXT_PASSWORD, b"").is_err());
        let plain = policy(&[AuthMethod::Password]);
        assert_eq!(plain.check(CLEARTEXT_PASSWORD, b""), Ok(()));
    }

    #[test]
    fn a_token_goes_out_in_clear_to_a_verified_server_alone() {
        let token = |is_verified| AuthPolicy {
            is_token: true,
            is_verified,
            ..policy(&[AuthMethod::Password])
        };
        assert_eq!(token(true).check(CLEARTEXT_PASSWORD, b""), Ok(()));
        assert_eq!(
            token(false).check(CLEARTEXT_PASSWORD, b""),
            Err(AuthMethodError::Token)
        );
        assert!(token(true).check(MD5_PASSWORD, b"salt").is_err());
    }

    #[test]
    fn the_rounds_of_scram_have_bounds() {
        let policy = policy(&[AuthMethod::ScramSha256]);
        let check = |rounds: &str| {
            let text = format!("r=abc,s=c2FsdA==,i={rounds}");
            policy.check(SASL_CONTINUE, text.as_bytes()).is_ok()
        };
        assert!(check("4096") && check("600000"));
        for wrong in ["1", "4095", "600001", "4294967295", "99999999999", "-1", ""] {
            assert!(!check(wrong), "{wrong}");
        }
    }
}
