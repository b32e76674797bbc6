//! The work of a re-sync on the databases of a server, and its results.

use std::time::Instant;

use chrono::Utc;

use crate::plan::{Declarer, Policy};
use crate::resync_protocol::event::{DatabaseResult, Event, Mode, ServerEnd, State};
use crate::target::Target;

/// A server of a re-sync, or a target without a server: the fields of all its results.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerOfResync<'a> {
    pub(super) resync_id: &'a str,
    pub(super) mode: Mode,
    /// The server's key in the re-sync.
    pub(super) key: &'a str,
    /// The secret or instance, as the target names it.
    pub(super) target: &'a str,
}

/// The work of a re-sync on each database of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResyncTask<'a> {
    pub(super) server: ServerOfResync<'a>,
    pub(super) baseline: Option<&'a Baseline>,
    /// The operator's limits.
    pub(super) policy: &'a Policy,
    /// Whether the target names the database: the baseline is for databases with a ledger, and for these.
    pub(super) is_named: bool,
    /// When the work on the server began: its offer must not be older.
    pub(super) since: Instant,
    /// A warning about the server.
    pub(super) note: Option<&'a str>,
}

/// Extensions that every database must have beside those that stacks declare.
#[derive(Debug, Clone)]
pub(super) struct Baseline {
    pub(super) declarer: Declarer,
    /// As properties, for the ledger.
    pub(super) declared: serde_json::Value,
}

impl ResyncTask<'_> {
    pub(super) fn is_repair(&self) -> bool {
        self.server.mode == Mode::Repair
    }
}

impl ServerOfResync<'_> {
    /// The result of a database that could not be observed.
    pub(super) fn failed(
        &self,
        at: Option<&Target>,
        reason: String,
        since: Instant,
    ) -> DatabaseResult {
        DatabaseResult {
            reason: Some(reason),
            server: at.map(|target| target.address.to_string()),
            database: at.map(|target| target.database.clone()),
            ..self.result(State::Failed, since)
        }
    }

    pub(super) fn result(&self, state: State, since: Instant) -> DatabaseResult {
        DatabaseResult {
            resync_id: self.resync_id.to_owned(),
            mode: self.mode,
            key: self.key.to_owned(),
            state,
            target: self.target.to_owned(),
            server: None,
            database: None,
            server_version: None,
            server_version_before: None,
            extensions: Vec::new(),
            changes: Vec::new(),
            findings: Vec::new(),
            basis: None,
            reason: None,
            at: Utc::now(),
            milliseconds: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The event that ends the server.
    pub(super) fn end(&self, results: usize) -> Event {
        Event::ResyncServer(ServerEnd {
            resync_id: self.resync_id.to_owned(),
            mode: self.mode,
            key: self.key.to_owned(),
            results,
        })
    }
}
