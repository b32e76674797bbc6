//! What is read of a server and a database. Values only, as the queries of [`crate::postgres`] answer.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::extension::Declaration;
use crate::resync_protocol::major;

/// A name in a catalog that all databases share: it is in the encoding of the database that it was given in, and read byte by
/// byte. What is not UTF-8 has its bytes beyond ASCII as `\xe9`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) struct SharedName(pub(crate) String);

impl From<String> for SharedName {
    /// From hexadecimal digits.
    fn from(digits: String) -> Self {
        let bytes: Vec<u8> = digits
            .as_bytes()
            .chunks(2)
            .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        Self(match String::from_utf8(bytes) {
            Ok(name) => name,
            Err(other) => other.as_bytes().escape_ascii().to_string(),
        })
    }
}

/// Of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct ServerFacts {
    /// `server_version`, without the packager's addition: `15.18`.
    pub(crate) version: String,
    /// Whether it is one of RDS: it has the role `rds_superuser`.
    pub(crate) is_rds: bool,
    /// Whether it is a replica.
    pub(crate) in_recovery: bool,
    /// `shared_preload_libraries`, where the role may read it.
    pub(crate) preloaded: Option<String>,
    /// Prepared transactions.
    pub(crate) prepared: Vec<PreparedTransaction>,
    /// Logical replication slots.
    pub(crate) slots: Vec<Slot>,
    /// Databases that accept no connections or are invalid; `template0`, where it does accept them.
    pub(crate) closed: Vec<ClosedDatabase>,
    /// Subscriptions, in any database.
    pub(crate) subscriptions: Vec<SharedName>,
    /// Databases that the role may not connect to.
    pub(crate) unreachable: Vec<SharedName>,
}

impl ServerFacts {
    /// The major version of the server; none where its text has none.
    pub(crate) fn major(&self) -> Option<u16> {
        major(&self.version)
    }
}

/// A transaction that was prepared, and neither committed nor rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct PreparedTransaction {
    /// Its identifier.
    pub(crate) gid: String,
    /// Its database.
    pub(crate) database: SharedName,
}

/// A logical replication slot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Slot {
    /// Its name.
    pub(crate) name: String,
    /// Its database.
    pub(crate) database: Option<SharedName>,
    /// `lost`: it cannot be used any more.
    pub(crate) wal_status: Option<String>,
}

/// A database that pg_upgrade does not take as it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ClosedDatabase {
    /// Its name.
    pub(crate) name: SharedName,
    /// Whether a DROP DATABASE was interrupted.
    pub(crate) is_invalid: bool,
}

/// Of a database: what is seen at first sight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct DatabaseLook {
    /// Whether there may be anything of [`DatabaseFacts`] but extensions.
    pub(crate) may_have_more: bool,
    /// Its installed extensions; whether they have a library was not looked at.
    pub(crate) extensions: Vec<ExtensionFacts>,
}

/// Of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct DatabaseFacts {
    /// Its installed extensions.
    pub(crate) extensions: Vec<ExtensionFacts>,
    /// Columns whose type is, or contains, one that pg_upgrade refuses.
    pub(crate) columns: Vec<RefusedColumn>,
    /// Tables WITH OIDS.
    pub(crate) tables_with_oids: Vec<String>,
    /// Postfix operators, with their argument as DROP OPERATOR has it.
    pub(crate) postfix_operators: Vec<String>,
    /// Aggregates and operators upon polymorphic functions of arrays, as DROP has them.
    pub(crate) polymorphics: Vec<String>,
    /// Conversions between encodings.
    pub(crate) conversions: Vec<String>,
    /// Columns that admit NULL where those of the parent table do not: table and column.
    pub(crate) nullable_columns: Vec<(String, String)>,
    /// Functions of libraries that belong to no extension.
    pub(crate) functions: Vec<Function>,
    /// Tables of subscriptions that are not ready.
    pub(crate) subscribed_tables: Vec<SubscribedTable>,
    /// What the ledger's resources declare, where it was read: see [`super::wants_declarations`].
    #[serde(skip)]
    pub(crate) declared: Vec<Declaration>,
}

/// An installed extension.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ExtensionFacts {
    /// Its name.
    pub(crate) name: String,
    /// Its installed version.
    pub(crate) version: String,
    /// The libraries that its functions are in, as `CREATE FUNCTION … AS` has them.
    #[serde(default)]
    pub(crate) libraries: Vec<String>,
}

/// A column whose type is refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct RefusedColumn {
    /// Table, materialized view or index.
    pub(crate) relation: String,
    /// `r`, `m` or `i`, as in `pg_class.relkind`.
    pub(crate) kind: char,
    /// The column.
    pub(crate) column: String,
    /// Its type.
    pub r#type: String,
    /// The refused type that this is or contains.
    pub(crate) refused: String,
}

/// A function that a library holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Function {
    /// With its arguments.
    pub(crate) name: String,
    /// As `CREATE FUNCTION … AS` has it.
    pub(crate) library: String,
}

/// A table of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct SubscribedTable {
    /// The subscription.
    pub(crate) subscription: String,
    /// The table.
    pub(crate) table: String,
}

/// For an extension, the versions that the old server could update it to.
pub(crate) type OldUpdates = BTreeMap<String, Vec<String>>;
