//! One message from start to end: the only place that knows the order. Open, check where the answer goes, read, carry
//! out, answer; the caller acknowledges only then.

mod origin;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tracing::{Span, error, info, record_all, warn};

use crate::aws::put_response::{Responder, ResponderError};
use crate::aws::sqs::Message;
use crate::execution::Executor;
use crate::execution::delivery::{Delivery, DeliveryOutcome, run_delivery};
use crate::execution::fair_share::{OverShareError, Share, Shares};
use crate::execution::response_cache::ResponseCache;
use crate::metrics::{Metrics, Outcome};
use crate::process::error_chain::with_causes;
use crate::process::failpoint;
use crate::process::retry::{POLICY, Retry, full_jitter, instant};
use crate::request::text::printable;
use crate::request::{
    Envelope, HeaderError, Origin, Request, RequestHeader, RequestType, ResponseUrl,
    ResponseUrlError, Timing,
};
use crate::response::{Response, Verdict, unchanged_id};
use crate::resync::{Resync, ResyncOutcome, is_of_resync};
use crate::sns_signature::Signatures;
use crate::verification::Verification;
use crate::verification::topics::Topics;

/// CloudFormation waits no longer for any answer.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Whose share of the places re-syncs have.
const RESYNC: &str = "re-sync";

/// Of the reason why a message is in the dead-letter queue.
const MAX_REASON_CHARACTERS: usize = 1000;

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
    pub retry_budget: Duration,
    /// Messages that are worked on at the same time; 0: any number.
    pub places: usize,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// It was answered, or needs no answer: acknowledge it.
    Done,
    /// It cannot be processed now: return it to the queue, to come again after this long.
    ReturnToQueue(Duration),
    /// It can never be processed, and there is nowhere to respond to: to the dead-letter queue, with the reason.
    DeadLetter(String),
}

/// What becomes of a message, and what its handling is counted as.
type HandlingResult = (Disposition, Outcome);

/// Handles messages.
#[derive(Debug)]
pub struct Handler {
    settings: HandlerSettings,
    topics: Topics,
    served_topics: Vec<String>,
    signatures: Signatures,
    verification: Verification,
    executor: Executor,
    resync: Resync,
    responder: Responder,
    response_cache: ResponseCache,
    shares: Shares,
    metrics: Metrics,
}

impl Handler {
    /// A handler.
    pub fn new(
        settings: HandlerSettings,
        signatures: Signatures,
        verification: Verification,
        executor: Executor,
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
            executor,
            resync,
            responder,
            response_cache: ResponseCache::default(),
            metrics,
        }
    }

    /// Handles one message. Records the request's fields in the current span, which the consumer opens for each message.
    pub async fn handle(&self, message: &Message) -> Disposition {
        let handling = self.metrics.handling();
        let (disposition, outcome) = self.process(message).await;
        handling.ends(outcome);
        disposition
    }

    async fn process(&self, message: &Message) -> HandlingResult {
        let envelope = match Envelope::open(&message.body, &self.served_topics) {
            Ok(envelope) => envelope,
            Err(undeliverable) => return dead_letter(&undeliverable),
        };
        if let Err(end) = self.check_origin(message, &envelope).await {
            return end;
        }
        if is_of_resync(&envelope.message) {
            let Ok(_share) = self
                .acquire_share(RESYNC, RESYNC, message.receive_count)
                .await
            else {
                return return_to_queue(over_share_pause(message.receive_count));
            };
            return match self.resync.handle(&self.executor, envelope.message).await {
                ResyncOutcome::Done => (Disposition::Done, Outcome::Succeeded),
                ResyncOutcome::ReturnToQueue(pause) => return_to_queue(pause),
                ResyncOutcome::Invalid(error) => dead_letter(&error),
            };
        }
        let (header, url) = match self.read_header(&envelope) {
            Ok(answerable) => answerable,
            Err(unanswerable) => {
                // Forged, or a form of host that CloudFormation did not use before: then stacks would hang.
                if matches!(
                    unanswerable,
                    HeaderError::Url(ResponseUrlError::Host { .. })
                ) {
                    self.metrics.refused_response_hosts.inc();
                }
                return dead_letter(&unanswerable);
            }
        };
        record_all!(
            Span::current(),
            kind = header.request_type.as_str(),
            stack = header.stack_id.arn,
            resource = header.logical_resource_id,
            request = header.request_id,
        );
        // Before any slow work: a stack or account that has its share keeps no other waiting.
        let stack = &header.stack_id;
        let share = self.acquire_share(&stack.arn, &stack.account, message.receive_count);
        let Ok(share) = share.await else {
            info!("given back: the places of its stack or account are taken");
            return return_to_queue(over_share_pause(message.receive_count));
        };
        self.answer(
            header,
            &url,
            envelope.message,
            envelope.timestamp,
            message.receive_count,
            &share,
        )
        .await
    }

    async fn acquire_share(
        &self,
        stack: &str,
        account: &str,
        receive_count: u32,
    ) -> Result<Share, OverShareError> {
        let is_last = receive_count >= self.settings.max_receives;
        self.shares.acquire(stack, account, is_last).await
    }

    fn read_header(
        &self,
        envelope: &Envelope,
    ) -> Result<(RequestHeader, ResponseUrl), HeaderError> {
        let header = RequestHeader::read(&envelope.message)?;
        let account = &header.stack_id.account;
        if !self.settings.accounts.is_empty() && !self.settings.accounts.contains(account) {
            return Err(HeaderError::ForeignAccount(account.clone()));
        }
        let origin = self.settings.response_origin.as_ref();
        let url = ResponseUrl::check(&header, envelope.topic_arn.as_deref(), origin)?;
        Ok((header, url))
    }

    async fn answer(
        &self,
        header: RequestHeader,
        url: &ResponseUrl,
        message: Map<String, Value>,
        timestamp: Option<DateTime<Utc>>,
        receive_count: u32,
        share: &Share,
    ) -> HandlingResult {
        let resource_properties = message
            .get("ResourceProperties")
            .cloned()
            .unwrap_or(Value::Null);
        let now = Utc::now();
        let timing = Timing::of(&header, url, timestamp, now);
        if timing.deadline <= now {
            warn!(deadline = %timing.deadline, "the request is past its deadline: nothing is changed");
            self.metrics.stale_requests.inc();
            return (Disposition::Done, Outcome::Stale);
        }
        let is_final_receive = receive_count >= self.settings.max_receives;
        let response = match Request::read(header.clone(), message, timing) {
            Ok(request) => {
                let mut decided = self.response_cache.get(&header);
                if decided.is_none() {
                    let checked = self.check_request(&header, receive_count, is_final_receive);
                    decided = match checked.await {
                        Ok(answer) => answer,
                        Err(end) => return end,
                    };
                }
                match decided {
                    Some(response) => response,
                    None => {
                        let delivery = Delivery {
                            retry_budget: self.settings.retry_budget,
                            receive_count,
                            is_final_receive,
                            share,
                        };
                        let outcome = run_delivery(
                            &self.executor,
                            &request,
                            &resource_properties,
                            delivery,
                            &self.metrics,
                        );
                        match outcome.await {
                            DeliveryOutcome::Answer(response) => response,
                            DeliveryOutcome::ReturnToQueue(pause) => return return_to_queue(pause),
                        }
                    }
                }
            }
            Err(unusable) => {
                let verdict = match header.request_type {
                    // What cannot be understood was never created.
                    RequestType::Delete => Verdict::Success(BTreeMap::new()),
                    RequestType::Create | RequestType::Update | RequestType::Unknown(_) => {
                        Verdict::Failed(unusable.to_string())
                    }
                };
                Response::new(&header, &unchanged_id(&header), verdict)
            }
        };
        failpoint::at("before-answer");
        let response = self.response_cache.get_or_insert(&header, response);
        let retry_budget = if is_final_receive {
            LONGEST_WAIT
        } else {
            self.settings.retry_budget
        };
        self.put(url, &response, timing.deadline, retry_budget)
            .await
    }

    /// Puts the answer, again where the service is busy, until the deadline; the margin behind it is for this. Before the
    /// last receive the message may also come again.
    async fn put(
        &self,
        url: &ResponseUrl,
        response: &Response,
        deadline: DateTime<Utc>,
        retry_budget: Duration,
    ) -> HandlingResult {
        let (status, reason) = (response.status(), response.reason());
        let now = Instant::now();
        let until = instant(deadline)
            .max(now + Duration::from_secs(5))
            .min(now + retry_budget);
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
                return return_to_queue(full_jitter(Duration::from_secs(30)));
            }
        }
    }
}

/// Short, and longer with each receive: the twelve that a message has by default last for some minutes.
fn over_share_pause(receive_count: u32) -> Duration {
    let longest = Duration::from_secs(4) * receive_count.min(15);
    longest / 2 + full_jitter(longest / 2)
}

fn return_to_queue(pause: Duration) -> HandlingResult {
    (Disposition::ReturnToQueue(pause), Outcome::ReturnedToQueue)
}

/// SQS takes no control characters in an attribute, and people no novels.
fn dead_letter(error: &(dyn std::error::Error + 'static)) -> HandlingResult {
    let reason = printable(&with_causes(error), MAX_REASON_CHARACTERS);
    (Disposition::DeadLetter(reason), Outcome::DeadLetter)
}
