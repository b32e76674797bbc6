//! What an extension is: its name, its versions, what a stack declares of it and what a server has of it.
//!
//! Values only. Nothing here does I/O, and nothing reaches SQL but through the types of this module, which
//! escape what they hold.

mod declaration;
mod members;
mod name;
mod observed;
mod tle;
mod version;

pub(crate) use declaration::{Declaration, DeletionBehavior, Ensure, OnNoUpdatePath};
pub(crate) use members::Members;
pub(crate) use name::{ExtensionName, SchemaName};
pub use observed::Observed;
pub(crate) use observed::{
    AvailableExtension, AvailableVersion, Catalog, InstalledExtension, UpdatePath,
};
pub(crate) use tle::TleFunction;
pub(crate) use version::{Version, VersionRequest};
