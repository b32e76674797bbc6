//! Where databases are. Values only.

use std::fmt;
use std::net::Ipv6Addr;

/// PostgreSQL's port.
pub(crate) const DEFAULT_PORT: u16 = 5432;

/// The longest name that DNS knows, in bytes.
const MAX_HOST_BYTES: usize = 253;

/// A host name or IP address in lower case, valid by construction: it becomes a part of the physical resource id, and to the
/// PostgreSQL driver a path would be a Unix socket and a comma a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(String);

/// Why a text is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostNameError {
    /// It is none.
    #[error("must be a host name or an IP address")]
    Form,
    /// A port stands behind it.
    #[error(
        "must be a host name or an IP address alone: give the port as DBPort, as Port of a target, or as \"port\" in \
         the secret"
    )]
    Port,
}

impl Host {
    /// Takes a host name or an IP address, without white space around it, nor the dot behind a name that DNS writes: a
    /// certificate's name has none, and both are one server.
    ///
    /// # Errors
    /// [`HostNameError`].
    pub fn parse(text: &str) -> Result<Self, HostNameError> {
        let text = text.trim();
        let text = text.strip_suffix('.').unwrap_or(text);
        // As a URL writes an address of IPv6.
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let is_ipv6 = |text: &str| text.parse::<Ipv6Addr>().is_ok();
        if let Some(address) = bare.or(Some(text)).filter(|text| is_ipv6(text)) {
            return Ok(Self(address.to_ascii_lowercase()));
        }
        let is_host = |text: &str| {
            (1..=MAX_HOST_BYTES).contains(&text.len())
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        if is_host(text) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        match text.rsplit_once(':') {
            Some((host, port))
                if port.bytes().all(|byte| byte.is_ascii_digit())
                    && (is_host(host) || host.starts_with('[') && host.ends_with(']')) =>
            {
                Err(HostNameError::Port)
            }
            _ => Err(HostNameError::Form),
        }
    }

    /// The host as text.
    pub(crate) fn as_str(&self) -> &str {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_without_a_port() {
        for (text, host) in [
            ("DB.example", "db.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            (" db.example\n", "db.example"),
            ("db.example.", "db.example"),
        ] {
            assert_eq!(Host::parse(text).unwrap().as_str(), host);
        }
        for text in ["db.example:5432", "127.0.0.1:1", "[::1]:5432", "h:"] {
            assert_eq!(Host::parse(text), Err(HostNameError::Port), "{text}");
        }
        for text in ["", ".", "a,b", "/tmp", "a b", "[h]", "1:2:3", "u:p@h"] {
            assert_eq!(Host::parse(text), Err(HostNameError::Form), "{text}");
        }
    }
}
