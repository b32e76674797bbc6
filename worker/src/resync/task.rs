//! What a re-sync is to do in the databases of a server, and the results that say so.

use std::time::Instant;

use chrono::Utc;

use crate::plan::{Declarer, Policy};
use crate::resync_protocol::event::{DatabaseResult, Event, Mode, ServerEnd, State};
use crate::target::Target;

/// A server of a re-sync, or a target that leads to none: what every result of it says.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerOfResync<'a> {
    pub(super) resync_id: &'a str,
    pub(super) mode: Mode,
    /// The server's key in the re-sync.
    pub(super) key: &'a str,
    /// The secret or instance, as it was given.
    pub(super) target: &'a str,
}

/// What a re-sync is to do in each database of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct ResyncTask<'a> {
    pub(super) server: ServerOfResync<'a>,
    pub(super) baseline: Option<&'a Baseline>,
    /// What the operator allows.
    pub(super) policy: &'a Policy,
    /// Whether the database was named: the baseline is for those that have a ledger, and for these.
    pub(super) is_named: bool,
    /// When work on the server began: what it offers is not older.
    pub(super) since: Instant,
    /// What is to be known of the server beside.
    pub(super) note: Option<&'a str>,
}

/// Extensions that every database should have beside what stacks declare.
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
    /// The result of what could not be looked at.
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

    /// The event that ends it.
    pub(super) fn end(&self, results: usize) -> Event {
        Event::ResyncServer(ServerEnd {
            resync_id: self.resync_id.to_owned(),
            mode: self.mode,
            key: self.key.to_owned(),
            results,
        })
    }
}
