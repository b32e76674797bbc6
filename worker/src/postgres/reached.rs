//! Which servers this process has had a connection to, and as which roles. One that was never reached may never be: it gets a short attempt.

use std::collections::HashSet;
use std::hash::Hash;

use parking_lot::Mutex;

use crate::target::{Address, Target};

/// How many are remembered: with more, all are forgotten, and the next connection to each is remembered.
const LIMIT: usize = 10_000;

/// Servers that were reached, and roles that logged in.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    servers: Mutex<HashSet<Address>>,
    roles: Mutex<HashSet<(Address, String)>>,
}

impl Reached {
    /// Whether there was a connection.
    pub(crate) fn has(&self, address: &Address) -> bool {
        self.servers.lock().contains(address)
    }

    /// Whether the role logged in, to whichever database.
    pub(crate) fn has_role(&self, target: &Target) -> bool {
        let role = (target.address.clone(), target.username.clone());
        self.roles.lock().contains(&role)
    }

    /// There is a connection; or the server answered otherwise.
    pub(crate) fn note(&self, address: &Address) {
        remember(&mut self.servers.lock(), address);
    }

    /// A role logged in.
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
