//! The servers to which this process has had a connection, and the roles. An attempt at a server that was never reached is
//! short, because it may never be reached.

use std::collections::HashSet;
use std::hash::Hash;

use parking_lot::Mutex;

use crate::target::{Address, Target};

/// Number of entries: above it all are forgotten, and recorded again with the next connection.
const LIMIT: usize = 10_000;

/// Servers that were reached, and roles that logged in.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    servers: Mutex<HashSet<Address>>,
    roles: Mutex<HashSet<(Address, String)>>,
}

impl Reached {
    /// Whether there was a connection to the server.
    pub(crate) fn has(&self, address: &Address) -> bool {
        self.servers.lock().contains(address)
    }

    /// Whether the role logged in to any database of the server.
    pub(crate) fn has_role(&self, target: &Target) -> bool {
        let role = (target.address.clone(), target.username.clone());
        self.roles.lock().contains(&role)
    }

    /// Records that there is a connection, or that the server answered otherwise.
    pub(crate) fn note(&self, address: &Address) {
        remember(&mut self.servers.lock(), address);
    }

    /// Records that a role logged in.
    pub(crate) fn note_role(&self, target: &Target) {
        self.note(&target.address);
        let role = (target.address.clone(), target.username.clone());
        remember(&mut self.roles.lock(), &role);
    }
}

fn remember<T: Clone + Eq + Hash>(known: &mut HashSet<T>, one: &T) {
    if known.contains(one) {
        return;
    }
    if known.len() >= LIMIT {
        known.clear();
    }
    known.insert(one.clone());
}
