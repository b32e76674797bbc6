//! An extension: its name, its versions, its declaration in a stack, and its state on a server.
//!
//! Values only. Nothing here does I/O, and text reaches SQL only through the types of this module, which escape it.

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
