//! What an update of an extension takes beside ALTER EXTENSION, as its authors say it: data, each row with its source.
//!
//! Which updates have to be committed version by version is found out when PostgreSQL refuses them; their rows are there for
//! the manual.

use std::cmp::Ordering;

use super::{Step, compare_naturally};
use crate::extension::Observed;

/// One thing to know about one extension.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// The extension.
    pub extension: &'static str,
    /// What it takes.
    pub need: Need,
    /// Where its authors say so.
    pub source: &'static str,
    /// What it was run against.
    pub tried: &'static str,
}

/// What an update takes.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// The versions on the way are committed one by one.
    Staged {
        /// From below this version to it, or above.
        crossing: &'static str,
    },
    /// The update is the first statement of a session.
    FreshSession,
    /// Where objects are in the database without their extension, it is created around them.
    Packaged {
        /// The type that is there then, in the schema of this extension.
        object: (&'static str, &'static str),
    },
    /// Something follows.
    After {
        /// From this version on; none where from any.
        from: Option<&'static str>,
        /// From below this version to it, or above.
        crossing: &'static str,
        /// The statement, or what to do.
        action: &'static str,
        /// Why.
        why: &'static str,
    },
}

/// The extensions that are PostGIS together: each is to be updated with it, behind it.
///
/// Source: "PostGIS_Extensions_Upgrade" in PostGIS's manual.
pub const POSTGIS_FAMILY: [&str; 4] = [
    "postgis_raster",
    "postgis_topology",
    "postgis_sfcgal",
    "postgis_tiger_geocoder",
];

/// All of it.
pub const RECIPES: &[Recipe] = &[
    Recipe {
        extension: "pg_partman",
        need: Need::Staged { crossing: "5.0.0" },
        source: "https://access.crunchydata.com/documentation/pg-partman/latest/pg_partman_5.0.1_upgrade/",
        tried: "the extension itself, 4.7.2 to 5.0.1, on PostgreSQL 15 by hand; in the tests an imitation, as no package has both versions",
    },
    Recipe {
        extension: "timescaledb",
        need: Need::FreshSession,
        source: "https://github.com/timescale/docs/blob/latest/_troubleshooting/self-hosted/upgrade-fails-already-loaded.md",
        tried: "an imitation in the tests, which looks for other statements of the session in the server's log: no package here has timescaledb",
    },
    Recipe {
        extension: "citus",
        need: Need::FreshSession,
        source: "https://docs.citusdata.com/en/latest/admin_guide/upgrading_citus.html",
        tried: "the imitation of timescaledb: no package here has citus",
    },
    Recipe {
        extension: "postgis_raster",
        need: Need::Packaged {
            object: ("postgis", "raster"),
        },
        source: "https://postgis.net/docs/PostGIS_Extensions_Upgrade.html",
        tried: "the extension itself, 3.3.2, in the tests: raster objects without an extension, as an update of postgis from 2.5 leaves them",
    },
    Recipe {
        extension: "postgis_topology",
        need: Need::After {
            from: None,
            crossing: "3.6.1",
            action: "SELECT topology.FixCorruptTopoGeometryColumn(schema_name, table_name, feature_column) FROM topology.layer",
            why: "topogeometry columns from before 3.6.0 are corrupt until then",
        },
        source: "https://postgis.net/docs/FixCorruptTopoGeometryColumn.html",
        tried: "not run: no package here has 3.6",
    },
    Recipe {
        extension: "vector",
        need: Need::After {
            from: Some("0.2.7"),
            crossing: "0.3.1",
            action: "REINDEX INDEX CONCURRENTLY for each index of access method ivfflat",
            why: "inserts under 0.2.7 and 0.3.0 may be missing in it",
        },
        source: "https://github.com/pgvector/pgvector/blob/master/CHANGELOG.md",
        tried: "not run: no package here has 0.2.7",
    },
    Recipe {
        extension: "citus",
        need: Need::After {
            from: None,
            crossing: "11",
            action: "CALL citus_finish_citus_upgrade() on the coordinator",
            why: "the workers get the metadata by it",
        },
        source: "https://docs.citusdata.com/en/latest/admin_guide/upgrading_citus.html",
        tried: "not run: no package here has citus",
    },
];

/// What is left to do by hand after updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowUp {
    /// A row of [`RECIPES`].
    Statement {
        /// The extension.
        extension: String,
        /// The version that it was updated to.
        version: String,
        /// The statement, or what to do.
        action: &'static str,
        /// Why.
        why: &'static str,
    },
    /// An extension stays behind that another was updated without.
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

/// What is left to do by hand after these steps, in a database that is as observed then.
pub fn follow_ups(steps: &[Step], observed: &Observed) -> Vec<FollowUp> {
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

/// The object by which it is seen that an extension is to be created around what is there: the extension in whose schema it
/// is, and the name of the type.
pub fn packaged_object(extension: &str) -> Option<(&'static str, &'static str)> {
    RECIPES.iter().find_map(|recipe| match recipe.need {
        Need::Packaged { object } if recipe.extension == extension => Some(object),
        Need::Packaged { .. } | Need::Staged { .. } | Need::FreshSession | Need::After { .. } => {
            None
        }
    })
}

/// Whether an update of the extension is to be the first statement of a session.
pub fn needs_fresh_session(extension: &str) -> bool {
    RECIPES
        .iter()
        .any(|recipe| recipe.extension == extension && matches!(recipe.need, Need::FreshSession))
}

fn is_below(left: &str, right: &str) -> bool {
    compare_naturally(left, right) == Ordering::Less
}

/// The table of `docs/update-recipes.md`, which `make reference` writes.
#[cfg(test)]
pub(crate) fn markdown() -> String {
    let mut table =
        "| Extension | What an update takes | Source | Run against |\n|---|---|---|---|\n"
            .to_owned();
    for Recipe {
        extension,
        need,
        source,
        tried,
    } in RECIPES
    {
        let need = match need {
            Need::Staged { crossing } => {
                format!(
                    "staged: from below {crossing} the versions on the way are committed one by one"
                )
            }
            Need::FreshSession => {
                "fresh session: the update is the first statement of a session of its own"
                    .to_owned()
            }
            Need::Packaged {
                object: (beside, object),
            } => format!(
                "packaged: where the schema of {beside} has the type `{object}` and the extension is not installed, it is \
                 created around what is there"
            ),
            Need::After {
                from,
                crossing,
                action,
                why,
            } => {
                let from = from
                    .map(|from| format!("from {from} on, "))
                    .unwrap_or_default();
                format!("after, {from}to {crossing} and later: `{action}`, as {why}")
            }
        };
        table.push_str(&format!(
            "| `{extension}` | {need} | <{source}> | {tried} |\n"
        ));
    }
    table
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
