//! Resolves a host to the addresses that are allowed.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use crate::credentials::HostPatterns;
use crate::target::Address;

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResolveError {
    #[error("the host name could not be looked up")]
    Lookup(#[source] io::Error),
    #[error("the host resolves only to local addresses")]
    Local,
}

/// Resolves one host.
pub(super) struct Resolver {
    address: Address,
    /// `None`: every address is allowed.
    hosts: Option<Arc<HostPatterns>>,
}

impl Resolver {
    pub(super) fn new(address: Address, hosts: Option<Arc<HostPatterns>>) -> Self {
        Self { address, hosts }
    }

    /// The host.
    pub(super) fn host(&self) -> &str {
        self.address.host.as_str()
    }

    /// The allowed addresses, in the system's order; at least one.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub(super) async fn resolve(&self) -> Result<Vec<IpAddr>, ResolveError> {
        let found = tokio::net::lookup_host((self.host(), self.address.port)).await;
        let found = found.map_err(ResolveError::Lookup)?;
        let is_allowed = |ip: &IpAddr| {
            let hosts = self.hosts.as_ref();
            hosts.is_none_or(|hosts| hosts.permit_ip(&self.address, *ip))
        };
        let allowed: Vec<IpAddr> = found.map(|at| at.ip()).filter(is_allowed).collect();
        if allowed.is_empty() {
            return Err(ResolveError::Local);
        }
        Ok(allowed)
    }
}
