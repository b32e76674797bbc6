//! The ledger: which resource owns which extension of a database, and what each request came to. It lives in the database
//! itself, in the schema `extension_worker`, so that it changes in the transaction that changes the extensions, and
//! travels with dumps and snapshots.
//!
//! Text of SQL alone: nothing here speaks to a server. `trust` says when what is there may be used.

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
