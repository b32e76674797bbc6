//! Updates that take more than ALTER EXTENSION, according to the extensions' authors: data, each row with its source.
//!
//! The worker recognizes that updates have to be committed version by version when PostgreSQL refuses them; their rows are
//! only for the documentation.

use std::cmp::Ordering;

use super::compare_naturally;

/// A property of an extension's updates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recipe {
    /// The extension.
    pub(crate) extension: &'static str,
    /// What the update takes.
    pub(crate) need: Need,
    /// The source: the authors' documentation.
    #[cfg_attr(not(test), expect(dead_code, reason = "the manual's"))]
    pub(crate) source: &'static str,
    /// How the row was tested.
    #[cfg_attr(not(test), expect(dead_code, reason = "the manual's"))]
    pub(crate) tried: &'static str,
}

/// What an update takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need {
    /// The versions of the update path are committed one by one.
    Staged {
        /// From below this version to this one or above.
        #[cfg_attr(
            not(test),
            expect(
                dead_code,
                reason = "the manual's: PostgreSQL says which updates need it"
            )
        )]
        crossing: &'static str,
    },
    /// The update is the first statement of a session.
    FreshSession,
    /// If its objects exist without the extension, it is created from them.
    Packaged {
        /// The type that shows this, in the schema of this extension.
        object: (&'static str, &'static str),
    },
    /// A statement is needed afterwards.
    After {
        /// From this version on; `None` for any version.
        from: Option<&'static str>,
        /// From below this version to this one or above.
        crossing: &'static str,
        /// The statement, or a description.
        action: &'static str,
        /// The reason.
        why: &'static str,
    },
}

/// The extensions of PostGIS, which have to be updated after it.
///
/// Source: "PostGIS_Extensions_Upgrade" in PostGIS's manual.
pub(crate) const POSTGIS_FAMILY: [&str; 4] = [
    "postgis_raster",
    "postgis_topology",
    "postgis_sfcgal",
    "postgis_tiger_geocoder",
];

/// All recipes.
pub(crate) const RECIPES: &[Recipe] = &[
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

/// The object that shows that an extension has to be created from existing objects: the extension in whose schema it is,
/// and the name of the type.
pub(crate) fn packaged_object(extension: &str) -> Option<(&'static str, &'static str)> {
    RECIPES.iter().find_map(|recipe| match recipe.need {
        Need::Packaged { object } if recipe.extension == extension => Some(object),
        Need::Packaged { .. } | Need::Staged { .. } | Need::FreshSession | Need::After { .. } => {
            None
        }
    })
}

/// Whether an update of the extension is to be the first statement of a session.
pub(crate) fn needs_fresh_session(extension: &str) -> bool {
    RECIPES
        .iter()
        .any(|recipe| recipe.extension == extension && matches!(recipe.need, Need::FreshSession))
}

pub(super) fn is_below(left: &str, right: &str) -> bool {
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
