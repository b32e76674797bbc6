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

pub use declaration::{Declaration, DeletionBehavior, Ensure, OnNoUpdatePath};
pub use members::{Member, Members};
pub use name::{ExtensionName, NameError, SchemaName};
pub use observed::{
    AvailableExtension, AvailableVersion, Catalog, InstalledExtension, Observed, UpdatePath,
};
pub use tle::TleFunction;
pub use version::{Version, VersionError, VersionPattern, VersionRequest};
