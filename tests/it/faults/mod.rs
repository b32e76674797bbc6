//! What fails around a worker, one thing at a time, and what comes of the requests that meet it. A module for each that
//! fails.

mod chaos;
mod connections;
mod crashes;
mod postgres;
mod queue;
mod scene;
mod secrets;
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

/// Waits until so many have.
async fn attempts_fail(worker: &Worker, number: usize) {
    eventually("the failed attempts", async || {
        (failed_attempts(worker) >= number).then_some(())
    })
    .await;
}
