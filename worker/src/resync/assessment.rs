//! From the observation and the changes of a database to its result. Pure.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::extension::{Declaration, Ensure, Observed};
use crate::plan::{Declarer, Step, compare_naturally};
use crate::request::text::printable;
use crate::response::reason;
use crate::resync_protocol::event::{ExtensionResult, ExtensionState, State};

/// Extensions that prevent an upgrade to the next major version while they are older than the server's default version.
///
/// Source: "How to perform a major version upgrade for RDS for PostgreSQL" in the RDS User Guide.
const BEFORE_MAJOR_UPGRADE: [&str; 7] = [
    "postgis",
    "postgis_raster",
    "postgis_sfcgal",
    "postgis_tiger_geocoder",
    "postgis_topology",
    "address_standardizer",
    "address_standardizer_data_us",
];

/// Maximum lengths, as an event has to fit in a message.
const MAX_REASON_CHARACTERS: usize = 8_000;
const MAX_OWNERS: usize = 50;

/// The results of all declarations of a database.
#[derive(Debug, Clone, Default)]
pub(super) struct Findings {
    /// The steps that were applied.
    pub(super) done: Vec<Step>,
    /// The steps that a repair would apply.
    pub(super) to_do: Vec<Step>,
    /// Declarations that cannot be met, or were refused: the extension, and why.
    pub(super) faults: Vec<(String, String)>,
    /// Extensions that are declared absent, and installed.
    pub(super) unwanted: BTreeSet<String>,
    /// Warnings.
    pub(super) warnings: Vec<String>,
}

impl Findings {
    /// Adds a declaration that cannot be met, once for all declarers.
    pub(super) fn add_fault(&mut self, extension: &str, reason: String) {
        let fault = (extension.to_owned(), reason);
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// The state of the database.
    pub(super) fn state(&self, declarers: &[Declarer], repairing: bool) -> State {
        let has_faults = !self.faults.is_empty();
        if repairing && has_faults {
            State::Failed
        } else if has_faults || !self.to_do.is_empty() || !self.unwanted.is_empty() {
            State::Drifted
        } else if !self.done.is_empty() {
            State::Repaired
        } else if declarers.is_empty() {
            State::Unmanaged
        } else {
            State::InSync
        }
    }

    /// The Reason; `None` if there is nothing to report.
    pub(super) fn reason(&self) -> Option<String> {
        let faults = self.faults.iter().map(|(_, reason)| reason.as_str());
        let reason = reason::resync::of_findings(faults, &self.unwanted, &self.warnings)?;
        Some(printable(&reason, MAX_REASON_CHARACTERS))
    }

    /// The statements that were run, or that a repair would run.
    pub(super) fn changes(&self) -> Vec<String> {
        self.done.iter().chain(&self.to_do).map(Step::sql).collect()
    }

    /// Every extension that is installed or declared.
    pub(super) fn extensions(
        &self,
        declarers: &[Declarer],
        observed: &Observed,
        repairing: bool,
    ) -> Vec<ExtensionResult> {
        let mut results = BTreeMap::new();
        for (name, installed) in &observed.installed {
            let default = default_version(name, observed);
            let is_outdated = default.as_ref().is_some_and(|default| {
                compare_naturally(installed.version.as_str(), default) == Ordering::Less
            });
            let blocks = is_outdated && BEFORE_MAJOR_UPGRADE.contains(&name.as_str());
            let result = ExtensionResult {
                name: name.clone(),
                state: if is_outdated {
                    ExtensionState::Outdated
                } else {
                    ExtensionState::Unmanaged
                },
                installed: Some(installed.version.to_string()),
                default,
                declared: None,
                schema: Some(installed.schema.as_str().to_owned()),
                owners: Vec::new(),
                blocks_major_upgrade: blocks,
                change: None,
            };
            results.insert(name.clone(), result);
        }
        for declarer in declarers {
            for declaration in &declarer.declarations {
                let name = name_in(observed, declaration);
                let result = results
                    .entry(name.clone())
                    .or_insert_with(|| not_installed(&name, observed));
                if result.owners.len() < MAX_OWNERS {
                    result.owners.push(declarer.key.to_string());
                }
                // Of several declarations the one that requires more.
                let wanted = wanted(declaration);
                if result.declared.as_ref().is_none_or(String::is_empty) {
                    result.declared = Some(wanted);
                }
                if result.state == ExtensionState::Unmanaged {
                    result.state = ExtensionState::InSync;
                }
            }
        }
        for result in results.values_mut() {
            // Any version is accepted.
            if result.declared.as_deref() == Some("") {
                result.declared = Some("any".to_owned());
            }
            self.judge(result, repairing);
        }
        results.into_values().collect()
    }

    fn judge(&self, result: &mut ExtensionResult, repairing: bool) {
        let is_it = |name: &str| name.eq_ignore_ascii_case(&result.name);
        let about = |steps: &[Step], words: fn(&Step) -> String| {
            let steps = steps.iter().filter(|step| is_it(step.extension()));
            let changes: Vec<String> = steps.map(words).collect();
            (!changes.is_empty()).then(|| changes.join(", "))
        };
        let done = about(&self.done, Step::to_string);
        let to_do = about(&self.to_do, Step::sql);
        let has_fault = self.faults.iter().any(|(name, _)| is_it(name));
        let is_drifted = to_do.is_some() || has_fault || self.unwanted.contains(&result.name);
        if repairing && has_fault {
            result.state = ExtensionState::Failed;
        } else if is_drifted {
            result.state = match result.installed {
                Some(_) => ExtensionState::Drifted,
                None => ExtensionState::Absent,
            };
        } else if done.is_some() {
            result.state = ExtensionState::Repaired;
        }
        result.change = to_do.or(done);
    }
}

/// The name of the extension in the catalog.
fn name_in(observed: &Observed, declaration: &Declaration) -> String {
    observed
        .installed
        .keys()
        .find(|name| declaration.name.means(name))
        .cloned()
        .or_else(|| {
            let offer = observed.catalog.resolve(&declaration.name)?;
            Some(offer.name.to_string())
        })
        .unwrap_or_else(|| declaration.name.to_string())
}

fn not_installed(name: &str, observed: &Observed) -> ExtensionResult {
    ExtensionResult {
        name: name.to_owned(),
        state: ExtensionState::InSync,
        installed: None,
        default: default_version(name, observed),
        declared: None,
        schema: None,
        owners: Vec::new(),
        blocks_major_upgrade: false,
        change: None,
    }
}

fn default_version(name: &str, observed: &Observed) -> Option<String> {
    let extensions = &observed.catalog.extensions;
    let offer = extensions
        .iter()
        .find(|offer| offer.name.as_str() == name)?;
    offer.default_version.as_ref().map(ToString::to_string)
}

fn wanted(declaration: &Declaration) -> String {
    match declaration.ensure {
        Ensure::Present => declaration.version.as_str().to_owned(),
        Ensure::Absent => "absent".to_owned(),
    }
}
