//! One message from start to end: the only place that knows the order. Open, check where the answer goes, read, carry
//! out, answer; the caller acknowledges only then.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use tracing::{Instrument, error, info, info_span, warn};

use crate::database::sqlstate::Class;
use crate::message::{
    Coordinates, Envelope, OnUnreachableDelete, Operation, Request, RequestType, ResponseOrigin,
    ResponseUrl, Unanswerable,
};
use crate::plan::ResourceKey;
use crate::queue::Message;
use crate::responder::{Responder, ResponderError};
use crate::response::{self, Verdict, data, own_id, physical_resource_id};
use crate::retry::{self, Failure, retry};
use crate::work::{Trouble, Work, Worker};

/// How long a message is worked on before it goes back to the queue, so that a server that is down does not fill
/// every slot.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest that a message then waits.
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// How long a Delete waits for a server that does not answer: it may be gone for good.
const DELETE_PATIENCE: TimeDelta = TimeDelta::minutes(5);
/// How long a wrong password may still turn out right: rotation changes the database before the secret.
const ROTATION: TimeDelta = TimeDelta::seconds(90);

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
                    physical_resource_id: own_id(&coordinates, None),
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
        let resource = ResourceKey {
            stack_id: coordinates.stack_id.arn.clone(),
            logical_resource_id: coordinates.logical_resource_id.clone(),
        };
        let (properties, old) = match &request.operation {
            Operation::Create(properties) | Operation::Delete(Ok(properties)) => (properties, None),
            Operation::Update { new, old } => (new, old.as_ref()),
            Operation::Delete(Err(invalid)) => {
                warn!(%invalid, "the properties of the deleted resource cannot be used: there is nothing to delete");
                return Ok(Answer {
                    physical_resource_id: own_id(coordinates, None),
                    verdict: Verdict::Success(BTreeMap::new()),
                });
            }
        };
        let is_delete = matches!(request.operation, Operation::Delete(_));
        let give_up_at = if is_delete {
            request.deadline.min(request.published_at + DELETE_PATIENCE)
        } else {
            request.deadline
        };
        let last_moment = instant(give_up_at);
        let until = last_moment.min(Instant::now() + PATIENCE);
        let work = Work {
            request,
            resource: &resource,
            properties,
            old,
            resource_properties,
            until,
        };
        let earlier = Mutex::new(None);
        let result = retry(retry::POLICY, until, async |attempt| {
            let trouble = match self.worker.attempt(&work).await {
                Ok(done) => return Ok(done),
                Err(trouble) => trouble.or_earlier(&earlier),
            };
            Err(after(trouble, attempt, request.published_at))
        })
        .await;

        let (trouble, out_of_time) = match result {
            Ok((address, outcomes)) => {
                let id = if is_delete {
                    own_id(coordinates, None)
                } else {
                    physical_resource_id(&address, &resource)
                };
                return Ok(Answer {
                    physical_resource_id: id,
                    verdict: Verdict::Success(data(properties, &outcomes)),
                });
            }
            Err(Failure::Transient(trouble)) => (trouble, true),
            Err(Failure::Permanent(trouble)) => (trouble, false),
        };
        if out_of_time && until < last_moment && !last_chance {
            let left = last_moment.saturating_duration_since(Instant::now());
            let pause = full_jitter(MAX_PAUSE.min(left / 2));
            warn!(
                reason = trouble.reason,
                ?pause,
                "given back, to be tried again"
            );
            return Err(pause);
        }
        let waited = (Utc::now() - request.published_at).num_seconds();
        let reason = if out_of_time {
            format!("{} Gave up after {waited} s.", trouble.reason)
        } else {
            trouble.reason
        };
        let unreachable_is_gone = properties.on_unreachable_delete == OnUnreachableDelete::Succeed;
        let verdict = if is_delete && (trouble.gone || trouble.unreachable && unreachable_is_gone) {
            warn!(
                reason,
                "what the resource managed is gone, or cannot be reached: it counts as deleted"
            );
            Verdict::Success(BTreeMap::new())
        } else {
            Verdict::Failed(reason)
        };
        let id = own_id(
            coordinates,
            trouble.address.as_ref().map(|address| (address, &resource)),
        );
        Ok(Answer {
            physical_resource_id: id,
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
        let put = retry(retry::POLICY, until, async |_| {
            self.responder
                .put(url, body.clone())
                .await
                .map_err(|error| match error {
                    ResponderError::Refused(_) => Failure::Permanent(error),
                    ResponderError::Unavailable(..) => Failure::Transient(error),
                })
        })
        .await;
        match put {
            Ok(()) => {
                info!(
                    status,
                    reason,
                    physical_resource_id = answer.physical_resource_id,
                    "answered"
                );
                Disposition::Done
            }
            Err(Failure::Permanent(refused)) => {
                error!(status, reason, url = %url, error = &refused as &dyn std::error::Error, "the answer is lost");
                Disposition::Done
            }
            Err(Failure::Transient(unavailable)) => {
                warn!(url = %url, error = &unavailable as &dyn std::error::Error, "not answered yet");
                Disposition::GiveBack(full_jitter(Duration::from_secs(30)))
            }
        }
    }
}

/// Whether trying again may help after so many attempts.
fn after(trouble: Trouble, attempt: u32, published_at: DateTime<Utc>) -> Failure<Trouble> {
    let again = match trouble.class {
        Class::Transient | Class::Race => true,
        Class::TransientAtMost(times) => attempt < times,
        Class::Credentials => Utc::now() < published_at + ROTATION,
        Class::Permanent | Class::Prerequisite(_) | Class::NoDatabase => false,
    };
    info!(
        attempt,
        again,
        reason = trouble.reason,
        "the attempt failed"
    );
    if again {
        Failure::Transient(trouble)
    } else {
        Failure::Permanent(trouble)
    }
}

fn full_jitter(longest: Duration) -> Duration {
    longest.mul_f64(fastrand::f64())
}

/// The monotonic clock's reading at an instant of the calendar.
fn instant(at: DateTime<Utc>) -> Instant {
    Instant::now() + (at - Utc::now()).to_std().unwrap_or_default()
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
