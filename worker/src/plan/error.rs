//! Why a declaration cannot be met; [`crate::response`] has the sentences.

use crate::extension::{Declaration, ExtensionName, Observed, SchemaName, Version, VersionRequest};
use crate::ledger::ResourceKey;

/// Maximum number of edits for which a name still counts as similar to another.
const TYPING_ERRORS: usize = 2;

/// Why a declaration cannot be met. All of them are permanent: the same request fails again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanError {
    /// The server offers no such extension.
    NotAvailable {
        /// As declared.
        name: ExtensionName,
        /// A similar name that may be meant.
        suggestion: Option<String>,
    },
    /// `rds.allowed_extensions` does not name it.
    NotAllowed {
        /// As declared.
        name: ExtensionName,
        /// The role that may not create it.
        role: String,
        /// What the setting says.
        allowed: String,
    },
    /// The operator does not allow it to be created (`WORKER_EXTENSIONS`).
    NotInPolicy {
        /// As declared.
        name: ExtensionName,
        /// The extension itself, or one that `CASCADE` would create with it.
        forbidden: String,
        /// What the setting says.
        patterns: String,
    },
    /// The operator does not allow `DeletionBehavior: DropCascade` (`WORKER_ALLOW_DROP_CASCADE`).
    NoDropCascade {
        /// The extension that would be dropped; `None` for a new resource.
        extension: Option<String>,
    },
    /// pg_cron runs in one database of the server, and this is another.
    OtherCronDatabase {
        /// `cron.database_name`.
        cron_database: String,
    },
    /// The server does not offer this version, or has no default version.
    NoSuchVersion {
        /// As declared.
        name: ExtensionName,
        /// As declared.
        asked: VersionRequest,
        /// The server's.
        default: Option<Version>,
        /// Lowest first.
        available: Vec<Version>,
    },
    /// No update path leads to the version.
    NoPath {
        /// As declared.
        name: ExtensionName,
        /// The installed version.
        installed: Version,
        /// The version that is declared.
        asked: Version,
        /// The versions that it can be updated to.
        reachable: Vec<Version>,
        /// Whether the server can create it, and it is not below the installed one.
        can_create: bool,
    },
    /// The version is below the installed one.
    Downgrade {
        /// As declared.
        name: ExtensionName,
        /// The installed version.
        installed: Version,
        /// The version that is declared.
        asked: Version,
    },
    /// An extension that it requires is not installed, and `Cascade` is false.
    MissingRequirements {
        /// As declared.
        name: ExtensionName,
        /// The extensions that it requires.
        missing: Vec<String>,
    },
    /// The control file fixes the schema.
    FixedSchema {
        /// As declared.
        name: ExtensionName,
        /// The control file's.
        fixed: SchemaName,
        /// The declared one.
        asked: SchemaName,
    },
    /// The extension is installed and cannot be moved.
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
    /// `Ensure: absent`, but an extension that is declared present requires it.
    AbsentButRequired {
        /// As declared.
        name: ExtensionName,
        /// As declared.
        by: ExtensionName,
    },
    /// `Ensure: absent`, but another resource owns it, or an extension that requires it.
    OwnedByAnother {
        /// As installed.
        name: String,
        /// The other resource.
        owner: ResourceKey,
    },
}

impl PlanError {
    /// The extension of the declaration.
    pub(crate) fn extension(&self) -> &str {
        match self {
            Self::NotAvailable { name, .. }
            | Self::NotAllowed { name, .. }
            | Self::NotInPolicy { name, .. }
            | Self::NoSuchVersion { name, .. }
            | Self::NoPath { name, .. }
            | Self::Downgrade { name, .. }
            | Self::MissingRequirements { name, .. }
            | Self::FixedSchema { name, .. }
            | Self::NotRelocatable { name, .. }
            | Self::NoSchema { name, .. }
            | Self::AbsentButRequired { name, .. } => name.as_str(),
            Self::OwnedByAnother { name, .. } => name,
            Self::NoDropCascade { extension } => extension.as_deref().unwrap_or_default(),
            Self::OtherCronDatabase { .. } => "pg_cron",
        }
    }

    /// The SQLSTATEs with which PostgreSQL refuses for the same reason; none if PostgreSQL does not try the statement,
    /// because there is none, or because the facts were read just now.
    pub(crate) fn sqlstates(&self) -> &'static [&'static str] {
        match self {
            // Up to version 14 the control file is missing.
            Self::NotAvailable { .. } | Self::NoSuchVersion { .. } => &["0A000", "22023", "58P01"],
            Self::NoPath { .. } => &["22023"],
            Self::NotAllowed { .. } => &["42501"],
            Self::OtherCronDatabase { .. }
            | Self::Downgrade { .. }
            | Self::MissingRequirements { .. }
            | Self::FixedSchema { .. }
            | Self::NotRelocatable { .. }
            | Self::NoSchema { .. }
            | Self::AbsentButRequired { .. }
            | Self::OwnedByAnother { .. }
            | Self::NotInPolicy { .. }
            | Self::NoDropCascade { .. } => &[],
        }
    }

    pub(super) fn not_available(declaration: &Declaration, observed: &Observed) -> Self {
        Self::NotAvailable {
            name: declaration.name.clone(),
            suggestion: suggestion(declaration.name.as_str(), observed),
        }
    }
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
        // Edits change most of a short name.
        .filter(|(distance, _)| *distance <= TYPING_ERRORS && distance * 2 <= name.len())
        .min()
        .map(|(_, other)| other.to_owned())
}
