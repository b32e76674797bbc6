//! A limit on the requests for each server, so that a server that does not answer cannot hold all permits for messages.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::target::Address;

/// How long a failure of a server is remembered while no permit for it is held.
const FAILURE_MEMORY: Duration = Duration::from_secs(600);

/// Interval at which a waiting request checks whether the server began to fail.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The permits of all servers.
#[derive(Debug)]
pub struct ServerLimits {
    each: usize,
    servers: Mutex<HashMap<Address, Arc<Server>>>,
}

#[derive(Debug)]
struct Server {
    permits: Arc<Semaphore>,
    /// The time of the last failure; `None` after a success.
    failed_at: Mutex<Option<Instant>>,
}

/// A permit; released when it is dropped.
#[derive(Debug)]
pub(crate) struct ServerPermit {
    server: Arc<Server>,
    _permit: OwnedSemaphorePermit,
}

impl ServerLimits {
    /// Makes limits with this number of permits for each server.
    pub fn new(each: usize) -> Self {
        Self {
            each: each.max(1),
            servers: Mutex::default(),
        }
    }

    /// Acquires a permit for a server, and waits for one if necessary. Returns `None` if the server fails, unless
    /// `wait_while_failing`.
    pub(crate) async fn acquire(
        &self,
        address: &Address,
        wait_while_failing: bool,
    ) -> Option<ServerPermit> {
        let server = self.server(address);
        // A single wait, so that requests are served in the order of their arrival.
        let mut permit = pin!(Arc::clone(&server.permits).acquire_owned());
        loop {
            let is_full = server.permits.available_permits() == 0;
            if is_full && server.is_failing() && !wait_while_failing {
                return None;
            }
            if let Ok(permit) = tokio::time::timeout(POLL_INTERVAL, &mut permit).await {
                return Some(ServerPermit {
                    _permit: permit.ok()?,
                    server: Arc::clone(&server),
                });
            }
        }
    }

    fn server(&self, address: &Address) -> Arc<Server> {
        let mut servers = self.servers.lock();
        if let Some(server) = servers.get(address) {
            return Arc::clone(server);
        }
        servers.retain(|_, server| Arc::strong_count(server) > 1 || server.is_failing());
        let server = Arc::new(Server {
            permits: Arc::new(Semaphore::new(self.each)),
            failed_at: Mutex::new(None),
        });
        servers.insert(address.clone(), Arc::clone(&server));
        server
    }
}

impl Server {
    fn is_failing(&self) -> bool {
        let failed_at = self.failed_at.lock();
        failed_at.is_some_and(|at| at.elapsed() < FAILURE_MEMORY)
    }
}

impl ServerPermit {
    /// Records whether the server answered.
    pub(crate) fn record_answer(&self, answered: bool) {
        let mut failed_at = self.server.failed_at.lock();
        *failed_at = if answered { None } else { Some(Instant::now()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Host;

    fn address(host: &str) -> Address {
        Address {
            host: Host::parse(host).unwrap(),
            port: 5432,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_request_waits_for_a_server_that_fails() {
        let limits = ServerLimits::new(2);
        let dead = address("dead");
        let first = limits.acquire(&dead, false).await.unwrap();
        let second = limits.acquire(&dead, false).await.unwrap();
        // The server may only be slow.
        let waiting = limits.acquire(&dead, false);
        let failing = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            first.record_answer(false);
        };
        let (waited, ()) = tokio::join!(waiting, failing);
        assert!(waited.is_none());
        assert!(limits.acquire(&address("other"), false).await.is_some());
        // A request without a later attempt waits nevertheless.
        let (waited, ()) = tokio::join!(limits.acquire(&dead, true), async { drop(second) });
        let waited = waited.unwrap();
        waited.record_answer(true);
        let (again, ()) = tokio::join!(limits.acquire(&dead, false), async { drop(waited) });
        assert!(again.is_some());
    }
}
