//! What a check before an upgrade found, for a person at a terminal and for a spreadsheet. Pure.

use std::collections::BTreeSet;

use chrono::SecondsFormat;

use super::csv::line;
use super::table::printable;
use crate::resync_protocol::event::DatabaseResult;
use crate::resync_protocol::{Basis, Finding, Severity};

/// How many places are named that have the same finding.
const MOST_NAMED: usize = 5;

const HEADINGS: &str = "Target,Server,Database,ServerVersion,State,To,Severity,Code,Object,Reason,Remedy,IsRead,Source,At\r\n";

/// The findings by severity, each once however many databases have it, and what those about extensions stand on.
pub(super) fn text(results: &[DatabaseResult]) -> String {
    let mut text = String::new();
    for severity in Severity::ALL {
        let mut found: Vec<(&Finding, Vec<String>)> = Vec::new();
        for result in results {
            for finding in result
                .findings
                .iter()
                .filter(|one| one.severity == severity)
            {
                let place = place(result);
                match found.iter_mut().find(|(known, _)| *known == finding) {
                    Some((_, places)) => places.push(place),
                    None => found.push((finding, vec![place])),
                }
            }
        }
        if !found.is_empty() {
            text.push_str(&format!("\n{}\n", heading(severity)));
        }
        for (finding, places) in found {
            let more = places.len().saturating_sub(MOST_NAMED);
            let named: Vec<String> = places.into_iter().take(MOST_NAMED).collect();
            let and_more = match more {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            text.push_str(&format!(
                "- {} ({}), in {}{and_more}\n  {}\n",
                printable(&finding.object),
                printable(&finding.code),
                named.join(", "),
                printable(&finding.reason),
            ));
            if let Some(remedy) = &finding.remedy {
                text.push_str(&format!("    {}\n", printable(remedy)));
            }
        }
    }
    let bases: BTreeSet<String> = results
        .iter()
        .filter_map(|result| result.basis.as_ref())
        .map(basis)
        .collect();
    for basis in bases {
        text.push_str(&format!("\n{basis}\n"));
    }
    text
}

fn heading(severity: Severity) -> &'static str {
    match severity {
        Severity::Blocks => "Blocks the upgrade:",
        Severity::StepBefore => "To be done before the upgrade:",
        Severity::StepAfter => "To be done after the upgrade:",
        Severity::Note => "Notes:",
    }
}

fn basis(
    Basis {
        to,
        is_read,
        source,
    }: &Basis,
) -> String {
    let how = if *is_read { "read from" } else { "known from" };
    format!(
        "What PostgreSQL {to} offers is {how} {}.",
        printable(source)
    )
}

fn place(result: &DatabaseResult) -> String {
    printable(&match (&result.server, &result.database) {
        (Some(server), Some(database)) => format!("{server}/{database}"),
        (Some(server), None) => server.clone(),
        (None, Some(database)) => format!("{}/{database}", result.target),
        (None, None) => result.target.clone(),
    })
}

/// One line for each finding; a server or database without any has one line.
pub(super) fn csv(results: &[DatabaseResult]) -> String {
    let mut text = HEADINGS.to_owned();
    for result in results {
        if result.findings.is_empty() {
            push_line(&mut text, result, None);
        }
        for finding in &result.findings {
            push_line(&mut text, result, Some(finding));
        }
    }
    text
}

fn push_line(text: &mut String, result: &DatabaseResult, finding: Option<&Finding>) {
    let basis = result.basis.as_ref();
    let to = basis.map(|basis| basis.to.to_string());
    let is_read = basis.map(|basis| basis.is_read.to_string());
    let at = result.at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let of = |field: fn(&Finding) -> &str| finding.map(field);
    line(
        text,
        &[
            Some(result.target.as_str()),
            result.server.as_deref(),
            result.database.as_deref(),
            result.server_version.as_deref(),
            Some(result.state.as_str()),
            to.as_deref(),
            of(|finding| finding.severity.as_str()),
            of(|finding| &finding.code),
            of(|finding| &finding.object),
            of(|finding| &finding.reason).or(result.reason.as_deref()),
            finding.and_then(|finding| finding.remedy.as_deref()),
            is_read.as_deref(),
            basis.map(|basis| basis.source.as_str()),
            Some(&at),
        ],
    );
}
