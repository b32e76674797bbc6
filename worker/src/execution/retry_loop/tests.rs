use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;
use crate::postgres_error::{DatabaseError, SqlError};
use crate::target::{Address, Host, Target};

/// Fails with what `fail` returns for the number of the attempt, and succeeds where that is none.
struct Work<F> {
    fail: F,
    attempts: AtomicUsize,
    failures: AtomicUsize,
    retries: AtomicUsize,
}

impl<F: Fn(usize) -> Option<AttemptError>> Work<F> {
    fn new(fail: F) -> Self {
        Self {
            fail,
            attempts: AtomicUsize::new(0),
            failures: AtomicUsize::new(0),
            retries: AtomicUsize::new(0),
        }
    }

    /// The attempts, failures and retries that were noted.
    fn counts(&self) -> [usize; 3] {
        [&self.attempts, &self.failures, &self.retries].map(|count| count.load(Relaxed))
    }
}

impl<F: Fn(usize) -> Option<AttemptError>> Retryable for Work<F> {
    type Outcome = ();

    async fn attempt(&self) -> Result<(), AttemptError> {
        match (self.fail)(self.attempts.fetch_add(1, Relaxed)) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn note_failure(&self, _error: &AttemptError) {
        self.failures.fetch_add(1, Relaxed);
    }

    fn note_retry(&self, _last: &AttemptError) {
        self.retries.fetch_add(1, Relaxed);
    }
}

/// Work that never answers.
struct Silent;

impl Retryable for Silent {
    type Outcome = ();

    async fn attempt(&self) -> Result<(), AttemptError> {
        std::future::pending().await
    }
}

/// Work that another takes the place of in its first pause.
struct Wanted;

impl Retryable for Wanted {
    type Outcome = ();

    async fn attempt(&self) -> Result<(), AttemptError> {
        Err(AttemptError::Timeout { waiting_for: None })
    }

    async fn cut(&self) -> EarlyReturn {
        EarlyReturn::Wanted
    }
}

fn address() -> Address {
    Address {
        host: Host::parse("server.example").unwrap(),
        port: 5432,
    }
}

fn failed(error: DatabaseError) -> AttemptError {
    AttemptError::Reconcile {
        target: Target {
            address: address(),
            database: "app".to_owned(),
            username: "worker".to_owned(),
        },
        error: Box::new(error.into()),
    }
}

fn lost() -> AttemptError {
    failed(DatabaseError::Lost("reset".to_owned(), None))
}

fn refused() -> AttemptError {
    failed(DatabaseError::LogIn(Box::new(SqlError {
        sqlstate: "28P01".to_owned(),
        message: "password authentication failed for user \"worker\"".to_owned(),
        detail: None,
        hint: None,
        constraint: None,
        context: None,
    })))
}

fn limits() -> RetryLimits {
    RetryLimits::until(Instant::now() + Duration::from_secs(60))
}

async fn run<W: Retryable>(
    work: &W,
    limits: RetryLimits,
) -> (Result<W::Outcome, Stopped>, Attempts) {
    let mut attempts = Attempts::default();
    let ended = run_with_retries(work, limits, &mut attempts).await;
    (ended, attempts)
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_again_until_it_has() {
    let work = Work::new(|attempt| (attempt < 3).then(lost));
    assert_eq!(run(&work, limits()).await.0, Ok(()));
    assert_eq!(work.counts(), [4, 3, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_never_helps_is_not_tried_again() {
    let work = Work::new(|_| Some(AttemptError::NoDatabases));
    let (ended, attempts) = run(&work, limits()).await;
    assert_eq!(ended, Err(Stopped::Never));
    assert_eq!(work.counts(), [1, 1, 0]);
    assert!(matches!(
        attempts.into_error(None),
        AttemptError::NoDatabases
    ));
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_when_time_is_up_or_a_server_has_no_room() {
    let work = Work::new(|_| Some(lost()));
    let over = RetryLimits::until(Instant::now());
    assert_eq!(run(&work, over).await.0, Err(Stopped::OutOfTime));
    assert_eq!(work.counts(), [1, 1, 0]);
    let work = Work::new(|_| Some(AttemptError::ServerLimit(address())));
    assert_eq!(run(&work, limits()).await.0, Err(Stopped::OutOfTime));
    assert_eq!(work.counts(), [1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_password_that_is_refused_may_turn_out_right_for_a_while() {
    let work = Work::new(|attempt| (attempt < 2).then(refused));
    assert_eq!(run(&work, limits()).await.0, Ok(()));
    let work = Work::new(|attempt| (attempt < 2).then(refused));
    let over = RetryLimits {
        refused_until: Some(Instant::now()),
        ..limits()
    };
    assert_eq!(run(&work, over).await.0, Err(Stopped::Never));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_silent_ends_in_time() {
    let soon = RetryLimits {
        attempt_until: Some(Instant::now() + Duration::from_secs(5)),
        ..limits()
    };
    let (ended, attempts) = run(&Silent, soon).await;
    assert_eq!(ended, Err(Stopped::OutOfTime));
    let waiting_for = Some("h:5432".to_owned());
    assert_eq!(
        attempts.into_error(waiting_for).reason(),
        "h:5432: there was no answer in time."
    );
}

#[tokio::test(start_paused = true)]
async fn a_pause_may_be_cut_short_for_another() {
    let (ended, attempts) = run(&Wanted, limits()).await;
    assert_eq!(ended, Err(Stopped::Cut(EarlyReturn::Wanted)));
    assert!(attempts.last().is_some());
}
