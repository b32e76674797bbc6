//! The declaration of an extension in a stack.

use serde::{Deserialize, Serialize};

use super::{ExtensionName, SchemaName, VersionRequest};

/// Whether an extension must be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Ensure {
    /// It must be installed.
    #[default]
    Present,
    /// It must not be installed.
    Absent,
}

/// The declaration of one extension; [`crate::request::property_types::ExtensionObject`] has the properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// The name, in the stack's letter case.
    pub(crate) name: ExtensionName,
    /// The version.
    pub(crate) version: VersionRequest,
    /// The schema of its objects; unset: where they are, or that of the control file, or `public`.
    pub(crate) schema: Option<SchemaName>,
    /// Whether a schema that does not exist is created.
    pub(crate) create_schema: bool,
    /// Whether extensions that it requires are created with it.
    pub(crate) cascade: bool,
    /// Whether a version below the installed one is allowed.
    pub(crate) allow_downgrade: bool,
    /// What happens if no update path leads to the version.
    pub(crate) on_no_update_path: OnNoUpdatePath,
    /// Whether it must be installed.
    pub(crate) ensure: Ensure,
    /// The version that an updated resource declared before: from the present version to that one, a downgrade is allowed,
    /// as a rollback needs it.
    pub(crate) before: VersionRequest,
}

impl Declaration {
    /// The declaration of a name without properties.
    pub(crate) fn named(name: ExtensionName) -> Self {
        Self {
            name,
            version: VersionRequest::Unset,
            schema: None,
            create_schema: false,
            cascade: true,
            allow_downgrade: false,
            on_no_update_path: OnNoUpdatePath::Fail,
            ensure: Ensure::Present,
            before: VersionRequest::Unset,
        }
    }
}

/// What happens to an installed extension without an update path to the declared version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub(crate) enum OnNoUpdatePath {
    /// It stays, and the request fails.
    #[default]
    Fail,
    /// It is dropped and created again, unless something would be lost.
    Recreate,
}

/// What happens to an extension that a resource no longer declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub enum DeletionBehavior {
    /// It is dropped if this worker created it, no other resource declares it and nothing depends on it.
    #[default]
    DropUnused,
    /// It stays.
    Retain,
    /// As `DropUnused`, but objects that depend on it make the request fail.
    Drop,
    /// As `DropUnused`, and objects that depend on it are dropped with it.
    DropCascade,
}
