//! What fails around a worker, one thing at a time, a module for each. The result is the same everywhere: each request is
//! carried out once and answered, and nothing is left in the queue or the dead-letter queue.
//!
//! The faults, and the module with the test of each, through the real binary; the tests have their numbers.
//!
//! A worker crashes (`crashes`):
//!  1. before the transaction;
//!  2. in it;
//!  3. after COMMIT and before the PUT; with a stack too, in `protocol`;
//!  4. after the PUT and before the deletion;
//!  5. during the deletion of a batch, before and after SQS has done it.
//!
//! Two workers have the same message (`leases`):
//!  6. one request, two workers;
//!  7. one message twice in a receive, and in a deletion;
//!  8. a lease that is lost in mid-work;
//!  9. a worker that is stopped for longer than the visibility, and goes on.
//!
//! SQS (`queue`):
//! 10. 500 and 503 five times;
//! 11. throttling;
//! 12. a receive that is never answered;
//! 13. a deletion whose connection is cut;
//! 14. a batch that is deleted in part;
//! 15. access denied for a while;
//! 17. a message that comes to an idle worker which is being stopped;
//! 18. a handler that does not finish in time then;
//! 22. a dead-letter queue that takes nothing.
//!
//! A worker is stopped (`shutdown`):
//! 16. with ten messages in flight and three that wait;
//! 19. twice, with a request under way; when idle in `process`;
//! 20. and the ECS agent, which can prevent that, is down or slow (`protection`).
//!
//! A message (`messages`):
//! 21. that is no request; in more forms in `bad_input`;
//! 23. a Create after its Delete;
//! 24. over which the handler panics.
//!
//! PostgreSQL (`postgres`):
//! 25. stops at once in CREATE EXTENSION;
//! 26. does not answer;
//! 27. fails over to a replica;
//! 28. is full;
//! 29. has its lock held by another session;
//! 30. commits, and the answer is lost.
//!
//! Secrets Manager (`secrets`):
//! 31. follows a changed password late;
//! 32. is throttled or down.
//!
//! The ResponseURL (`answers`):
//! 33. refuses;
//! 34. is busy four times;
//! 35. does not answer, or byte by byte.
//!
//! 36. A server is certified by the wrong authority (`tls`).
//! 37. Many requests, and workers that are killed (`chaos`).
//! 38. A worker dies between two stages of an update, or in one (`stages`).

mod answers;
mod chaos;
mod connections;
mod crashes;
mod leases;
mod messages;
mod postgres;
mod protection;
mod queue;
mod scene;
mod secrets;
mod shutdown;
mod stages;
mod tls;

use serde_json::{Value, json};

use crate::support::{Fixture, Worker, World, eventually};

/// An extension whose script takes that long.
fn slow(world: &World, seconds: u32) -> Fixture {
    Fixture::install(
        &format!("{}_slow", world.name),
        "default_version = '1'\n",
        &[("1", &format!("SELECT pg_sleep({seconds});"))],
    )
}

/// Properties that declare one extension.
fn declare(secret: &str, extension: &str) -> Value {
    json!({"DBSecret": secret, "Extensions": [extension]})
}

/// How many attempts at requests failed so far.
fn failed_attempts(worker: &Worker) -> usize {
    worker.log().matches("\"the attempt failed\"").count()
}

/// Waits until this number of attempts has failed.
async fn attempts_fail(worker: &Worker, number: usize) {
    eventually("the failed attempts", async || {
        (failed_attempts(worker) >= number).then_some(())
    })
    .await;
}
