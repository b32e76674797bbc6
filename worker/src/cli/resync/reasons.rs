//! Why databases are not as declared, for a person at a terminal. Pure.

use super::table::{is_fine, printable};
use crate::resync_protocol::event::DatabaseResult;

/// How many databases are named that fail for the same reason.
const MOST_NAMED: usize = 5;
/// Each cause once, however many databases it struck.
pub(super) fn reasons(results: &[DatabaseResult]) -> String {
    let mut causes: Vec<(String, &str, Vec<String>)> = Vec::new();
    for result in results.iter().filter(|result| !is_fine(result.state)) {
        let Some(reason) = result.reason.as_deref() else {
            continue;
        };
        let cause = cause(result, reason);
        let name = name(result);
        match causes.iter_mut().find(|(known, ..)| *known == cause) {
            Some((_, _, names)) => names.push(name),
            None => causes.push((cause, reason, vec![name])),
        }
    }
    let mut text = String::new();
    for (_, reason, names) in causes {
        let more = names.len().saturating_sub(MOST_NAMED);
        let named: Vec<String> = names.into_iter().take(MOST_NAMED).collect();
        let mut who = named.join(", ");
        if more > 0 {
            who.push_str(&format!(" and {more} more"));
        }
        text.push_str(&format!("\n{who}\n"));
        for line in reason.lines() {
            text.push_str(&format!("  {}\n", printable(line)));
        }
    }
    text
}

/// The reason without what names the database.
fn cause(result: &DatabaseResult, reason: &str) -> String {
    let server = result.server.as_deref().unwrap_or_default();
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    let database = result.database.as_deref().unwrap_or_default();
    [server, host, &result.target, database]
        .into_iter()
        // A short name may be part of any word.
        .filter(|name| name.len() > 3)
        .fold(reason.to_owned(), |cause, name| cause.replace(name, "…"))
}

fn name(result: &DatabaseResult) -> String {
    printable(&match (&result.server, &result.database) {
        (Some(server), Some(database)) => format!("{server}/{database}"),
        (_, Some(database)) => format!("{}/{database}", result.target),
        (_, None) => result.target.clone(),
    })
}
