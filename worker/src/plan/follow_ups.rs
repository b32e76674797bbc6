//! Statements that are needed after updates, and that the worker does not run.

use super::Step;
use super::recipes::{Need, POSTGIS_FAMILY, RECIPES, is_below};
use crate::extension::Observed;

/// One of these statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FollowUp {
    /// A row of [`RECIPES`].
    Statement {
        /// The extension.
        extension: String,
        /// The version that it was updated to.
        version: String,
        /// The statement, or what to do.
        action: &'static str,
        /// The reason.
        why: &'static str,
    },
    /// An extension that was not updated together with another to which it belongs.
    Outdated {
        /// The extension.
        extension: String,
        /// Its version.
        version: String,
        /// The other.
        beside: &'static str,
        /// The other's version.
        target: String,
    },
}

/// The statements that are needed after these steps, in a database with this observation.
pub(crate) fn follow_ups(steps: &[Step], observed: &Observed) -> Vec<FollowUp> {
    let mut found = Vec::new();
    for step in steps {
        let Step::Update { name, from, to } = step else {
            continue;
        };
        for recipe in RECIPES
            .iter()
            .filter(|recipe| name.as_str() == recipe.extension)
        {
            if let Need::After {
                from: since,
                crossing,
                action,
                why,
            } = recipe.need
                && since.is_none_or(|since| !is_below(from.as_str(), since))
                && is_below(from.as_str(), crossing)
                && !is_below(to.as_str(), crossing)
            {
                found.push(FollowUp::Statement {
                    extension: name.to_string(),
                    version: to.to_string(),
                    action,
                    why,
                });
            }
        }
    }
    let is_update_of = |step: &&Step, extension: &str| matches!(step, Step::Update { name, .. } if name.as_str() == extension);
    let Some(Step::Update { to, .. }) = steps.iter().rfind(|step| is_update_of(step, "postgis"))
    else {
        return found;
    };
    for member in POSTGIS_FAMILY {
        let is_behind = observed.installed.get(member).filter(|installed| {
            let is_updated = steps.iter().any(|step| is_update_of(&step, member));
            !is_updated && is_below(installed.version.as_str(), to.as_str())
        });
        found.extend(is_behind.map(|installed| FollowUp::Outdated {
            extension: member.to_owned(),
            version: installed.version.to_string(),
            beside: "postgis",
            target: to.to_string(),
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::{server, with};
    use super::*;
    use crate::extension::{ExtensionName, Version};
    use crate::response::reason::of_follow_up;

    fn update(name: &str, from: &str, to: &str) -> Step {
        Step::Update {
            name: ExtensionName::parse(name).unwrap(),
            from: Version::parse(from).unwrap(),
            to: Version::parse(to).unwrap(),
        }
    }

    fn said(steps: &[Step], observed: &Observed) -> String {
        let follow_ups = follow_ups(steps, observed);
        let said: Vec<String> = follow_ups.iter().map(of_follow_up).collect();
        said.join("\n")
    }

    #[test]
    fn what_follows_an_update_is_said_once_it_crosses_the_version() {
        let observed = server("");
        insta::assert_snapshot!(said(&[update("vector", "0.3.0", "0.5.1")], &observed), @"to do after the update of vector to 0.5.1: REINDEX INDEX CONCURRENTLY for each index of access method ivfflat (inserts under 0.2.7 and 0.3.0 may be missing in it)");
        insta::assert_snapshot!(said(&[update("citus", "10.2-5", "11.0-1"), update("citus", "11.0-1", "12.1-1")], &observed), @"to do after the update of citus to 11.0-1: CALL citus_finish_citus_upgrade() on the coordinator (the workers get the metadata by it)");
        for steps in [
            [update("vector", "0.2.6", "0.5.1")],
            [update("vector", "0.3.1", "0.5.1")],
            [update("vector", "0.2.7", "0.3.0")],
            [update("hstore", "1.0", "1.8")],
        ] {
            assert_eq!(said(&steps, &observed), "", "{steps:?}");
        }
    }

    #[test]
    fn a_part_of_postgis_that_stays_behind_is_named() {
        let family = with(server(""), "postgis_raster", "3.2.1", &[]);
        let family = with(family, "postgis_topology", "3.3.2", &[]);
        let postgis = update("postgis", "3.2.1", "3.3.2");
        insta::assert_snapshot!(said(std::slice::from_ref(&postgis), &family), @"to do: postgis_raster 3.2.1 belongs to postgis, which is at 3.3.2, and is not declared: declare it too, or run ALTER EXTENSION postgis_raster UPDATE TO '3.3.2'");
        let raster = update("postgis_raster", "3.2.1", "3.3.2");
        assert_eq!(said(&[postgis, raster], &family), "");
    }
}
