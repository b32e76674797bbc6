//! One message from start to end: the only place that knows the order. Open, check where the answer goes, read, carry
//! out, answer; the caller acknowledges only then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tracing::{Span, error, info, record_all, warn};

use crate::causes::with_causes;
use crate::failpoint;
use crate::message::{
    Coordinates, Envelope, ForbiddenUrl, Origin, Request, RequestType, ResponseUrl, Timing,
    Unanswerable, printable,
};
use crate::metrics::{Metrics, Outcome};
use crate::patience::{Delivery, full_jitter, instant, persist};
use crate::queue::Message;
use crate::recent::Recent;
use crate::responder::{Responder, ResponderError};
use crate::response::{Response, Verdict, own_id, was_never_created};
use crate::resync::{Resync, ResyncEnd, is_errand, is_of_resync};
use crate::retry::{POLICY, Retry};
use crate::shares::{OverShare, Share, Shares};
use crate::signatures::Signatures;
use crate::verification::topics::{Topics, WrongTopic};
use crate::verification::{UnverifiedRequest, UnverifiedSender, Verification};
use crate::work::Worker;

/// CloudFormation waits no longer for any answer.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Whose share of the places re-syncs have.
const RESYNC: &str = "re-sync";

/// Of the reason why a message is in the dead-letter queue.
const MAX_REASON_CHARACTERS: usize = 1000;

/// How long CloudFormation may take to show an operation, from the first receive of its request on: what it shows may lag
/// behind.
const LAG_RECEIVES: u32 = 3;
const LAG_PAUSE: Duration = Duration::from_secs(5);

/// What the handler goes by.
#[derive(Debug, Clone, Default)]
pub struct HandlerSettings {
    /// The topics that are served; empty: any.
    pub topics: Vec<String>,
    /// The topics that re-syncs may come by; empty: the same.
    pub resync_topics: Vec<String>,
    /// The accounts whose stacks are served; empty: any.
    pub accounts: Vec<String>,
    /// The one origin beside CloudFormation's that may be answered.
    pub response_origin: Option<Origin>,
    /// On which receive a request is answered with `FAILED` at the latest: the redrive policy's `maxReceiveCount`.
    pub max_receives: u32,
    /// How long a request is worked on before its message goes back to the queue, so that a server that is down does not
    /// fill every slot; and how long a wrong password may still turn out right, as rotation changes the database before
    /// the secret.
    pub patience: Duration,
    /// Messages that are worked on at the same time; 0: any number.
    pub places: usize,
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

/// What becomes of a message, and what its handling is counted as.
type End = (Disposition, Outcome);

/// Handles messages.
#[derive(Debug)]
pub struct Handler {
    settings: HandlerSettings,
    topics: Topics,
    served_topics: Vec<String>,
    signatures: Signatures,
    verification: Verification,
    worker: Worker,
    resync: Resync,
    responder: Responder,
    recent: Recent,
    shares: Shares,
    metrics: Metrics,
}

impl Handler {
    /// A handler.
    pub fn new(
        settings: HandlerSettings,
        signatures: Signatures,
        verification: Verification,
        worker: Worker,
        resync: Resync,
        responder: Responder,
        metrics: Metrics,
    ) -> Self {
        let places = match settings.places {
            0 => usize::MAX,
            places => places,
        };
        let topics = Topics {
            stacks: settings.topics.clone(),
            resyncs: settings.resync_topics.clone(),
        };
        Self {
            settings,
            shares: Shares::new(places),
            served_topics: topics.all(),
            topics,
            signatures,
            verification,
            worker,
            resync,
            responder,
            recent: Recent::default(),
            metrics,
        }
    }

    /// Handles one message. What is logged belongs to the current span, which is told of the request: see
    /// [`crate::telemetry::message_span`].
    pub async fn handle(&self, message: &Message) -> Disposition {
        let handling = self.metrics.handling();
        let (disposition, outcome) = self.see_through(message).await;
        handling.ends(outcome);
        disposition
    }

    async fn see_through(&self, message: &Message) -> End {
        let envelope = match Envelope::open(&message.body, &self.served_topics) {
            Ok(envelope) => envelope,
            Err(undeliverable) => return dead_letter(&undeliverable),
        };
        if let Err(end) = self.check_origin(message, &envelope).await {
            return end;
        }
        if is_of_resync(&envelope.message) {
            let Ok(_share) = self.take_share(RESYNC, RESYNC, message.receive_count).await else {
                return give_back(over_share_pause(message.receive_count));
            };
            return match self.resync.handle(&self.worker, envelope.message).await {
                ResyncEnd::Done => (Disposition::Done, Outcome::Succeeded),
                ResyncEnd::GiveBack(pause) => give_back(pause),
                ResyncEnd::Invalid(error) => dead_letter(&error),
            };
        }
        let (coordinates, url) = match self.coordinates(&envelope) {
            Ok(answerable) => answerable,
            Err(unanswerable) => {
                // Forged, or a form of host that CloudFormation did not use before: then stacks would hang.
                if matches!(unanswerable, Unanswerable::Url(ForbiddenUrl::Host { .. })) {
                    self.metrics.refused_response_hosts.inc();
                }
                return dead_letter(&unanswerable);
            }
        };
        record_all!(
            Span::current(),
            kind = coordinates.request_type.as_str(),
            stack = coordinates.stack_id.arn,
            resource = coordinates.logical_resource_id,
            request = coordinates.request_id,
        );
        // Before any slow work: a stack or account that has its share keeps no other waiting.
        let stack = &coordinates.stack_id;
        let share = self.take_share(&stack.arn, &stack.account, message.receive_count);
        let Ok(share) = share.await else {
            info!("given back: the places of its stack or account are taken");
            return give_back(over_share_pause(message.receive_count));
        };
        self.answer(
            coordinates,
            &url,
            envelope.message,
            envelope.timestamp,
            message.receive_count,
            &share,
        )
        .await
    }

    /// Whether the message comes from where its kind may come from.
    async fn check_origin(&self, message: &Message, envelope: &Envelope) -> Result<(), End> {
        let topic_arn = envelope.topic_arn.as_deref();
        // What workers send each other goes through the queue alone, which signs nothing: SQS names the sender.
        if is_errand(&envelope.message) {
            let checked = self
                .verification
                .check_sender(topic_arn, message.sender_id.as_deref())
                .await;
            return match checked {
                Ok(()) => Ok(()),
                Err(error @ UnverifiedSender::NoIdentity(_)) => {
                    warn!(error = with_causes(&error), "not verified");
                    Err(give_back(unverified_pause(message.receive_count)))
                }
                Err(error @ (UnverifiedSender::ThroughTopic(_) | UnverifiedSender::Foreign(_))) => {
                    Err(dead_letter(&error))
                }
            };
        }
        match self.signatures.check(&message.id, envelope).await {
            Ok(()) => {}
            Err(unverified) if unverified.is_temporary() => {
                return Err(give_back(unverified_pause(message.receive_count)));
            }
            Err(unverified) => return Err(dead_letter(&unverified)),
        }
        let checked: Result<(), WrongTopic> = if is_of_resync(&envelope.message) {
            self.topics.check_resync(topic_arn)
        } else {
            self.topics.check_request(topic_arn)
        };
        checked.map_err(|error| dead_letter(&error))
    }

    /// Whether CloudFormation shows what the request says. Otherwise what becomes of the message, or the answer.
    ///
    /// An answer reaches CloudFormation with the signature alone that it made itself: a forged request fails nothing. It
    /// is given where nothing says that the request is forged; where CloudFormation contradicts it, nobody is answered.
    async fn check_request(
        &self,
        coordinates: &Coordinates,
        receive_count: u32,
        last_chance: bool,
    ) -> Result<Option<Response>, End> {
        let Err(error) = self.verification.check_request(coordinates).await else {
            return Ok(None);
        };
        self.metrics.unverified_requests.inc();
        warn!(error = with_causes(&error), "the request is not verified");
        let answer = |reason: String| {
            // What was refused when it was to be created left nothing behind.
            let verdict = if was_never_created(coordinates)
                && coordinates.request_type == RequestType::Delete
            {
                Verdict::Success(BTreeMap::new())
            } else {
                Verdict::Failed(reason)
            };
            Ok(Some(Response::new(
                coordinates,
                &own_id(coordinates),
                verdict,
            )))
        };
        match &error {
            UnverifiedRequest::Unavailable(_) | UnverifiedRequest::NoIdentity(_) => {
                if last_chance {
                    return answer(format!("{error}. Nothing was changed."));
                }
                Err(give_back(unverified_pause(receive_count)))
            }
            UnverifiedRequest::Unverifiable(_) => answer(format!("{error}. Nothing was changed.")),
            UnverifiedRequest::Over(_) | UnverifiedRequest::Contradicted(_)
                if receive_count < LAG_RECEIVES && !last_chance =>
            {
                Err(give_back(LAG_PAUSE))
            }
            UnverifiedRequest::Over(_) => Err((Disposition::Done, Outcome::Stale)),
            UnverifiedRequest::Contradicted(_) => Err(dead_letter(&error)),
        }
    }

    async fn take_share(
        &self,
        stack: &str,
        account: &str,
        receive_count: u32,
    ) -> Result<Share, OverShare> {
        let is_last = receive_count >= self.settings.max_receives;
        self.shares.take(stack, account, is_last).await
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
        share: &Share,
    ) -> End {
        let resource_properties = message
            .get("ResourceProperties")
            .cloned()
            .unwrap_or(Value::Null);
        let now = Utc::now();
        let timing = Timing::of(&coordinates, url, timestamp, now);
        if timing.deadline <= now {
            warn!(deadline = %timing.deadline, "the request is past its deadline: nothing is changed");
            self.metrics.stale_requests.inc();
            return (Disposition::Done, Outcome::Stale);
        }
        let last_chance = receive_count >= self.settings.max_receives;
        let response = match Request::read(coordinates.clone(), message, timing) {
            Ok(request) => {
                let mut decided = self.recent.find(&coordinates);
                if decided.is_none() {
                    let checked = self.check_request(&coordinates, receive_count, last_chance);
                    decided = match checked.await {
                        Ok(answer) => answer,
                        Err(end) => return end,
                    };
                }
                let decided = match decided {
                    Some(response) => Ok(response),
                    None => {
                        let patience = self.settings.patience;
                        persist(
                            &self.worker,
                            &request,
                            &resource_properties,
                            Delivery {
                                patience,
                                receive_count,
                                last_chance,
                                share,
                            },
                            &self.metrics,
                        )
                        .await
                    }
                };
                match decided {
                    Ok(response) => response,
                    Err(pause) => return give_back(pause),
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
                Response::new(&coordinates, &own_id(&coordinates), verdict)
            }
        };
        failpoint::at("before-answer");
        let response = self.recent.decide(&coordinates, response);
        let patience = if last_chance {
            LONGEST_WAIT
        } else {
            self.settings.patience
        };
        self.put(url, &response, timing.deadline, patience).await
    }

    /// Puts the answer, again where the service is busy, until the deadline; the margin behind it is for this. Before the
    /// last receive the message may also come again.
    async fn put(
        &self,
        url: &ResponseUrl,
        response: &Response,
        deadline: DateTime<Utc>,
        patience: Duration,
    ) -> End {
        let (status, reason) = (response.status(), response.reason());
        let now = Instant::now();
        let until = instant(deadline)
            .max(now + Duration::from_secs(5))
            .min(now + patience);
        let mut pauses = Retry::new(POLICY, until);
        loop {
            let error = match self.responder.put(url, response.text()).await {
                Ok(()) => {
                    failpoint::at("after-answer");
                    info!(
                        status,
                        reason,
                        physical_resource_id = response.physical_resource_id(),
                        "answered"
                    );
                    let outcome = if response.is_success() {
                        Outcome::Succeeded
                    } else {
                        Outcome::Failed
                    };
                    return (Disposition::Done, outcome);
                }
                Err(error) => error,
            };
            if matches!(error, ResponderError::Refused(_)) {
                error!(status, reason, %url, error = with_causes(&error), "the answer is lost");
                return (Disposition::Done, Outcome::Unanswered);
            }
            warn!(%url, error = with_causes(&error), "not answered yet");
            if !pauses.pause().await {
                return give_back(full_jitter(Duration::from_secs(30)));
            }
        }
    }
}

/// Longer with each receive: the twelve that a message has by default last for eight minutes without certificates.
fn unverified_pause(receive_count: u32) -> Duration {
    full_jitter(Duration::from_secs(15) * receive_count.min(20))
}

/// Short, and longer with each receive: the twelve that a message has by default last for some minutes.
fn over_share_pause(receive_count: u32) -> Duration {
    let longest = Duration::from_secs(4) * receive_count.min(15);
    longest / 2 + full_jitter(longest / 2)
}

fn give_back(pause: Duration) -> End {
    (Disposition::GiveBack(pause), Outcome::GivenBack)
}

/// SQS takes no control characters in an attribute, and people no novels.
fn dead_letter(error: &(dyn std::error::Error + 'static)) -> End {
    let reason = printable(&with_causes(error), MAX_REASON_CHARACTERS);
    (Disposition::DeadLetter(reason), Outcome::DeadLetter)
}
