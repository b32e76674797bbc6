//! Where databases are. Values only.

use std::fmt;

/// PostgreSQL's port.
pub const DEFAULT_PORT: u16 = 5432;

/// The longest name that DNS knows, in bytes.
const MAX_HOST_BYTES: usize = 253;

/// A host name or IP address in lower case, valid by construction: it becomes a part of the physical resource id, and to the
/// PostgreSQL driver a path would be a Unix socket and a comma a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(String);

/// Why a text is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a host name or an IP address")]
pub struct InvalidHost;

impl Host {
    /// Takes a host name or an IP address.
    ///
    /// # Errors
    /// [`InvalidHost`].
    pub fn parse(text: &str) -> Result<Self, InvalidHost> {
        let is_host = !text.is_empty()
            && text.len() <= MAX_HOST_BYTES
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c));
        if is_host {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(InvalidHost)
        }
    }

    /// The host as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The host.
    pub host: Host,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

/// One database of one server, as one role.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The server.
    pub address: Address,
    /// The database.
    pub database: String,
    /// The role.
    pub username: String,
}

/// The server and the database, as a Reason names them.
impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address.host, self.database)
    }
}
