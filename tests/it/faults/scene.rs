//! Requests for one database, the responses to them, and what is left in the end.

use std::collections::HashSet;

use chrono::Utc;
use serde_json::Value;
use uuid::Uuid;

use super::declare;
use crate::support::{CloudFormationRequest, Fixture, ResponseBucket, Worker, World, eventually};

/// The topic that the requests' envelopes name.
const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:extension-worker";

/// The shortest visibility timeout: a message that is not returned is delivered again soon.
pub(super) const BRIEFLY: (&str, &str) = ("WORKER_VISIBILITY_SECONDS", "10");

/// The worker's statements under way in a database, by the number of their backend.
pub(super) const RUNNING: &str =
    "SELECT coalesce(string_agg(pid::text, ','), '') FROM pg_stat_activity
                       WHERE datname = current_database() AND application_name = 'extension-worker'
                       AND state = 'active' AND query LIKE 'CREATE EXTENSION%'";

/// A world whose requests are answered to the harness.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) answers: ResponseBucket,
}

impl Scene {
    pub(super) async fn new() -> Self {
        Self {
            world: World::new().await,
            answers: ResponseBucket::start().await,
        }
    }

    /// A worker that answers to the harness, unless the settings say otherwise.
    pub(super) fn start(&self, settings: &[(&str, &str)]) -> Worker {
        let origin = self.answers.origin();
        Worker::start(&self.world, &with_defaults(&origin, settings))
    }

    /// One in which points of `worker/src/process/failpoint.rs` do what is said.
    pub(super) fn start_with_failpoints(&self, points: &str, settings: &[(&str, &str)]) -> Worker {
        let origin = self.answers.origin();
        Worker::start_with_failpoints(&self.world, points, &with_defaults(&origin, settings))
    }

    /// A Create of a resource of its own.
    pub(super) fn create(&self, extension: &str) -> CloudFormationRequest {
        self.create_named("Extensions", extension)
    }

    /// The same of a resource with this logical id.
    pub(super) fn create_named(
        &self,
        logical_resource_id: &str,
        extension: &str,
    ) -> CloudFormationRequest {
        let id = Uuid::new_v4().to_string();
        let stack = format!(
            "arn:aws:cloudformation:us-east-1:000000000000:stack/{}/{id}",
            self.world.name
        );
        let properties = declare(&self.world.secret, extension);
        let resource = (stack.as_str(), logical_resource_id);
        CloudFormationRequest::new(
            &self.answers,
            resource,
            &id,
            "Create",
            properties,
            Utc::now(),
        )
    }

    /// Creates of as many resources, each of an extension that no other has.
    pub(super) fn creates(&self, number: usize) -> Vec<CloudFormationRequest> {
        (0..number)
            .map(|number| {
                let name = format!("{}_x{number}", self.world.name);
                let control = "default_version = '1'\n";
                self.create(&Fixture::install(&name, control, &[("1", "SELECT 1;")]).name)
            })
            .collect()
    }

    pub(super) async fn send(&self, requests: impl IntoIterator<Item = &CloudFormationRequest>) {
        let bodies: Vec<String> = requests
            .into_iter()
            .map(CloudFormationRequest::body)
            .collect();
        for batch in bodies.chunks(10) {
            self.world.send_raw_batch(batch.to_vec()).await;
        }
    }

    /// Waits for a number of answers to a request, and no more; each.
    pub(super) async fn answered(
        &self,
        request: &CloudFormationRequest,
        times: usize,
    ) -> Vec<Value> {
        let answers = eventually("the answers", async || {
            let answers = self.answers.of(&request.key);
            (answers.len() >= times).then_some(answers)
        })
        .await;
        assert_eq!(answers.len(), times, "{answers:#?}");
        answers
            .iter()
            .map(|answer| serde_json::from_str(answer).unwrap())
            .collect()
    }

    /// Waits until this number of the worker's sessions wait for its lock, which another session holds.
    pub(super) async fn waiting(&self, sessions: usize) {
        let waiting =
            "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database()
                       AND application_name = 'extension-worker' AND wait_event IN ('relation', 'transactionid')";
        eventually("the wait for the lock", async || {
            (self.world.database.text(waiting).await == sessions.to_string()).then_some(())
        })
        .await;
    }

    /// Waits until a CREATE EXTENSION of the worker's is under way, or until none is.
    pub(super) async fn statement(&self, is_running: bool) {
        eventually("the statement, or its end", async || {
            (self.world.database.text(RUNNING).await.is_empty() != is_running).then_some(())
        })
        .await;
    }

    /// The end that each fault is to have: every request was answered with success and in one way, however often; what
    /// was committed is one change for each, by one entry of the ledger; and nothing is left in the queue or beside it.
    pub(super) async fn is_over(&self, requests: impl IntoIterator<Item = &CloudFormationRequest>) {
        // Nothing is acknowledged before it is answered: there are no more answers to come.
        self.nothing_is_left().await;
        let mut number = 0;
        for request in requests {
            number += 1;
            let answers: HashSet<String> = self.answers.of(&request.key).into_iter().collect();
            assert_eq!(answers.len(), 1, "{answers:#?}");
            assert!(
                answers.iter().all(|answer| answer.contains("\"SUCCESS\"")),
                "{answers:?}"
            );
        }
        assert_eq!(
            self.committed().await,
            format!("{number} requests, {number} changes")
        );
    }

    /// Waits until the queue is empty, of hidden messages too, and sees that the dead-letter queue is.
    pub(super) async fn nothing_is_left(&self) {
        eventually("the empty queue", async || {
            (self.world.depths().await.0 == 0).then_some(())
        })
        .await;
        assert_eq!(self.world.depths().await, (0, 0));
    }

    /// What the ledger says was done. The server's log has the statements too of transactions that came to nothing.
    pub(super) async fn committed(&self) -> String {
        let printed = "SELECT count(*) || ' requests, '
                           || coalesce(sum(jsonb_array_length(data -> 'outcome' -> 'changes')), 0) || ' changes'
                    FROM extension_worker.ledger WHERE kind = 'request'";
        self.world.database.text(printed).await
    }
}

fn with_defaults<'a>(origin: &'a str, settings: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![
        ("WORKER_RESPONSE_ORIGIN", origin),
        ("WORKER_TOPIC_ARNS", TOPIC),
    ];
    all.extend(settings);
    all
}
