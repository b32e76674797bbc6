//! The settings of `plan` and `apply`, and whose credentials they use.

use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args};

use super::parse::{file, owner, seconds_from_1_to_3600, secret};
use super::{DatabaseUrl, SslSettings, TrustSettings, UrlText};

/// The settings of `plan` and `apply`.
#[derive(Debug, Clone, Args)]
pub struct LocalSettings {
    /// File with the properties as JSON, as a template has them; "-" is standard input.
    #[arg(value_name = "FILE", value_parser = file)]
    pub(crate) properties: String,
    /// Name or ARN of the secret; overrides the file's DBSecret, which overrides DATABASE_URL.
    #[arg(long, value_name = "NAME", value_parser = secret)]
    pub(crate) secret: Option<String>,
    /// The database instead of a secret: postgres://user:password@host:port/database. The flag overrides DBSecret, DBHost,
    /// DBPort and DBName of the file; the variable does not, and is not seen in the list of processes. Of its parameters
    /// sslmode and sslrootcert are heeded before PGSSLMODE and PGSSLROOTCERT, but not before their flags.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) url: Option<UrlText>,
    /// Under which name the ledger remembers who declared the extensions.
    #[arg(long, default_value = "command-line", value_parser = owner)]
    pub(crate) owner: String,
    /// How long it may take.
    #[arg(long, default_value = "600", value_parser = seconds_from_1_to_3600)]
    pub timeout_seconds: Duration,
    /// Write the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// How the connection is secured.
    #[command(flatten)]
    pub(crate) ssl: SslSettings,
    /// How a database is treated that roles of lower rank share.
    #[command(flatten)]
    pub trust: TrustSettings,
    /// What came by a flag rather than from the environment.
    #[arg(skip)]
    pub(crate) flags: Flags,
}

/// Which of the settings of `plan` and `apply` came by a flag: it goes before what the file says, and that before the
/// environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Flags {
    /// `--url`.
    pub(crate) url: bool,
    /// `--ssl-mode`.
    pub(crate) ssl_mode: bool,
    /// `--ssl-root-cert`.
    pub(crate) ssl_root_cert: bool,
}

impl Flags {
    pub(super) fn of(matches: &ArgMatches) -> Self {
        let is_given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        Self {
            url: is_given("url"),
            ssl_mode: is_given("ssl_mode"),
            ssl_root_cert: is_given("ssl_root_cert"),
        }
    }
}

/// Whose credentials are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// Those of a secret that the command line names.
    Secret(String),
    /// Those of the file's DBSecret; or none.
    File,
    /// Those of a URL.
    Url(Box<DatabaseUrl>),
}

impl LocalSettings {
    pub(super) fn check(&self) -> Result<(), clap::Error> {
        if !self.flags.url {
            return Ok(());
        }
        let wrong = |kind, fault| Err(clap::Error::raw(kind, format!("{fault}\n")));
        if self.secret.is_some() {
            let fault = "--secret cannot be used with --url: give one of them".to_owned();
            return wrong(clap::error::ErrorKind::ArgumentConflict, fault);
        }
        match self.credentials(false) {
            Err(fault) => wrong(clap::error::ErrorKind::ValueValidation, fault),
            Ok(_) => Ok(()),
        }
    }

    /// Whose credentials are used: those of a flag, else of the file, where it names a secret, else of DATABASE_URL.
    ///
    /// # Errors
    /// What is wrong with the URL that is used.
    pub(crate) fn credentials(&self, file_has_secret: bool) -> Result<Credentials, String> {
        match (&self.secret, &self.url) {
            (Some(secret), _) => Ok(Credentials::Secret(secret.clone())),
            (None, Some(url)) if self.flags.url || !file_has_secret => url
                .read()
                .map(|url| Credentials::Url(Box::new(url)))
                .map_err(|fault| format!("--url (DATABASE_URL): {fault}")),
            (None, Some(_) | None) => Ok(Credentials::File),
        }
    }

    /// How the connection is secured: by a flag, else as the URL says, else as the environment does.
    pub fn ssl(&self, url: Option<&DatabaseUrl>) -> SslSettings {
        let mut ssl = self.ssl.clone();
        let Some(url) = url else { return ssl };
        if !self.flags.ssl_mode {
            ssl.ssl_mode = url.ssl_mode.unwrap_or(ssl.ssl_mode);
        }
        if !self.flags.ssl_root_cert {
            ssl.ssl_root_cert = url.ssl_root_cert.clone().or(ssl.ssl_root_cert);
        }
        ssl
    }
}
