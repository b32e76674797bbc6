//! What the tests share: the services, workers, proxies and waits.

mod aws;
mod browser;
mod certificates;
mod commit_gate;
mod hostile_server;
mod http_proxy;
mod in_process;
mod ldap_server;
mod listener;
mod platform;
mod pooler;
mod postgres;
mod private_server;
mod proxy;
mod rds;
mod response_bucket;
mod results_subscriber;
mod results_topic;
mod round_trip_counter;
mod stack;
mod worker;
mod world;

use std::time::{Duration, Instant};

pub(crate) use browser::Browser;
pub(crate) use certificates::Certificates;
pub(crate) use commit_gate::CommitGate;
pub(crate) use hostile_server::HostileServer;
pub(crate) use http_proxy::{Action, HttpProxy};
pub(crate) use in_process::{
    CloudFormationRequest, delivery, handler, handler_settings, handler_with, pools, secret,
};
pub(crate) use ldap_server::LdapServer;
pub(crate) use platform::{DATABASE, Network, Platform, WORKER};
pub(crate) use pooler::{Pooler, Pooling};
pub(crate) use postgres::{Database, Fixture, LOCK, connect, connect_as};
pub(crate) use private_server::{Mode, PrivateServer};
pub(crate) use proxy::{Proxy, Traffic};
pub(crate) use rds::Rds;
pub(crate) use response_bucket::{Put, ResponseBucket};
pub(crate) use results_subscriber::{ResultsSubscriber, ResyncEvents};
pub(crate) use results_topic::ResultsTopic;
pub(crate) use round_trip_counter::RoundTripCounter;
pub(crate) use stack::{Outcome, Stack, TemplateStack};
pub(crate) use worker::{Worker, start_plan, worker_binary};
pub(crate) use world::{Request, World};

/// How long anything may take. Nothing waits for it when all goes well.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// Calls `ask` until it returns a value, for [`TIMEOUT`] at most.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "{what} did not happen within {TIMEOUT:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Prints a log beside a test's failure.
fn print_log_of_failed_test(what: &str, log: impl FnOnce() -> String) {
    if std::thread::panicking() {
        #[allow(clippy::print_stderr, reason = "a failed test shows its logs")]
        {
            eprintln!("-- {what}:\n{}", log());
        }
    }
}

/// A variable that `make test` sets.
pub(crate) fn variable(name: &str) -> String {
    #[allow(
        clippy::disallowed_methods,
        reason = "make sets where the services are"
    )]
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test`"))
}
