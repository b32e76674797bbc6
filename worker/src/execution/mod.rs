//! One attempt at one request: the login, the databases, a pass over each. What an attempt did before it
//! failed is in the ledgers of the databases, where the next one finds it.

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

/// Carries requests out.
#[derive(Debug)]
pub struct Executor {
    pub(crate) logins: Logins,
    pub(crate) pools: Pools,
    pub(crate) server_limits: ServerLimits,
    pub(crate) policy: Policy,
    pub(crate) blue_green: Option<BlueGreenDeployments>,
    pub(crate) background: BackgroundLimit,
}

/// What an attempt is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExecutionRequest<'a> {
    /// The request.
    pub(crate) request: &'a ResourceRequest<'a>,
    /// The id that the resource has; a new one has none.
    pub(crate) physical_resource_id: Option<&'a str>,
    /// What the resource declares, or, if it is deleted, declared.
    pub(crate) properties: &'a Properties,
    /// What an updated resource declared before.
    pub(crate) old: Option<&'a Properties>,
    /// Whether the resource goes.
    pub(crate) deleted: bool,
    /// When it must be over.
    pub(crate) until: Instant,
    /// Where it is answered from; none on the command line, where there is no response.
    pub(crate) header: Option<&'a RequestHeader>,
    /// What this attempt shares with others.
    pub(crate) state: &'a DeliveryState,
}

/// What an attempt came to.
#[derive(Debug)]
pub(crate) enum AttemptOutcome {
    /// The server, and each database's outcome, in the order of the databases.
    Done(Address, Vec<(String, DatabaseOutcome)>),
    /// The request is answered, now or before.
    Answered(Response),
}

impl Executor {
    /// A worker with no connections yet.
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

    /// The same, for requests that may do no more than the operator allows.
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// The same, where servers are looked up among the sides of Blue/Green deployments before they are changed.
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

    /// Discards what may have led to a failure, so that the next attempt reads it again: credentials and connections.
    fn note_failure(&self, error: &ReconcileError, target: &Target, login: &Login) {
        let class = error.class();
        if matches!(error.cause(), ReconcileError::Database { error, .. } if error.sql().is_some())
        {
            // It answered, if only to refuse.
            self.pools.reached().note(&target.address);
        }
        if class == Class::Credentials {
            self.logins.invalidate(login);
        } else {
            // A secret that is corrected after a failure is to be read at once.
            self.logins.expire(login);
        }
        if !matches!(
            class,
            Class::Permanent | Class::Prerequisite(_) | Class::ClosedDatabase
        ) {
            // The next attempt gets a new connection, to a server that may have changed.
            self.pools.discard_idle(target);
        }
    }
}
