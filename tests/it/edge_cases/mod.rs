//! Edge cases of the custom resource protocol, one test each: what CloudFormation, SNS and SQS may do, and the right
//! response. Tests of the handler alone call it without the queue; the others are in the other modules.

mod answers;
mod creates;
mod deadlines;
mod deletes;
mod messages;
mod updates;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use extension_worker::handler::{Disposition, Handler, HandlerSettings};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    CloudFormationRequest, Database, Fixture, ResponseBucket, delivery, eventually, handler,
    handler_settings,
};

/// A resource of a stack of the test's own, its database, and a worker.
struct Case {
    answers: ResponseBucket,
    database: Database,
    stack_id: String,
    /// When the next request is published.
    now: DateTime<Utc>,
    worker: Handler,
}

impl Case {
    async fn new() -> Self {
        let name = format!("e{}", &Uuid::new_v4().simple().to_string()[..12]);
        let answers = ResponseBucket::start().await;
        Self {
            database: Database::create(&name).await,
            stack_id: format!("arn:aws:cloudformation:us-east-1:123456789012:stack/{name}/1"),
            now: Utc::now(),
            worker: handler(&answers),
            answers,
        }
    }

    /// Properties for the test's database.
    fn declare(&self, extensions: &Value) -> Value {
        json!({"DBSecret": "given", "DBName": self.database.name, "Extensions": extensions})
    }

    /// A new request, newer than all before.
    fn ask(&mut self, kind: &str, properties: &Value) -> CloudFormationRequest {
        self.now += TimeDelta::milliseconds(1);
        let request_id = Uuid::new_v4().to_string();
        let resource = (self.stack_id.as_str(), "Extensions");
        CloudFormationRequest::new(
            &self.answers,
            resource,
            &request_id,
            kind,
            properties.clone(),
            self.now,
        )
    }

    /// Delivers a request to a worker; the answer that it put last.
    async fn delivered_to(&self, worker: &Handler, request: &CloudFormationRequest) -> Value {
        let disposition = worker.handle(&delivery(request.body())).await;
        assert_eq!(disposition, Disposition::Done);
        let answers = self.answers.of(&request.key);
        serde_json::from_str(answers.last().expect("an answer")).unwrap()
    }

    async fn answer(&self, request: &CloudFormationRequest) -> Value {
        self.delivered_to(&self.worker, request).await
    }

    /// Creates the resource; its id.
    async fn create(&mut self, extensions: &Value) -> String {
        let properties = self.declare(extensions);
        let create = self.ask("Create", &properties);
        let answer = self.answer(&create).await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        answer["PhysicalResourceId"].as_str().unwrap().to_owned()
    }

    async fn installed(&self) -> Vec<String> {
        self.database.extensions().await.into_keys().collect()
    }
}

/// The settings of a worker that returns a message to the queue after a second.
fn with_short_retry_budget() -> HandlerSettings {
    HandlerSettings {
        retry_budget: Duration::from_secs(1),
        ..handler_settings()
    }
}

fn reason(answer: &Value) -> &str {
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    answer["Reason"].as_str().unwrap()
}

/// An extension whose script takes that long.
fn slow(case: &Case, seconds: u32) -> Fixture {
    Fixture::install(
        &format!("{}_slow", case.database.name),
        "default_version = '1'\n",
        &[("1", &format!("SELECT pg_sleep({seconds});"))],
    )
}

/// Waits until a worker carries out a statement that begins so.
async fn running(database: &Database, statement: &str) {
    let query = format!(
        "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
         AND application_name = 'extension-worker' AND query LIKE '{statement}%'"
    );
    eventually("the statement", async || {
        (database.text(&query).await != "0").then_some(())
    })
    .await;
}
