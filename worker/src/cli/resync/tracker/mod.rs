//! How far a re-sync is, by its events: in any order, and any of them more than once. Pure.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::resync_protocol::event::{DatabaseResult, Event, ServerEnd, State, TargetsPage};

/// How many of a kind are named where they are missing.
const MOST_NAMED: usize = 5;

/// What the events of one re-sync have reported so far.
#[derive(Debug, Default)]
pub(super) struct ResyncTracker {
    id: String,
    pages: BTreeMap<u32, Vec<String>>,
    last: Option<u32>,
    /// By key, how many results the server has.
    ends: BTreeMap<String, usize>,
    /// By key and database.
    results: BTreeMap<String, BTreeMap<Option<String>, DatabaseResult>>,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Progress {
    /// Servers that are known of.
    pub(super) servers: usize,
    /// Whether there are no others.
    pub(super) all_known: bool,
    /// Servers that are finished.
    pub(super) finished: usize,
    /// Results, by state.
    pub(super) results: BTreeMap<State, usize>,
}

impl ResyncTracker {
    /// Nothing is known.
    pub(super) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            ..Self::default()
        }
    }

    /// Records an event. What is there already stays as it was first reported, and what belongs to another re-sync is passed
    /// over: for minutes a new subscription may bring more than its filter lets through.
    pub(super) fn record(&mut self, event: Event) {
        if event.resync_id() != self.id {
            return;
        }
        match event {
            Event::ResyncTargets(TargetsPage {
                page,
                last,
                servers,
                ..
            }) => {
                self.pages.entry(page).or_insert(servers);
                if last {
                    self.last.get_or_insert(page);
                }
            }
            Event::ResyncServer(ServerEnd { key, results, .. }) => {
                self.ends.entry(key).or_insert(results);
            }
            Event::ResyncResult(result) => {
                let of_server = self.results.entry(result.key.clone()).or_default();
                of_server.entry(result.database.clone()).or_insert(result);
            }
        }
    }

    /// Whether nothing more is to come.
    pub(super) fn is_complete(&self) -> bool {
        self.knows_all() && self.servers().iter().all(|key| self.is_finished(key))
    }

    /// How far it is.
    pub(super) fn progress(&self) -> Progress {
        let servers = self.servers();
        let mut results = BTreeMap::new();
        for result in self.results.values().flat_map(BTreeMap::values) {
            *results.entry(result.state).or_default() += 1;
        }
        Progress {
            finished: servers.iter().filter(|key| self.is_finished(key)).count(),
            servers: servers.len(),
            all_known: self.knows_all(),
            results,
        }
    }

    /// What is still to come, in words.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        match self.last {
            None if self.pages.is_empty() => {
                missing.push("no worker has said yet which servers these are".to_owned());
            }
            None => missing.push("further servers: not all of them are known yet".to_owned()),
            Some(last) => missing.extend(
                (0..=last)
                    .filter(|page| !self.pages.contains_key(page))
                    .take(MOST_NAMED)
                    .map(|page| format!("page {page} of the servers, of 0 to {last}")),
            ),
        }
        let unfinished: Vec<String> = self
            .servers()
            .into_iter()
            .filter(|key| !self.is_finished(key))
            .map(|key| {
                let there = self.results.get(key).map_or(0, BTreeMap::len);
                match self.ends.get(key) {
                    Some(results) => format!("{key}: {there} of {results} results are there"),
                    None => format!("{key}: not finished, {there} results are there"),
                }
            })
            .collect();
        let more = unfinished.len().saturating_sub(MOST_NAMED);
        missing.extend(unfinished.into_iter().take(MOST_NAMED));
        if more > 0 {
            missing.push(format!("{more} more servers"));
        }
        missing
    }

    /// The results, in the order of their servers and databases.
    pub(super) fn into_results(self) -> Vec<DatabaseResult> {
        let mut results: Vec<_> = self
            .results
            .into_values()
            .flat_map(BTreeMap::into_values)
            .collect();
        results.sort_by(|one, other| sort_key(one).cmp(&sort_key(other)));
        results
    }

    fn knows_all(&self) -> bool {
        self.last
            .is_some_and(|last| (0..=last).all(|page| self.pages.contains_key(&page)))
    }

    fn servers(&self) -> BTreeSet<&str> {
        self.pages.values().flatten().map(String::as_str).collect()
    }

    fn is_finished(&self, key: &str) -> bool {
        let there = self.results.get(key).map_or(0, BTreeMap::len);
        self.ends.get(key).is_some_and(|results| there >= *results)
    }
}

fn sort_key(result: &DatabaseResult) -> (Option<&str>, Option<&str>, &str) {
    (
        result.server.as_deref(),
        result.database.as_deref(),
        &result.target,
    )
}
