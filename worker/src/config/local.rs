//! The settings of `plan` and `apply`, and whose credentials they use.

use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args};

use super::parse::{file, owner, seconds_from_1_to_3600, secret};
use super::{DatabaseUrl, SslSettings, TrustSettings, UrlText};

/// The settings of `plan` and `apply`.
#[derive(Debug, Clone, Args)]
pub struct LocalSettings {
    /// File with the properties of the resource, as JSON; "-" is standard input.
    #[arg(value_name = "FILE", value_parser = file)]
    pub(crate) properties: String,
    /// Name or ARN of the secret; overrides the file's DBSecret, which overrides DATABASE_URL.
    #[arg(long, value_name = "NAME", value_parser = secret)]
    pub(crate) secret: Option<String>,
    /// The database instead of a secret: postgres://user:password@host:port/database. The flag overrides DBSecret, DBHost,
    /// DBPort and DBName of the file; the variable is used only if neither the command line nor the file names a secret,
    /// and is not visible in the list of processes. Its parameters sslmode and sslrootcert override PGSSLMODE and
    /// PGSSLROOTCERT, but not --ssl-mode and --ssl-root-cert.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) url: Option<UrlText>,
    /// Name under which the ledger records who declared the extensions.
    #[arg(long, default_value = "command-line", value_parser = owner)]
    pub(crate) owner: String,
    /// Time limit of the command.
    #[arg(long, default_value = "600", value_parser = seconds_from_1_to_3600)]
    pub timeout_seconds: Duration,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// TLS and authentication of the connection.
    #[command(flatten)]
    pub(crate) ssl: SslSettings,
    /// Protection against less privileged roles of a database.
    #[command(flatten)]
    pub trust: TrustSettings,
    /// Which settings were given by a flag rather than by the environment.
    #[arg(skip)]
    pub(crate) flags: Flags,
}

/// Which of the settings of `plan` and `apply` were given by a flag. A flag overrides the file, and the file overrides the
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

/// Source of the credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// A secret that the command line names.
    Secret(String),
    /// The file's `DBSecret`, if it has one.
    File,
    /// A URL.
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

    /// The credentials: those of a flag, else of the file's `DBSecret`, else of `DATABASE_URL`.
    ///
    /// # Errors
    /// The URL that would be used is not valid.
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

    /// TLS and authentication of the connection: those of a flag, else of the URL, else of the environment.
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
