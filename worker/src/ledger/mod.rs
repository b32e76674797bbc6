//! The ledger: which resource owns which extension of a database, and the result of each request. It is in the schema
//! `extension_worker` of the database itself, so that it changes in the same transaction as the extensions, and is part of
//! dumps and snapshots.
//!
//! This module contains only the text of SQL, and does not connect to a server. `trust` decides whether a ledger may be
//! used.

mod encoding;
mod migrations;
mod model;
mod progress;
mod read;
mod trust;
mod write;

pub use model::{Ledger, Managed, ResourceKey};
pub(crate) use model::{
    LiveResource, Origin, Owner, ResourceRecord, ResourceRequest, ResourceState, Role, WholeLedger,
};

pub(crate) use progress::{Progress, ProgressEntry, Stage};
pub use read::read_ledger;
pub(crate) use read::{READ, READ_WHOLE};
pub(crate) use write::{Entry, RECORD_RESPONSE, ResyncEntry, Write};

pub(crate) use migrations::{
    ADDITIONS, FOREIGN_GRANTS, HAS_FOREIGN_GRANTS, PUBLISHED, RIGHTS_OF_PUBLIC, check_publications,
    migration, newest_version,
};

pub(crate) use encoding::{keep, kept, read};
pub(crate) use trust::{
    ABSENT, AS_MADE, CHANGED, LOCK, LOCK_OLDER, STILL_AS_MADE, UNCHANGED, UNTRUSTED, check,
};
