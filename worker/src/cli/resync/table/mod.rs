//! The report for a person at a terminal. Pure.
//!
//! Names and reasons come from databases: what could steer a terminal is left out of them.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use comfy_table::{Table, presets};

use super::findings;
use super::reasons::reasons;
use super::report::{Report, in_words, word};
use crate::resync_protocol::event::{DatabaseResult, ExtensionResult, ExtensionState, Mode, State};

/// A longer table than this is not read: it shows what is not as it should be.
const MOST_ROWS: usize = 50;
/// A wider one neither.
const MOST_EXTENSIONS: usize = 10;
/// Stands beside the state's sign, as an extension has both.
const BLOCKS: char = '⚑';

/// Table, totals, reasons.
pub(super) fn text(report: &Report) -> String {
    let results: Vec<&DatabaseResult> = report.results.iter().collect();
    let mut text = String::new();
    let shown: Vec<&DatabaseResult> = if results.len() > MOST_ROWS {
        let wanting = results.into_iter().filter(|result| !is_fine(result.state));
        wanting.collect()
    } else {
        results
    };
    let hidden = report.results.len() - shown.len();
    if !shown.is_empty() {
        text.push_str(&table(&shown, report.mode));
        text.push('\n');
    }
    let noun = match report.mode {
        // Of servers, too.
        Mode::UpgradeCheck => "result",
        Mode::Report | Mode::Repair => "database",
    };
    if hidden > 0 {
        text.push_str(&format!(
            "Not shown: {hidden} {noun}s that are {}; --json, --csv and --html have all.\n",
            match report.mode {
                Mode::UpgradeCheck => "ready",
                Mode::Report | Mode::Repair => "in sync or unmanaged",
            }
        ));
    }
    let totals = match report.results.len() {
        0 => format!("No {noun}s."),
        1 => format!("1 {noun}: {}.", in_words(&report.totals())),
        count => format!("{count} {noun}s: {}.", in_words(&report.totals())),
    };
    text.push_str(&totals);
    text.push('\n');
    text.push_str(&reasons(&report.results));
    text.push_str(&findings::text(&report.results));
    text
}

/// Whether it needs no attention.
pub(super) fn is_fine(state: State) -> bool {
    match state {
        State::InSync | State::Unmanaged | State::Ready => true,
        State::Repaired | State::Drifted | State::Failed | State::NeedsSteps | State::Blocked => {
            false
        }
    }
}

fn table(shown: &[&DatabaseResult], mode: Mode) -> String {
    let all: BTreeSet<&str> = names(shown, |_| true);
    let columns = if all.len() > MOST_EXTENSIONS {
        names(shown, |extension| !is_quiet(extension.state))
    } else {
        all.clone()
    };
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let fixed = ["Database", "State", "Server", "PostgreSQL"];
    let headings = fixed.into_iter().chain(columns.iter().copied());
    table.set_header(headings.map(printable));
    for result in shown {
        let mut row = vec![
            printable(name(result)),
            word(result.state).to_owned(),
            printable(result.server.as_deref().unwrap_or_default()),
            printable(result.server_version.as_deref().unwrap_or_default()),
        ];
        row.extend(columns.iter().map(|name| {
            let mut extensions = result.extensions.iter();
            let of = extensions.find(|extension| extension.name == *name);
            of.map(cell).unwrap_or_default()
        }));
        table.add_row(row);
    }
    let mut text = format!("{}\n", table.trim_fmt());
    let shown_extensions = || shown.iter().flat_map(|result| &result.extensions);
    let states: BTreeSet<_> = shown_extensions()
        .map(|extension| extension.state)
        .collect();
    let mut legend: Vec<String> = states
        .into_iter()
        .map(|state| {
            let (sign, meaning) = look(state);
            let is_after = mode == Mode::UpgradeCheck && state == ExtensionState::Outdated;
            let meaning = if is_after {
                "update afterwards"
            } else {
                meaning
            };
            format!("{sign} {meaning}")
        })
        .collect();
    if shown_extensions().any(|extension| extension.blocks_major_upgrade) {
        legend.push(format!("{BLOCKS} blocks a major upgrade"));
    }
    if !legend.is_empty() {
        text.push_str(&format!("{}\n", legend.join("   ")));
    }
    let omitted = all.len() - columns.len();
    if omitted > 0 {
        text.push_str(&format!(
            "Not shown: {omitted} extensions that are in sync or unmanaged everywhere here.\n"
        ));
    }
    text
}

/// The database; of a check the server as a whole, or what was not reached.
fn name(result: &DatabaseResult) -> &str {
    let is_server = result.basis.is_some();
    let other = if is_server {
        "(server)"
    } else {
        &result.target
    };
    result.database.as_deref().unwrap_or(other)
}

fn names<'a>(
    shown: &[&'a DatabaseResult],
    wanted: impl Fn(&ExtensionResult) -> bool,
) -> BTreeSet<&'a str> {
    let extensions = shown.iter().flat_map(|result| &result.extensions);
    extensions
        .filter(|extension| wanted(extension))
        .map(|extension| extension.name.as_str())
        .collect()
}

fn is_quiet(state: ExtensionState) -> bool {
    match state {
        ExtensionState::InSync
        | ExtensionState::Absent
        | ExtensionState::Unmanaged
        | ExtensionState::Ready => true,
        ExtensionState::Repaired
        | ExtensionState::Drifted
        | ExtensionState::Outdated
        | ExtensionState::Failed
        | ExtensionState::NeedsSteps
        | ExtensionState::Blocked => false,
    }
}

/// The same signs as the page's.
fn look(state: ExtensionState) -> (char, &'static str) {
    match state {
        ExtensionState::InSync => ('✓', "in sync"),
        ExtensionState::Repaired => ('↻', "repaired"),
        ExtensionState::Drifted => ('≠', "drifted"),
        ExtensionState::Outdated => ('↑', "outdated"),
        ExtensionState::Failed => ('✕', "failed"),
        ExtensionState::Absent => ('∅', "absent"),
        ExtensionState::Unmanaged => ('○', "unmanaged"),
        ExtensionState::Ready => ('✓', "ready"),
        ExtensionState::NeedsSteps => ('!', "needs a step before"),
        ExtensionState::Blocked => ('✕', "blocks the upgrade"),
    }
}

/// The version, and where it ought to go.
fn cell(extension: &ExtensionResult) -> String {
    let (sign, _) = look(extension.state);
    let installed = extension.installed.as_deref().unwrap_or_default();
    let default = extension.default.as_deref();
    let declared = extension.declared.as_deref();
    // `Declared` may say a word, like default, in place of a version.
    let is_version = |text: &&str| text.starts_with(|first: char| first.is_ascii_digit());
    let wanted = match extension.state {
        ExtensionState::Outdated | ExtensionState::NeedsSteps | ExtensionState::Blocked => default,
        ExtensionState::Drifted => declared.filter(is_version).or(default),
        ExtensionState::InSync
        | ExtensionState::Repaired
        | ExtensionState::Failed
        | ExtensionState::Absent
        | ExtensionState::Unmanaged
        | ExtensionState::Ready => None,
    };
    let mut text = format!("{sign} {installed}");
    if let Some(wanted) = wanted.filter(|wanted| *wanted != installed) {
        text.push_str(&format!(" → {wanted}"));
    }
    if extension.blocks_major_upgrade {
        text.push_str(&format!(" {BLOCKS}"));
    }
    printable(text.trim_end())
}

/// Without what could steer a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .collect()
}
