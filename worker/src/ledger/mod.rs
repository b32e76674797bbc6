//! The ledger: which resource owns which extension of a database, and what each request came to. It lives in the database
//! itself, in the schema `extension_worker`, so that it changes in the transaction that changes the extensions, and
//! travels with dumps and snapshots.
//!
//! Text of SQL alone: nothing here speaks to a server. `trust` says when what is there may be used.

mod encoding;
mod migrations;
mod model;
mod progress;
mod sql;
mod trust;

pub use model::{
    Ledger, LiveResource, Managed, Origin, Owner, RequestRecord, ResourceKey, ResourceRecord,
    ResourceRequest, ResourceState, Role, WholeLedger,
};

pub use progress::{Progress, ProgressEntry, Stage};
pub use sql::{Entry, ResyncEntry};

pub use migrations::newest_version;

pub(crate) use encoding::{keep, kept, read};
pub(crate) use migrations::{FOREIGN_GRANTS, PUBLISHED, check_publications, migration};
pub(crate) use sql::{READ, READ_WHOLE, RECORD_RESPONSE};
pub(crate) use trust::{ABSENT, CHANGED, LOCK, LOCK_OLDER, UNCHANGED, UNTRUSTED, check};
