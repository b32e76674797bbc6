//! Which servers this process has had a connection to. One that was never reached may never be: it gets a short attempt.

use std::collections::HashSet;

use parking_lot::{Mutex, MutexGuard};

use crate::target::Address;

/// How many are remembered: with more, all are forgotten, and each is reached anew by the next connection.
const LIMIT: usize = 10_000;

/// Servers that were reached.
#[derive(Debug, Default)]
pub struct Reached(Mutex<HashSet<Address>>);

impl Reached {
    /// Whether there was a connection.
    pub fn has(&self, address: &Address) -> bool {
        self.servers().contains(address)
    }

    /// There is a connection; or the server answered otherwise.
    pub fn note(&self, address: &Address) {
        let mut servers = self.servers();
        if servers.contains(address) {
            return;
        }
        if servers.len() >= LIMIT {
            servers.clear();
        }
        servers.insert(address.clone());
    }

    fn servers(&self) -> MutexGuard<'_, HashSet<Address>> {
        self.0.lock()
    }
}
