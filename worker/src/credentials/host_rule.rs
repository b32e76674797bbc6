//! `WORKER_HOSTS`: hosts that any secret may be sent to, and addresses to which no name may resolve. Pure.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use crate::target::{Address, Host};

/// The IPv6 network of the services that AWS offers to an instance, such as its credentials.
///
/// Source: "Access instance metadata for an EC2 instance" and "Amazon DNS server" in the EC2 and VPC User Guides.
const AWS_LOCAL_SERVICES: [u16; 2] = [0xfd00, 0x0ec2];

/// A host, or a pattern in which `*` stands for any number of characters, dots included; with a port where one is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    /// In lower case.
    host: String,
    /// None: any.
    port: Option<u16>,
}

/// The text is not a pattern of hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a host name, an IP address or a pattern with *, with a port where one is meant: *.example.com, \
     10.0.0.7:5432, [fd12::7]:5432"
)]
pub struct HostPatternError;

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let (host, port) = split(text.trim()).ok_or(HostPatternError)?;
        // It must be a host if each asterisk is replaced by a letter.
        Host::parse(&host.replace('*', "x")).map_err(|_| HostPatternError)?;
        let port = match port {
            None => None,
            Some(port) => match port.parse() {
                Ok(port @ 1..) => Some(port),
                _ => return Err(HostPatternError),
            },
        };
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

/// The host and the port; an IPv6 address with a port is in brackets.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => Some((host, Some(port))),
        Some(_) | None => Some((text, None)),
    }
}

impl HostPattern {
    fn matches(&self, address: &Address) -> bool {
        self.has_port(address.port) && glob(&self.host, address.host.as_str())
    }

    /// Whether the pattern is this host without `*`, or matches this IP address. A pattern of names matches no address,
    /// because the owner of a name decides what it resolves to.
    fn names(&self, address: &Address, ip: IpAddr) -> bool {
        let is_host = self.host == address.host.as_str();
        let is_address = self.host != "*" && glob(&self.host, &ip.to_string());
        self.has_port(address.port) && (is_host || is_address)
    }

    fn has_port(&self, port: u16) -> bool {
        self.port.is_none_or(|wanted| wanted == port)
    }
}

/// The patterns of `WORKER_HOSTS`.
#[derive(Debug, Clone, Default)]
pub struct HostPatterns(Vec<HostPattern>);

impl HostPatterns {
    /// Makes the rule of these patterns.
    pub fn new(patterns: Vec<HostPattern>) -> Self {
        Self(patterns)
    }

    /// Whether a pattern matches the host, as it is written, and the port.
    pub(crate) fn match_host(&self, address: &Address) -> bool {
        self.0.iter().any(|pattern| pattern.matches(address))
    }

    /// Whether an IP address to which the host resolves may be connected to: a loopback, link-local or unspecified one only
    /// if a pattern is the host without `*`, or matches the IP address.
    pub(crate) fn permit_ip(&self, address: &Address, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        !is_local(ip) || self.0.iter().any(|pattern| pattern.names(address, ip))
    }
}

/// Whether the address belongs only to this machine or its link.
fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            // 0.0.0.0/8 is this host, as 0.0.0.0 is.
            ip.is_loopback() || ip.is_link_local() || ip.octets().starts_with(&[0])
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip == Ipv6Addr::UNSPECIFIED
                || ip.is_unicast_link_local()
                || ip.segments().starts_with(&AWS_LOCAL_SERVICES)
        }
    }
}

/// Whether a text has the form of a pattern in which `*` stands for any number of characters.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(text: &str) -> HostPatterns {
        HostPatterns::new(text.split(',').map(|text| text.parse().unwrap()).collect())
    }

    fn address(host: &str, port: u16) -> Address {
        Address {
            host: Host::parse(host).unwrap(),
            port,
        }
    }

    #[test]
    fn a_pattern_matches_the_whole_host_and_the_port_that_it_names() {
        for (pattern, host, port, expected) in [
            ("db.example.com", "DB.example.com", 5432, true),
            ("db.example.com", "db.example.com.evil.example", 5432, false),
            ("db.example.com", "my-db.example.com", 5432, false),
            (
                "*.rds.amazonaws.com",
                "a.b.eu-west-1.rds.amazonaws.com",
                1,
                true,
            ),
            (
                "*.rds.amazonaws.com",
                "a.rds.amazonaws.com.evil.example",
                1,
                false,
            ),
            ("*.rds.amazonaws.com", "rds.amazonaws.com", 1, false),
            ("db-*.example.*:5433", "db-1.example.org", 5433, true),
            ("db-*.example.*:5433", "db-1.example.org", 5432, false),
            ("a*a", "a", 1, false),
            ("a*b*c", "axbybzc", 1, true),
            ("[fd12::7]:5432", "fd12::7", 5432, true),
            ("fd12::7", "fd12::7", 1, true),
            ("*", "anything", 1, true),
        ] {
            let matches = patterns(pattern).match_host(&address(host, port));
            assert_eq!(matches, expected, "{pattern} {host}:{port}");
        }
    }

    #[test]
    fn what_is_no_host_is_no_pattern() {
        for wrong in [
            "",
            ":5432",
            "a:0",
            "a:65536",
            "a:x",
            "a/b",
            "[::1",
            "[::1]5432",
            "user@a",
            "a b",
            "postgres://a",
        ] {
            assert!(wrong.parse::<HostPattern>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_local_address_has_to_be_named() {
        let local = [
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "169.254.170.2",
            "0.0.0.0",
            "0.1.2.3",
            "::1",
            "::",
            "fe80::1",
            "febf::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
        ];
        for ip in local {
            let ip: IpAddr = ip.parse().unwrap();
            let host = address("db.example.com", 5432);
            for general in ["*", "*.example.com", "db.example.com:5433", "10.*"] {
                assert!(!patterns(general).permit_ip(&host, ip), "{general} {ip}");
            }
            assert!(patterns("*,db.example.com").permit_ip(&host, ip), "{ip}");
            let itself = HostPattern {
                host: ip.to_canonical().to_string(),
                port: None,
            };
            assert!(HostPatterns::new(vec![itself]).permit_ip(&host, ip), "{ip}");
        }
        for ip in [
            "10.0.0.7",
            "192.168.0.1",
            "52.1.2.3",
            "fd12::7",
            "2a05:d018::1",
        ] {
            let ip = ip.parse().unwrap();
            assert!(
                HostPatterns::default().permit_ip(&address("a", 1), ip),
                "{ip}"
            );
        }
    }
}
