//! `Data`: the attributes for `Fn::GetAtt`.

use std::collections::BTreeMap;

use crate::plan::DatabaseOutcome;
use crate::request::Properties;

/// The attributes for `Fn::GetAtt`. A Create and an Update have the same keys.
pub(super) fn data(
    properties: &Properties,
    outcomes: &[(String, DatabaseOutcome)],
) -> BTreeMap<String, String> {
    let of_each = |text: &dyn Fn(&DatabaseOutcome) -> String| match outcomes {
        [(_, outcome)] => text(outcome),
        several => {
            let texts: Vec<String> = several
                .iter()
                .map(|(name, outcome)| format!("{name}: {}", text(outcome)))
                .collect();
            texts.join("; ")
        }
    };
    let list = |versions: &BTreeMap<String, String>| {
        let all: Vec<String> = versions
            .iter()
            .map(|(name, version)| format!("{name}={version}"))
            .collect();
        all.join(",")
    };
    let mut data = BTreeMap::new();
    for declaration in &properties.declarations {
        let name = declaration.name.to_string();
        let mut versions: Vec<&str> = outcomes
            .iter()
            .filter_map(|(_, outcome)| outcome.declared.get(&name))
            .map(String::as_str)
            .collect();
        versions.dedup();
        data.insert(name, versions.join(","));
    }
    let databases: Vec<&str> = outcomes.iter().map(|(name, _)| name.as_str()).collect();
    data.insert("Databases".to_owned(), databases.join(","));
    data.insert(
        "Extensions".to_owned(),
        of_each(&|outcome| list(&outcome.declared)),
    );
    data.insert(
        "Before".to_owned(),
        of_each(&|outcome| list(&outcome.before)),
    );
    data.insert(
        "Changes".to_owned(),
        of_each(&|outcome| {
            let all: Vec<&str> = outcome
                .changes
                .iter()
                .chain(&outcome.notes)
                .map(String::as_str)
                .collect();
            if all.is_empty() {
                "none".to_owned()
            } else {
                all.join("; ")
            }
        }),
    );
    data
}
