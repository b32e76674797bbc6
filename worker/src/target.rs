//! Servers and databases. Values only.

use std::fmt;
use std::net::Ipv6Addr;

/// PostgreSQL's default port.
pub(crate) const DEFAULT_PORT: u16 = 5432;

/// The longest name in DNS, in bytes.
const MAX_HOST_BYTES: usize = 253;

/// A host name or IP address in lower case, valid by construction: it becomes part of the physical resource id, and the
/// PostgreSQL driver would take a path for a Unix socket and a comma for a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(String);

/// Why a text is not a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostNameError {
    /// It has another form.
    #[error("must be a host name or an IP address")]
    Form,
    /// It contains a port.
    #[error(
        "must be a host name or an IP address alone: give the port as DBPort, as Port of a target, or as \"port\" in \
         the secret"
    )]
    Port,
}

impl Host {
    /// Parses a host name or an IP address, without white space around it, and without the final dot that DNS allows: the
    /// name in a certificate has none, and both are the same server.
    ///
    /// # Errors
    /// [`HostNameError`].
    pub fn parse(text: &str) -> Result<Self, HostNameError> {
        let text = text.trim();
        let text = text.strip_suffix('.').unwrap_or(text);
        // The form of an IPv6 address in a URL.
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

/// The address of a server.
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

/// One database of a server, with a role.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The server.
    pub address: Address,
    /// The database.
    pub database: String,
    /// The role.
    pub username: String,
}

/// The server and the database, as a Reason shows them.
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
