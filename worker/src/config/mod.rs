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
    /// How logs are written: text for a terminal, JSON for anything else, unless said otherwise.
    #[arg(long, env = "WORKER_LOG_FORMAT", value_enum, default_value_t = LogFormat::Auto, global = true)]
    pub log_format: LogFormat,
    /// Which logs are written, as in "info,extension_worker=debug"; unset: info of a running worker, else warnings.
    #[arg(long, env = "RUST_LOG", global = true)]
    pub(crate) log: Option<String>,
}

impl CommandLine {
    /// The settings of this process. Where they are wrong, or help is asked for, that is printed, and the process ends.
    pub fn read() -> Self {
        Self::try_read_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// Reads arguments, and the environment for what they leave out.
    ///
    /// # Errors
    /// What is wrong, named by flag and variable; what was given is not quoted.
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

    /// Which logs are written.
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

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take requests from the queue until SIGTERM or SIGINT.
    Run(Box<RunSettings>),
    /// Say what a file of properties would do to a database, and do nothing.
    Plan(LocalSettings),
    /// Make a database be as a file of properties declares.
    Apply(LocalSettings),
    /// Have the workers compare a fleet's databases with what is declared, or repair them, and print the results.
    #[command(after_help = EXIT_CODES)]
    Resync(Box<ResyncSettings>),
    /// Have the workers say what an upgrade to another major version of PostgreSQL would meet, and change nothing.
    #[command(after_help = UPGRADE_EXIT_CODES)]
    UpgradeCheck(Box<UpgradeCheckSettings>),
    /// Print the query that answers with what a server offers, for the file of --offer.
    OfferQuery,
    /// Ask a running worker on this machine whether it is healthy; exit with 0 if so.
    Health {
        /// Where it listens.
        #[arg(long, env = "WORKER_HEALTH_ADDR", value_name = "ADDRESS:PORT")]
        health_addr: SocketAddr,
    },
}

/// How connections to PostgreSQL are secured.
#[derive(Debug, Clone, Args)]
pub struct SslSettings {
    /// As in libpq.
    #[arg(long, env = "PGSSLMODE", value_enum, default_value_t = SslMode::VerifyFull)]
    pub ssl_mode: SslMode,
    /// File of the CA certificates that PostgreSQL's are checked against, or "system"; unset: the system's.
    #[arg(long, env = "PGSSLROOTCERT", value_name = "FILE", value_parser = file)]
    pub ssl_root_cert: Option<String>,
    /// How a password may be given to a server, separated by commas.
    #[arg(
        long,
        env = "WORKER_AUTH_METHODS",
        value_enum,
        value_delimiter = ',',
        default_value = "scram-sha-256"
    )]
    pub auth_methods: Vec<AuthMethod>,
}

/// How a database is treated that roles of lower rank share.
#[derive(Debug, Clone, Copy, Args)]
pub struct TrustSettings {
    /// Whether an extension is refused whose script would see objects of roles of lower rank under names that it uses.
    #[arg(long, env = "WORKER_SCHEMA_CHECK", value_enum, default_value_t = SchemaCheck::Refuse)]
    pub schema_check: SchemaCheck,
    /// Whether the ledger may become a part of a publication FOR ALL TABLES, whose subscribers then need it too.
    #[arg(long, env = "WORKER_PUBLISH_LEDGER", default_value_t = false, action = clap::ArgAction::Set)]
    pub publish_ledger: bool,
}
