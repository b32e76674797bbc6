//! One statement of a plan.

use std::fmt;

use postgres_protocol::escape::escape_identifier;

use crate::extension::{ExtensionName, SchemaName, Version};
use crate::ledger::Stage;
use crate::postgres_error::Statement;

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `CREATE SCHEMA`.
    CreateSchema(SchemaName),
    /// `CREATE EXTENSION`.
    Create {
        /// The extension.
        name: ExtensionName,
        /// The version, explicit in every plan; `None` if PostgreSQL chooses its default.
        version: Option<Version>,
        /// The schema; `None` if the control file fixes one.
        schema: Option<SchemaName>,
        /// Whether required extensions are created with it.
        cascade: bool,
    },
    /// `ALTER EXTENSION … UPDATE TO`.
    Update {
        /// The extension.
        name: ExtensionName,
        /// The installed version.
        from: Version,
        /// The version afterwards, always explicit.
        to: Version,
    },
    /// `DROP EXTENSION` and `CREATE EXTENSION`, for an extension without an update path, if nothing is lost.
    Recreate {
        /// The extension.
        name: ExtensionName,
        /// The installed version.
        from: Version,
        /// The version afterwards.
        to: Version,
        /// Its schema; `None` if the control file fixes it.
        schema: Option<SchemaName>,
        /// Whether extensions that the version requires are created with it.
        cascade: bool,
    },
    /// `CREATE EXTENSION … VERSION 'unpackaged'` and the update from there: existing objects become part of the extension.
    Package {
        /// The extension.
        name: ExtensionName,
        /// The version afterwards.
        to: Version,
        /// The schema that the objects are in.
        schema: SchemaName,
    },
    /// `ALTER EXTENSION … SET SCHEMA`.
    SetSchema {
        /// The extension.
        name: ExtensionName,
        /// The schema that it is in.
        from: SchemaName,
        /// The schema afterwards.
        to: SchemaName,
    },
    /// `DROP EXTENSION`.
    Drop {
        /// The extension, in the catalog's spelling.
        name: String,
        /// The installed version.
        version: Version,
        /// What happens to objects that depend on it.
        mode: DropMode,
    },
}

/// What happens to objects that depend on a dropped extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropMode {
    /// The extension stays, which is no error.
    IfUnused,
    /// The request fails.
    Restrict,
    /// They are dropped, too.
    Cascade,
}

impl Step {
    /// The name of the extension; for a schema step, of the schema.
    pub(crate) fn extension(&self) -> &str {
        match self {
            Self::CreateSchema(schema) => schema.as_str(),
            Self::Create { name, .. }
            | Self::Update { name, .. }
            | Self::Recreate { name, .. }
            | Self::Package { name, .. }
            | Self::SetSchema { name, .. } => name.as_str(),
            Self::Drop { name, .. } => name,
        }
    }

    /// The kind of the statement.
    pub(crate) fn statement(&self) -> Statement {
        match self {
            Self::CreateSchema(_) => Statement::CreateSchema,
            Self::Create { .. } | Self::Recreate { .. } | Self::Package { .. } => Statement::Create,
            Self::Update { .. } => Statement::Update,
            Self::SetSchema { .. } => Statement::SetSchema,
            Self::Drop { .. } => Statement::Drop,
        }
    }

    /// The statement.
    pub(crate) fn sql(&self) -> String {
        match self {
            Self::CreateSchema(schema) => format!("CREATE SCHEMA {}", schema.identifier()),
            Self::Create {
                name,
                version,
                schema,
                cascade,
            } => create(name, version.as_ref(), schema.as_ref(), *cascade),
            Self::Recreate {
                name,
                to,
                schema,
                cascade,
                ..
            } => format!(
                "DROP EXTENSION {}; {}",
                name.identifier(),
                create(name, Some(to), schema.as_ref(), *cascade)
            ),
            Self::Update { name, to, .. } => {
                format!(
                    "ALTER EXTENSION {} UPDATE TO {}",
                    name.identifier(),
                    to.literal().trim_start()
                )
            }
            Self::Package { name, to, schema } => format!(
                "CREATE EXTENSION {0} SCHEMA {1} VERSION 'unpackaged'; ALTER EXTENSION {0} UPDATE TO {2}",
                name.identifier(),
                schema.identifier(),
                to.literal().trim_start()
            ),
            Self::SetSchema { name, to, .. } => {
                format!(
                    "ALTER EXTENSION {} SET SCHEMA {}",
                    name.identifier(),
                    to.identifier()
                )
            }
            Self::Drop { name, mode, .. } => {
                let suffix = match mode {
                    DropMode::IfUnused | DropMode::Restrict => "",
                    DropMode::Cascade => " CASCADE",
                };
                format!("DROP EXTENSION {}{suffix}", escape_identifier(name))
            }
        }
    }
}

fn create(
    name: &ExtensionName,
    version: Option<&Version>,
    schema: Option<&SchemaName>,
    cascade: bool,
) -> String {
    let mut sql = format!("CREATE EXTENSION {}", name.identifier());
    if let Some(schema) = schema {
        sql.push_str(" SCHEMA ");
        sql.push_str(&schema.identifier());
    }
    if let Some(version) = version {
        sql.push_str(" VERSION ");
        sql.push_str(version.literal().trim_start());
    }
    if cascade {
        sql.push_str(" CASCADE");
    }
    sql
}

/// The step of a stage.
impl From<&Stage> for Step {
    fn from(stage: &Stage) -> Self {
        Self::Update {
            name: stage.name.clone(),
            from: stage.from.clone(),
            to: stage.to.clone(),
        }
    }
}

/// The change in the past tense, for the response.
impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateSchema(schema) => write!(formatter, "created schema {schema}"),
            Self::Create {
                name,
                version: Some(version),
                ..
            } => write!(formatter, "created {name} {version}"),
            Self::Create { name, .. } => write!(formatter, "created {name}"),
            Self::Update { name, from, to } => write!(formatter, "updated {name} {from} to {to}"),
            Self::Recreate { name, from, to, .. } => {
                write!(formatter, "recreated {name} {from} as {to}")
            }
            Self::Package { name, to, .. } => write!(formatter, "packaged {name} as {to}"),
            Self::SetSchema { name, from, to } => {
                write!(formatter, "moved {name} from schema {from} to {to}")
            }
            Self::Drop { name, version, .. } => write!(formatter, "dropped {name} {version}"),
        }
    }
}
