use super::*;
use crate::postgres_error::DatabaseError;
use crate::reconcile::transaction::ReconcileError;
use crate::target::{Address, Host, Target};

fn target() -> Target {
    Target {
        address: Address {
            host: Host::parse("server.example").unwrap(),
            port: 5432,
        },
        database: "app".to_owned(),
        username: "worker".to_owned(),
    }
}

fn failed(error: ReconcileError) -> AttemptError {
    AttemptError::Reconcile {
        target: target(),
        error: Box::new(error),
    }
}

fn timeout() -> AttemptError {
    AttemptError::Timeout { waiting_for: None }
}

fn read_only() -> AttemptError {
    failed(ReconcileError::ReadOnly)
}

fn race() -> AttemptError {
    failed(ReconcileError::NotConverged(Vec::new()))
}

fn unreachable() -> AttemptError {
    failed(DatabaseError::Unreachable("connection refused".to_owned(), None).into())
}

fn limits() -> RetryLimits {
    RetryLimits::until(Instant::now() + Duration::from_secs(60))
}

#[test]
fn a_bounded_failure_is_counted_for_itself_and_in_a_row() {
    let mut attempts = Attempts::default();
    for _ in 0..7 {
        assert_eq!(attempts.record(timeout(), &limits()), Next::Again);
    }
    for _ in 0..3 {
        assert_eq!(attempts.record(read_only(), &limits()), Next::Again);
    }
    assert_eq!(attempts.record(read_only(), &limits()), Next::Never);
}

#[test]
fn a_race_that_goes_on_is_none() {
    let mut attempts = Attempts::default();
    let limits = limits();
    let mut next = || attempts.record(race(), &limits);
    for _ in 0..2 * MAX_RACES {
        assert_eq!(next(), Next::Again);
    }
    attempts.since = Instant::now().checked_sub(MIN_RACE_TIME);
    assert_eq!(attempts.record(race(), &limits), Next::Never);
    // It takes both.
    assert_eq!(attempts.record(timeout(), &limits), Next::Again);
    assert_eq!(attempts.record(race(), &limits), Next::Again);
    attempts.since = Instant::now().checked_sub(MIN_RACE_TIME);
    assert_eq!(attempts.record(race(), &limits), Next::Again);
}

#[test]
fn only_a_server_that_cannot_be_reached_is_taken_for_gone() {
    let past = RetryLimits {
        unreachable_until: Some(Instant::now()),
        ..limits()
    };
    let next = |error, limits: &RetryLimits| Attempts::default().record(error, limits);
    assert_eq!(next(unreachable(), &past), Next::Never);
    assert_eq!(next(unreachable(), &limits()), Next::Again);
    assert_eq!(next(timeout(), &past), Next::Again);
}
