//! Facts of a server and a database, in the form of the results of the queries in [`crate::postgres`]. Values only.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::extension::Declaration;
use crate::resync_protocol::major;

/// A name in a catalog that all databases share: it is in the encoding of the database in which it was given, and read byte
/// by byte. If it is not UTF-8, bytes beyond ASCII are written as `\xe9`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) struct SharedName(pub(crate) String);

impl From<String> for SharedName {
    /// Parses hexadecimal digits.
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

/// Facts of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct ServerFacts {
    /// `server_version`, without the packager's addition: `15.18`.
    pub(crate) version: String,
    /// Whether it is a server of RDS, which has the role `rds_superuser`.
    pub(crate) is_rds: bool,
    /// Whether it is a replica.
    pub(crate) in_recovery: bool,
    /// `shared_preload_libraries`, if the role may read it.
    pub(crate) preloaded: Option<String>,
    /// Prepared transactions.
    pub(crate) prepared: Vec<PreparedTransaction>,
    /// Logical replication slots.
    pub(crate) slots: Vec<Slot>,
    /// Databases that accept no connections or are invalid; also `template0`, if it accepts them.
    pub(crate) closed: Vec<ClosedDatabase>,
    /// Subscriptions in any database.
    pub(crate) subscriptions: Vec<SharedName>,
    /// Databases that the role may not connect to.
    pub(crate) unreachable: Vec<SharedName>,
}

impl ServerFacts {
    /// The major version of the server; `None` if its version cannot be parsed.
    pub(crate) fn major(&self) -> Option<u16> {
        major(&self.version)
    }
}

/// A prepared transaction that is neither committed nor rolled back.
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
    /// `lost`: the slot cannot be used any more.
    pub(crate) wal_status: Option<String>,
}

/// A database that pg_upgrade refuses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ClosedDatabase {
    /// Its name.
    pub(crate) name: SharedName,
    /// Whether a DROP DATABASE was interrupted.
    pub(crate) is_invalid: bool,
}

/// A short query of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct DatabaseLook {
    /// Whether the database may have anything of [`DatabaseFacts`] but extensions.
    pub(crate) may_have_more: bool,
    /// Its installed extensions, without their libraries.
    pub(crate) extensions: Vec<ExtensionFacts>,
}

/// Facts of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct DatabaseFacts {
    /// Its installed extensions.
    pub(crate) extensions: Vec<ExtensionFacts>,
    /// Columns whose type is, or contains, one that pg_upgrade refuses.
    pub(crate) columns: Vec<RefusedColumn>,
    /// Tables WITH OIDS.
    pub(crate) tables_with_oids: Vec<String>,
    /// Postfix operators, with their argument in the form of DROP OPERATOR.
    pub(crate) postfix_operators: Vec<String>,
    /// Aggregates and operators that use polymorphic functions of arrays, in the form of DROP.
    pub(crate) polymorphics: Vec<String>,
    /// Conversions between encodings.
    pub(crate) conversions: Vec<String>,
    /// Columns that admit NULL although those of the parent table do not: table and column.
    pub(crate) nullable_columns: Vec<(String, String)>,
    /// Functions in libraries that belong to no extension.
    pub(crate) functions: Vec<Function>,
    /// Tables of subscriptions that are not ready.
    pub(crate) subscribed_tables: Vec<SubscribedTable>,
    /// The declarations of the ledger's resources, if they were read: see [`super::wants_declarations`].
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
    /// The libraries of its functions, as in `CREATE FUNCTION … AS`.
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

/// A function in a library.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Function {
    /// Its name, with arguments.
    pub(crate) name: String,
    /// The library, as in `CREATE FUNCTION … AS`.
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

/// The versions to which the old server can update an extension.
pub(crate) type OldUpdates = BTreeMap<String, Vec<String>>;
