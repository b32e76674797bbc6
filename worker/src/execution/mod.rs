//! One attempt at one request: the login, the databases, and a reconciliation of each. The changes of an attempt that
//! failed are in the ledgers of the databases, where the next attempt finds them.

mod attempt;
pub(crate) mod background;
mod databases;
pub(crate) mod delivery;
mod delivery_state;
pub(crate) mod error;
pub(crate) mod fair_share;
mod request_database;
pub(crate) mod response_cache;
pub(crate) mod retry_loop;
pub mod server_limit;

use std::time::Instant;

pub(crate) use self::delivery_state::DeliveryState;

use self::background::BackgroundLimit;
use self::error::AttemptError;
use self::server_limit::ServerLimits;
use crate::credentials::login::{Login, Logins};
use crate::ledger::ResourceRequest;
use crate::plan::{DatabaseOutcome, Policy};
use crate::postgres::Pools;
use crate::postgres_error::Class;
use crate::reconcile::BlueGreenDeployments;
use crate::reconcile::transaction::ReconcileError;
use crate::request::{Properties, RequestHeader};
use crate::response::Response;
use crate::target::{Address, Target};

/// Executes requests.
#[derive(Debug)]
pub struct Executor {
    pub(crate) logins: Logins,
    pub(crate) pools: Pools,
    pub(crate) server_limits: ServerLimits,
    pub(crate) policy: Policy,
    pub(crate) blue_green: Option<BlueGreenDeployments>,
    pub(crate) background: BackgroundLimit,
}

/// The input of an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExecutionRequest<'a> {
    /// The request.
    pub(crate) request: &'a ResourceRequest<'a>,
    /// The physical id of the resource; a new one has none.
    pub(crate) physical_resource_id: Option<&'a str>,
    /// The properties of the resource; of a deleted one, those that it had.
    pub(crate) properties: &'a Properties,
    /// The properties before an Update.
    pub(crate) old: Option<&'a Properties>,
    /// Whether the resource is deleted.
    pub(crate) deleted: bool,
    /// The deadline.
    pub(crate) until: Instant,
    /// Parameters of the response; `None` on the command line, where there is no response.
    pub(crate) header: Option<&'a RequestHeader>,
    /// The state that this attempt shares with others.
    pub(crate) state: &'a DeliveryState,
}

/// The result of an attempt.
#[derive(Debug)]
pub(crate) enum AttemptOutcome {
    /// The server, and the outcome of each database, in the order of the databases.
    Done(Address, Vec<(String, DatabaseOutcome)>),
    /// The request has this response, from this attempt or an earlier one.
    Answered(Response),
}

impl Executor {
    /// Makes a worker without connections.
    pub fn new(logins: Logins, pools: Pools, server_limits: ServerLimits) -> Self {
        Self {
            logins,
            pools,
            server_limits,
            policy: Policy::unrestricted(),
            blue_green: None,
            background: BackgroundLimit::default(),
        }
    }

    /// Sets the operator's limits for requests.
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Sets the Blue/Green deployments that are checked before a change.
    pub fn with_blue_green(self, deployments: BlueGreenDeployments) -> Self {
        Self {
            blue_green: Some(deployments),
            ..self
        }
    }

    /// Whether this process has had a connection to the server.
    pub(crate) fn has_reached(&self, address: &Address) -> bool {
        self.pools.reached().has(address)
    }

    /// Why a transaction failed.
    pub(crate) fn reconcile_error(
        &self,
        error: ReconcileError,
        target: &Target,
        login: &Login,
    ) -> AttemptError {
        self.note_failure(&error, target, login);
        AttemptError::Reconcile {
            target: target.clone(),
            error: Box::new(error),
        }
    }

    /// Discards cached values that may have led to a failure, so that the next attempt reads them again: credentials and
    /// connections.
    fn note_failure(&self, error: &ReconcileError, target: &Target, login: &Login) {
        let class = error.class();
        if matches!(error.cause(), ReconcileError::Database { error, .. } if error.sql().is_some())
        {
            // The server answered, even if only to refuse.
            self.pools.reached().note(&target.address);
        }
        if class == Class::Credentials {
            self.logins.invalidate(login);
        } else {
            // Read a secret again at once, as it may have been corrected after the failure.
            self.logins.expire(login);
        }
        if !matches!(
            class,
            Class::Permanent | Class::Prerequisite(_) | Class::ClosedDatabase
        ) {
            // The next attempt gets a new connection, as the server may have changed.
            self.pools.discard_idle(target);
        }
    }
}
