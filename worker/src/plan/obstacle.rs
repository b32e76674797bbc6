//! Why a declaration cannot be met, in the words that the developer of a stack reads.

use std::fmt;

use super::ResourceKey;
use crate::extension::{Declaration, ExtensionName, Observed, SchemaName, Version, VersionRequest};

/// How many edits still make one name look like another.
const TYPING_ERRORS: usize = 2;

/// The database that a Reason speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The server's host name.
    pub host: String,
    /// The database.
    pub database: String,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.host, self.database)
    }
}

/// Why a declaration cannot be met. All of them are permanent: the same request fails again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The server offers no such extension.
    NotAvailable {
        /// As declared.
        name: ExtensionName,
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// The server offers other versions, or none by default.
    NoSuchVersion {
        /// As declared.
        name: ExtensionName,
        /// As declared.
        asked: VersionRequest,
        /// Lowest first.
        available: Vec<Version>,
    },
    /// No update script leads to the version.
    NoPath {
        /// As declared.
        name: ExtensionName,
        /// The installed version.
        installed: Version,
        /// The version that it would have to be.
        asked: Version,
        /// The versions that it can be updated to.
        reachable: Vec<Version>,
    },
    /// The version lies below the installed one.
    Downgrade {
        /// As declared.
        name: ExtensionName,
        /// The installed version.
        installed: Version,
        /// The version that it would have to be.
        asked: Version,
    },
    /// Something that it requires is not installed, and `Cascade` is false.
    MissingRequirements {
        /// As declared.
        name: ExtensionName,
        /// The extensions that it requires.
        missing: Vec<String>,
    },
    /// The control file names the schema.
    FixedSchema {
        /// As declared.
        name: ExtensionName,
        /// The control file's.
        fixed: SchemaName,
        /// The declared one.
        asked: SchemaName,
    },
    /// It is installed and cannot be moved.
    NotRelocatable {
        /// As declared.
        name: ExtensionName,
        /// Where it is.
        installed_in: SchemaName,
        /// Where it should be.
        asked: SchemaName,
    },
    /// The schema does not exist.
    NoSchema {
        /// As declared.
        name: ExtensionName,
        /// The schema.
        schema: SchemaName,
    },
    /// `Ensure: absent`, but another resource owns it.
    OwnedByAnother {
        /// As installed.
        name: String,
        /// The other resource.
        owner: ResourceKey,
    },
}

impl Obstacle {
    pub(super) fn not_available(declaration: &Declaration, observed: &Observed) -> Self {
        Self::NotAvailable {
            name: declaration.name.clone(),
            suggestion: suggestion(declaration.name.as_str(), observed),
        }
    }

    /// The Reason: what is wrong, what would be right, and the SQLSTATE with which PostgreSQL would have refused.
    pub fn reason(&self, place: &Place, server_version: &str) -> String {
        match self {
            Self::NotAvailable { name, suggestion } => {
                let hint = suggestion
                    .as_ref()
                    .map(|other| format!(" Did you mean \"{other}\"?"))
                    .unwrap_or_default();
                format!(
                    "Extension \"{name}\" is not available on {place} (PostgreSQL {server_version}).{hint} [0A000]"
                )
            }
            Self::NoSuchVersion {
                name,
                asked,
                available,
            } => no_such_version(name, asked, available, place, server_version),
            Self::NoPath {
                name,
                installed,
                asked,
                reachable,
            } => {
                let reachable = match reachable.as_slice() {
                    [] => "It cannot be updated to any other version.".to_owned(),
                    versions => format!("It can be updated to: {}.", join(versions)),
                };
                format!(
                    "Extension \"{name}\": there is no update path from the installed version {installed} to {asked} \
                     on {place} (PostgreSQL {server_version}). {reachable} [22023]"
                )
            }
            Self::Downgrade {
                name,
                installed,
                asked,
            } => format!(
                "Extension \"{name}\": version {asked} lies below the installed {installed} on {place}. Ask for \
                 {installed}, or set AllowDowngrade: true."
            ),
            Self::MissingRequirements { name, missing } => format!(
                "Extension \"{name}\" requires {}, not installed on {place}. Declare it too, or leave Cascade at true. \
                 [42704]",
                missing.join(", ")
            ),
            Self::FixedSchema { name, fixed, asked } => format!(
                "Extension \"{name}\" must be installed in schema {fixed}, not {asked}: its control file says so. Leave \
                 Schema out. [0A000]"
            ),
            Self::NotRelocatable {
                name,
                installed_in,
                asked,
            } => format!(
                "Extension \"{name}\" is installed in schema {installed_in} on {place} and cannot be moved to {asked}. \
                 Set Schema: {installed_in}, or leave Schema out. [0A000]"
            ),
            Self::NoSchema { name, schema } => format!(
                "Extension \"{name}\": schema {schema} does not exist on {place}. Create it, or set CreateSchema: true. \
                 [3F000]"
            ),
            Self::OwnedByAnother { name, owner } => {
                format!("Extension \"{name}\" shall be absent on {place}, but {owner} declares it.")
            }
        }
    }
}

fn no_such_version(
    name: &ExtensionName,
    asked: &VersionRequest,
    available: &[Version],
    place: &Place,
    server_version: &str,
) -> String {
    let versions = join(available);
    match asked {
        VersionRequest::Unset | VersionRequest::Default => format!(
            "Extension \"{name}\" has no default version on {place} (PostgreSQL {server_version}). Available: \
             {versions}. Ask for one of these. [22023]"
        ),
        VersionRequest::Exact(_) | VersionRequest::Matching(_) => {
            let pattern = available
                .last()
                .and_then(|version| version.as_str().rsplit_once('.'))
                .map(|(series, _)| format!(", or \"{series}.*\""))
                .unwrap_or_default();
            format!(
                "Extension \"{name}\": version {} cannot be installed on {place} (PostgreSQL {server_version}). \
                 Available: {versions}. Ask for one of these{pattern}. [22023]",
                asked.as_str()
            )
        }
    }
}

fn join(versions: &[Version]) -> String {
    versions
        .iter()
        .map(Version::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// The extension of the server whose name is closest, if it is close: `pgvector` is `vector`, `postgsi` is `postgis`.
fn suggestion(name: &str, observed: &Observed) -> Option<String> {
    let folded = name.to_ascii_lowercase();
    let bare = |name: &str| {
        let name = name.to_ascii_lowercase().replace(['_', '-'], "");
        ["postgresql", "postgres", "pg"]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix).map(str::to_owned))
            .unwrap_or(name)
    };
    observed
        .catalog
        .extensions
        .iter()
        .map(|extension| {
            let other = extension.name.as_str();
            let distance = if bare(other) == bare(name) {
                0
            } else {
                strsim::damerau_levenshtein(&folded, &other.to_ascii_lowercase())
            };
            (distance, other)
        })
        .filter(|(distance, _)| *distance <= TYPING_ERRORS)
        .min()
        .map(|(_, other)| other.to_owned())
}
