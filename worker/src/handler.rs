//! One message from start to end: the only place that knows the order. Open, check where the answer goes, read, carry
//! out, answer; the caller acknowledges only then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use tracing::{Instrument, error, info, info_span, warn};

use crate::message::{
    Coordinates, Envelope, Origin, Request, RequestType, ResponseUrl, Unanswerable,
};
use crate::patience::{Answer, PATIENCE, full_jitter, instant, persist};
use crate::queue::Message;
use crate::responder::{Responder, ResponderError};
use crate::response::{self, Verdict, own_id};
use crate::retry::{POLICY, Retry};
use crate::signatures::Signatures;
use crate::work::Worker;

/// What the handler goes by.
#[derive(Debug, Clone, Default)]
pub struct HandlerSettings {
    /// The topics that are served; empty: any.
    pub topics: Vec<String>,
    /// The accounts whose stacks are served; empty: any.
    pub accounts: Vec<String>,
    /// The one origin beside CloudFormation's that may be answered.
    pub response_origin: Option<Origin>,
    /// On which receive a request is answered with `FAILED` at the latest: the redrive policy's `maxReceiveCount`.
    pub max_receives: u32,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// It was answered, or needs no answer: acknowledge it.
    Done,
    /// Nothing could be done now: give it back, to come again after this long.
    GiveBack(Duration),
    /// Nothing can ever be done, and nobody can be told: to the dead-letter queue, with the reason.
    DeadLetter(String),
}

/// Handles messages.
#[derive(Debug)]
pub struct Handler {
    settings: HandlerSettings,
    signatures: Signatures,
    worker: Worker,
    responder: Responder,
}

impl Handler {
    /// A handler.
    pub fn new(
        settings: HandlerSettings,
        signatures: Signatures,
        worker: Worker,
        responder: Responder,
    ) -> Self {
        Self {
            settings,
            signatures,
            worker,
            responder,
        }
    }

    /// Handles one message.
    pub async fn handle(&self, message: &Message) -> Disposition {
        let envelope = match Envelope::open(&message.body, &self.settings.topics) {
            Ok(envelope) => envelope,
            Err(undeliverable) => return dead_letter(&undeliverable),
        };
        match self.signatures.check(&message.id, &envelope).await {
            Ok(()) => {}
            Err(unverified) if unverified.is_temporary() => {
                return Disposition::GiveBack(unverified_pause(message.receive_count));
            }
            Err(unverified) => return dead_letter(&unverified),
        }
        let (coordinates, url) = match self.coordinates(&envelope) {
            Ok(answerable) => answerable,
            Err(unanswerable) => return dead_letter(&unanswerable),
        };
        let span = info_span!(
            "request",
            kind = coordinates.request_type.as_str(),
            stack = coordinates.stack_id.arn,
            resource = coordinates.logical_resource_id,
            request = coordinates.request_id,
            receive = message.receive_count,
        );
        self.answer(
            coordinates,
            &url,
            envelope.message,
            envelope.timestamp,
            message.receive_count,
        )
        .instrument(span)
        .await
    }

    fn coordinates(&self, envelope: &Envelope) -> Result<(Coordinates, ResponseUrl), Unanswerable> {
        let coordinates = Coordinates::read(&envelope.message)?;
        let account = &coordinates.stack_id.account;
        if !self.settings.accounts.is_empty() && !self.settings.accounts.contains(account) {
            return Err(Unanswerable::ForeignAccount(account.clone()));
        }
        let origin = self.settings.response_origin.as_ref();
        let url = ResponseUrl::check(&coordinates, envelope.topic_arn.as_deref(), origin)?;
        Ok((coordinates, url))
    }

    async fn answer(
        &self,
        coordinates: Coordinates,
        url: &ResponseUrl,
        message: Map<String, Value>,
        timestamp: Option<DateTime<Utc>>,
        receive_count: u32,
    ) -> Disposition {
        let resource_properties = message
            .get("ResourceProperties")
            .cloned()
            .unwrap_or(Value::Null);
        let now = Utc::now();
        let (answer, deadline) = match Request::read(
            coordinates.clone(),
            url,
            message,
            timestamp,
            now,
        ) {
            Ok(request) if request.deadline <= now => {
                warn!(deadline = %request.deadline, "the request is past its deadline: nothing is changed");
                return Disposition::Done;
            }
            Ok(request) => {
                let last_chance = receive_count >= self.settings.max_receives;
                match persist(&self.worker, &request, &resource_properties, last_chance).await {
                    Ok(answer) => (answer, request.deadline),
                    Err(pause) => return Disposition::GiveBack(pause),
                }
            }
            Err(unusable) => {
                let verdict = match coordinates.request_type {
                    // What cannot be understood was never created.
                    RequestType::Delete => Verdict::Success(BTreeMap::new()),
                    RequestType::Create | RequestType::Update | RequestType::Unknown(_) => {
                        Verdict::Failed(unusable.to_string())
                    }
                };
                let answer = Answer {
                    physical_resource_id: own_id(&coordinates),
                    verdict,
                };
                (answer, now + TimeDelta::minutes(1))
            }
        };
        self.put(&coordinates, url, &answer, deadline).await
    }

    /// Puts the answer, again where the service is busy, until the deadline; the margin behind it is for this.
    async fn put(
        &self,
        coordinates: &Coordinates,
        url: &ResponseUrl,
        answer: &Answer,
        deadline: DateTime<Utc>,
    ) -> Disposition {
        let body = response::body(coordinates, &answer.physical_resource_id, &answer.verdict);
        let (status, reason) = match &answer.verdict {
            Verdict::Success(_) => ("SUCCESS", ""),
            Verdict::Failed(reason) => ("FAILED", reason.as_str()),
        };
        let until = instant(deadline)
            .max(Instant::now() + Duration::from_secs(5))
            .min(Instant::now() + PATIENCE);
        let mut pauses = Retry::new(POLICY, until);
        loop {
            let error = match self.responder.put(url, body.clone()).await {
                Ok(()) => {
                    info!(
                        status,
                        reason,
                        physical_resource_id = answer.physical_resource_id,
                        "answered"
                    );
                    return Disposition::Done;
                }
                Err(error) => error,
            };
            if matches!(error, ResponderError::Refused(_)) {
                error!(status, reason, %url, error = &error as &dyn std::error::Error, "the answer is lost");
                return Disposition::Done;
            }
            warn!(%url, error = &error as &dyn std::error::Error, "not answered yet");
            if !pauses.pause().await {
                return Disposition::GiveBack(full_jitter(Duration::from_secs(30)));
            }
        }
    }
}

/// Longer with each receive: the twelve that a message has by default last for eight minutes without certificates.
fn unverified_pause(receive_count: u32) -> Duration {
    full_jitter(Duration::from_secs(15) * receive_count.min(20))
}

fn dead_letter(error: &dyn std::error::Error) -> Disposition {
    let mut reason = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        reason = format!("{reason}: {error}");
        cause = error.source();
    }
    Disposition::DeadLetter(reason)
}
