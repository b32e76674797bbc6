//! What a stack declares of an extension.

use serde::{Deserialize, Serialize};

use super::{ExtensionName, SchemaName, VersionRequest};

/// Whether an extension shall be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Ensure {
    /// It shall be installed.
    #[default]
    Present,
    /// It shall not be installed.
    Absent,
}

/// One extension as a stack declares it; where each field comes from is said at
/// [`crate::request::property_types::ExtensionObject`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// The name, in the letter case of the stack.
    pub(crate) name: ExtensionName,
    /// Which version.
    pub(crate) version: VersionRequest,
    /// Where its objects go; unset: where they are, or where the control file says, or `public`.
    pub(crate) schema: Option<SchemaName>,
    /// Whether a schema that does not exist is created.
    pub(crate) create_schema: bool,
    /// Whether extensions that this one requires are installed with it.
    pub(crate) cascade: bool,
    /// Whether a version that lies before the installed one may be gone to.
    pub(crate) allow_downgrade: bool,
    /// What becomes of it where no update leads to the version.
    pub(crate) on_no_update_path: OnNoUpdatePath,
    /// Whether it shall be there.
    pub(crate) ensure: Ensure,
    /// Which version an updated resource declared before: from there the way back is asked for, as a rollback does.
    pub(crate) before: VersionRequest,
}

impl Declaration {
    /// The declaration that a bare name makes.
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

/// What becomes of an installed extension of which no update leads to the declared version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub(crate) enum OnNoUpdatePath {
    /// It stays, and the request fails.
    #[default]
    Fail,
    /// It is dropped and created anew, unless something would be lost.
    Recreate,
}

/// What becomes of an extension that a resource no longer declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub enum DeletionBehavior {
    /// It is dropped where this worker created it, no other resource declares it and nothing depends on it.
    #[default]
    DropUnused,
    /// It stays.
    Retain,
    /// As `DropUnused`, but objects that depend on it make the request fail.
    Drop,
    /// As `DropUnused`, and objects that depend on it are dropped with it.
    DropCascade,
}
