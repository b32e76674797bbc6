//! Settings: flags, and the environment where a flag is not given. The only module that reads either.

mod local;
mod parse;
mod resync;
mod run;
#[cfg(test)]
mod tests;
mod url;
mod usage;

use std::ffi::OsString;
use std::net::SocketAddr;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use self::parse::file;
use crate::credentials::AuthMethod;
use crate::plan::SchemaCheck;
use crate::process::logging::LogFormat;
use crate::process::tls::SslMode;

pub use self::run::{CONNECTIONS, CONNECTIONS_PER_DATABASE, RunSettings};
pub(crate) use self::url::{DatabaseUrl, UrlText};
pub use local::LocalSettings;
pub(crate) use local::{Credentials, Flags};
pub(crate) use resync::{
    Baseline, EXIT_CODES, FollowSettings, ResyncSettings, Tag, TargetSettings, UPGRADE_EXIT_CODES,
    UpgradeCheckSettings,
};

/// Installs PostgreSQL extensions that CloudFormation stacks declare.
#[derive(Debug, Parser)]
#[command(name = "extension-worker", version, about, max_term_width = 100)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Format of the logs, which are written to standard error.
    #[arg(long, env = "WORKER_LOG_FORMAT", value_enum, default_value_t = LogFormat::Auto, global = true)]
    pub log_format: LogFormat,
    /// Log levels, as in "info,extension_worker=debug"; unset: info for the command run, warn for the others.
    #[arg(long, env = "RUST_LOG", global = true)]
    pub(crate) log: Option<String>,
}

impl CommandLine {
    /// Reads the settings of this process. Prints help or a usage error, and ends the process, where they call for it.
    pub fn read() -> Self {
        Self::try_read_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// Reads the arguments, and the environment variables of settings that no argument gives.
    ///
    /// # Errors
    /// The usage error names the flag and its variable, and never quotes the value.
    pub(crate) fn try_read_from<I, T>(arguments: I) -> Result<Self, clap::Error>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        let command = Self::command();
        let read = command.clone().try_get_matches_from(arguments);
        let read = read.and_then(|matches| {
            let mut settings = Self::from_arg_matches(&matches)?;
            if let (Command::Plan(by_hand) | Command::Apply(by_hand), Some((_, matches))) =
                (&mut settings.command, matches.subcommand())
            {
                by_hand.flags = Flags::of(matches);
            }
            Ok(settings)
        });
        let settings = read.map_err(|error| usage::without_values(error, &command))?;
        if let Command::Plan(by_hand) | Command::Apply(by_hand) = &settings.command {
            by_hand.check()?;
        }
        Ok(settings)
    }

    /// The log levels: those of `--log`, else the command's default.
    pub fn log_filter(&self) -> &str {
        match (&self.log, &self.command) {
            (Some(filter), _) => filter,
            (None, Command::Run(_)) => "info",
            (
                None,
                Command::Plan(_)
                | Command::Apply(_)
                | Command::Resync(_)
                | Command::UpgradeCheck(_)
                | Command::OfferQuery
                | Command::Health { .. },
            ) => "warn",
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Receive requests from the queue and carry them out, until SIGTERM or SIGINT.
    Run(Box<RunSettings>),
    /// Print what the properties in a file would change in a database, and change nothing.
    Plan(LocalSettings),
    /// Change a database to what the properties in a file declare.
    Apply(LocalSettings),
    /// Publish a re-sync: the workers compare the databases of a fleet with what is declared for them, or repair them.
    #[command(after_help = EXIT_CODES)]
    Resync(Box<ResyncSettings>),
    /// Publish a check before an upgrade: the workers list what would make an upgrade to another major version of
    /// PostgreSQL fail, and what has to be done before and after it. They change nothing.
    #[command(after_help = UPGRADE_EXIT_CODES)]
    UpgradeCheck(Box<UpgradeCheckSettings>),
    /// Print a query that returns which extensions a server offers, for the file of upgrade-check --offer.
    OfferQuery,
    /// Request /healthz of a running worker; exit with 0 if it is healthy, else with 1.
    Health {
        /// Address on which the worker serves its health checks.
        #[arg(long, env = "WORKER_HEALTH_ADDR", value_name = "ADDRESS:PORT")]
        health_addr: SocketAddr,
    },
}

/// How connections to PostgreSQL are secured.
#[derive(Debug, Clone, Args)]
pub struct SslSettings {
    /// TLS of connections to PostgreSQL, as libpq's sslmode.
    #[arg(long, env = "PGSSLMODE", value_enum, default_value_t = SslMode::VerifyFull)]
    pub ssl_mode: SslMode,
    /// File of CA certificates that verify the certificates of servers; "system", or unset: those of the system.
    #[arg(long, env = "PGSSLROOTCERT", value_name = "FILE", value_parser = file)]
    pub ssl_root_cert: Option<String>,
    /// Authentication methods by which a password may be sent to a server, separated by commas.
    #[arg(
        long,
        env = "WORKER_AUTH_METHODS",
        value_enum,
        value_delimiter = ',',
        default_value = "scram-sha-256"
    )]
    pub auth_methods: Vec<AuthMethod>,
}

/// Protection against less privileged roles of a database.
#[derive(Debug, Clone, Copy, Args)]
pub struct TrustSettings {
    /// What happens if the script of an extension would see functions, operators, casts or types of less privileged roles
    /// under names that PostgreSQL or the extension uses.
    #[arg(long, env = "WORKER_SCHEMA_CHECK", value_enum, default_value_t = SchemaCheck::Refuse)]
    pub schema_check: SchemaCheck,
    /// Whether the ledger may become part of a publication FOR ALL TABLES; its subscribers then need the ledger's schema.
    #[arg(long, env = "WORKER_PUBLISH_LEDGER", default_value_t = false, action = clap::ArgAction::Set)]
    pub publish_ledger: bool,
}
