//! One message from start to end: the only place that knows the order. Open, check where the answer goes, read, carry
//! out, answer; the caller acknowledges only then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use tracing::{Instrument, error, info, info_span, warn};

use crate::fault::Class;
use crate::message::{
    Coordinates, Envelope, OnUnreachableDelete, Operation, Properties, Request, RequestType,
    ResponseOrigin, ResponseUrl, Unanswerable,
};
use crate::patience::{Attempts, Next, PATIENCE};
use crate::plan::ResourceKey;
use crate::queue::Message;
use crate::responder::{Responder, ResponderError};
use crate::response::{self, Verdict, data, own_id, physical_resource_id, was_never_created};
use crate::retry::{POLICY, Retry};
use crate::work::{Trouble, Work, Worker};

/// The longest that a message then waits.
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// How long after its publication a Delete waits for a server that does not answer: it may be gone for good.
const DELETE_PATIENCE: Duration = Duration::from_secs(300);
/// What the handler goes by.
#[derive(Debug, Clone, Default)]
pub struct HandlerSettings {
    /// The topics that are served; empty: any.
    pub topics: Vec<String>,
    /// The accounts whose stacks are served; empty: any.
    pub accounts: Vec<String>,
    /// The one origin beside CloudFormation's that may be answered.
    pub response_origin: Option<ResponseOrigin>,
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

/// An answer, ready to be put.
struct Answer {
    physical_resource_id: String,
    verdict: Verdict,
}

/// Handles messages.
#[derive(Debug)]
pub struct Handler {
    settings: HandlerSettings,
    worker: Worker,
    responder: Responder,
}

impl Handler {
    /// A handler.
    pub fn new(settings: HandlerSettings, worker: Worker, responder: Responder) -> Self {
        Self {
            settings,
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
                match self
                    .carry_out(&request, &resource_properties, last_chance)
                    .await
                {
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

    /// Works on a request until it is answered, or for as long as one message may take: then how long to pause.
    async fn carry_out(
        &self,
        request: &Request,
        resource_properties: &Value,
        last_chance: bool,
    ) -> Result<Answer, Duration> {
        let coordinates = &request.coordinates;
        let resource = ResourceKey::of(coordinates);
        let (properties, old) = match &request.operation {
            Operation::Create(properties) | Operation::Delete(Ok(properties)) => (properties, None),
            Operation::Update { new, old } => (new, old.as_ref()),
            Operation::Delete(Err(invalid)) => {
                warn!(%invalid, "the properties of the deleted resource cannot be used: there is nothing to delete");
                return Ok(Answer {
                    physical_resource_id: own_id(coordinates),
                    verdict: Verdict::Success(BTreeMap::new()),
                });
            }
        };
        let deleted = matches!(request.operation, Operation::Delete(_));
        let last_moment = instant(request.deadline);
        let patience = last_moment.min(Instant::now() + PATIENCE);
        let unreachable_until = deleted.then(|| instant(request.published_at) + DELETE_PATIENCE);
        let work = Work {
            resource: &resource,
            physical_resource_id: coordinates.physical_resource_id.as_deref(),
            properties,
            old,
            declared: resource_properties,
            request_type: coordinates.request_type.as_str(),
            request_id: &coordinates.request_id,
            published_at: request.published_at,
            deleted,
            until: last_moment,
        };
        let mut attempts = Attempts::default();
        let mut pauses = Retry::new(POLICY, patience);
        let out_of_time = loop {
            // The statements' own timeouts end an attempt in time; this is for a peer that is silent.
            match tokio::time::timeout_at(last_moment.into(), self.worker.attempt(&work)).await {
                Ok(Ok((address, outcomes))) => {
                    let id = if deleted {
                        own_id(coordinates)
                    } else {
                        physical_resource_id(&address, &resource)
                    };
                    let verdict = Verdict::Success(data(properties, &outcomes));
                    return Ok(Answer {
                        physical_resource_id: id,
                        verdict,
                    });
                }
                Ok(Err(trouble)) => {
                    info!(reason = trouble.reason, "the attempt failed");
                    if attempts.note(trouble, unreachable_until) == Next::Never {
                        break false;
                    }
                }
                Err(_) => break true,
            }
            if !pauses.pause().await {
                break true;
            }
        };
        let trouble = attempts.into_trouble();
        let left = last_moment.saturating_duration_since(Instant::now());
        let may_wait = out_of_time
            && patience < last_moment
            && !last_chance
            && trouble.class != Class::Credentials;
        if may_wait {
            let pause = full_jitter(MAX_PAUSE.min(left / 2));
            warn!(
                reason = trouble.reason,
                ?pause,
                "given back, to be tried again"
            );
            return Err(pause);
        }
        let verdict = give_up(request, properties, &trouble, out_of_time);
        Ok(Answer {
            physical_resource_id: own_id(coordinates),
            verdict,
        })
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

/// The answer to what could not be done.
fn give_up(
    request: &Request,
    properties: &Properties,
    trouble: &Trouble,
    out_of_time: bool,
) -> Verdict {
    let mut reason = trouble.reason.clone();
    if out_of_time {
        let waited = (Utc::now() - request.published_at).num_seconds();
        reason = format!("{reason} Gave up after {waited} s.");
    }
    if !matches!(request.operation, Operation::Delete(_)) {
        return Verdict::Failed(reason);
    }
    let unreachable_is_gone =
        trouble.unreachable && properties.on_unreachable_delete == OnUnreachableDelete::Succeed;
    // What failed for good when it was to be created left nothing behind.
    let never_was = was_never_created(&request.coordinates)
        && matches!(
            trouble.class,
            Class::Permanent | Class::Prerequisite(_) | Class::Credentials
        );
    if trouble.gone || unreachable_is_gone || never_was {
        warn!(
            reason,
            "what the resource managed is gone, cannot be reached, or never was: it counts as deleted"
        );
        return Verdict::Success(BTreeMap::new());
    }
    Verdict::Failed(reason)
}

fn full_jitter(longest: Duration) -> Duration {
    longest.mul_f64(fastrand::f64())
}

/// The monotonic clock's reading at an instant of the calendar; where it cannot reach back so far, now.
fn instant(at: DateTime<Utc>) -> Instant {
    let now = Utc::now();
    match (at - now).to_std() {
        Ok(ahead) => Instant::now() + ahead,
        Err(_) => {
            let behind = (now - at).to_std().unwrap_or_default();
            Instant::now()
                .checked_sub(behind)
                .unwrap_or_else(Instant::now)
        }
    }
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
