//! Results for the tests of this room.

use chrono::{DateTime, Utc};

use super::report::Report;
use crate::resync_protocol::event::{DatabaseResult, ExtensionResult, ExtensionState, Mode, State};

fn at() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000, 0).unwrap()
}

pub(super) fn result(state: State, database: &str) -> DatabaseResult {
    DatabaseResult {
        resync_id: "id".to_owned(),
        mode: Mode::Report,
        key: "key".to_owned(),
        state,
        target: format!("prod/{database}"),
        server: Some("server.example:5432".to_owned()),
        database: Some(database.to_owned()),
        server_version: Some("15.4".to_owned()),
        server_version_before: None,
        extensions: Vec::new(),
        changes: Vec::new(),
        findings: Vec::new(),
        basis: None,
        reason: None,
        at: at(),
        milliseconds: 41,
    }
}

pub(super) fn extension(name: &str, state: ExtensionState, installed: &str) -> ExtensionResult {
    ExtensionResult {
        name: name.to_owned(),
        state,
        installed: Some(installed.to_owned()),
        default: Some("3.4.0".to_owned()),
        declared: None,
        schema: Some("public".to_owned()),
        owners: Vec::new(),
        blocks_major_upgrade: false,
        change: None,
    }
}

pub(super) fn report(results: Vec<DatabaseResult>) -> Report {
    Report {
        resync_id: "id".to_owned(),
        mode: Mode::Report,
        started_at: at(),
        finished_at: at(),
        complete: true,
        results,
    }
}
