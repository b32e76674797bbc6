//! One message from receipt to response, and the only place that knows the order: open the envelope, check the origin and
//! the ResponseURL, parse, carry out, respond. The caller acknowledges the message only after that.

mod answer;
mod origin;

use std::time::Duration;

use tracing::{Span, info, record_all};

use crate::aws::put_response::Responder;
use crate::aws::sqs::Message;
use crate::execution::Executor;
use crate::execution::delivery::Delivery;
use crate::execution::fair_share::{OverShareError, Share, Shares};
use crate::execution::response_cache::ResponseCache;
use crate::metrics::{Metrics, Outcome};
use crate::process::error_chain::with_causes;
use crate::process::retry::full_jitter;
use crate::request::text::printable;
use crate::request::{Envelope, HeaderError, Origin, RequestHeader, ResponseUrl, ResponseUrlError};
use crate::resync::{Resync, ResyncOutcome, is_of_resync};
use crate::sns_signature::Signatures;
use crate::verification::Verification;
use crate::verification::topics::Topics;

/// The stack and account that own the share of re-syncs.
const RESYNC: &str = "re-sync";

/// Maximum length of the reason in the dead-letter queue.
const MAX_REASON_CHARACTERS: usize = 1000;

/// The handler's settings.
#[derive(Debug, Clone, Default)]
pub struct HandlerSettings {
    /// The topics whose messages are accepted; empty: any.
    pub topics: Vec<String>,
    /// The topics that re-syncs may arrive by; empty: the same.
    pub resync_topics: Vec<String>,
    /// The accounts whose stacks are accepted; empty: any.
    pub accounts: Vec<String>,
    /// One more origin that responses may be sent to, beside CloudFormation's.
    pub response_origin: Option<Origin>,
    /// The receive at which a request is answered, with FAILED if need be: the redrive policy's `maxReceiveCount`.
    pub max_receives: u32,
    /// How long a request is retried before its message is returned to the queue, so that a server that is down does not
    /// hold all permits; also how long a refused password is retried, because a rotation changes the database before the
    /// secret.
    pub retry_budget: Duration,
    /// Messages that are processed at the same time; 0: any number.
    pub concurrency: usize,
}

/// How a message ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// It was answered, or needs no response: acknowledge it.
    Done,
    /// It cannot be processed now: return it to the queue, invisible for this time.
    ReturnToQueue(Duration),
    /// It can never be processed, and has no ResponseURL: move it to the dead-letter queue, with the reason.
    DeadLetter(String),
}

/// How a message ends, and the outcome in the metrics.
type HandlingResult = (Disposition, Outcome);

/// Processes messages.
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
    /// Makes a handler.
    pub fn new(
        settings: HandlerSettings,
        signatures: Signatures,
        verification: Verification,
        executor: Executor,
        resync: Resync,
        responder: Responder,
        metrics: Metrics,
    ) -> Self {
        let permits = match settings.concurrency {
            0 => usize::MAX,
            permits => permits,
        };
        let topics = Topics {
            stacks: settings.topics.clone(),
            resyncs: settings.resync_topics.clone(),
        };
        Self {
            settings,
            shares: Shares::new(permits),
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

    /// Processes one message. Records the request's fields in the current span, which the consumer opens for each message.
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
                // The request is forged, or CloudFormation uses a new form of host name, and stacks would wait for their
                // timeouts.
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
        // Before any slow work, so that a stack or account that exceeds its share does not delay others.
        let stack = &header.stack_id;
        let share = self.acquire_share(&stack.arn, &stack.account, message.receive_count);
        let Ok(share) = share.await else {
            info!("given back: its stack or account has its share of the concurrency already");
            return return_to_queue(over_share_pause(message.receive_count));
        };
        let delivery = Delivery {
            retry_budget: self.settings.retry_budget,
            receive_count: message.receive_count,
            is_final_receive: self.is_final_receive(message.receive_count),
            share: &share,
        };
        let timestamp = envelope.timestamp;
        let answer = self.answer(header, &url, envelope.message, timestamp, delivery);
        self.executor.background.prefer(answer).await
    }

    async fn acquire_share(
        &self,
        stack: &str,
        account: &str,
        receive_count: u32,
    ) -> Result<Share, OverShareError> {
        let is_last = self.is_final_receive(receive_count);
        self.shares.acquire(stack, account, is_last).await
    }

    fn is_final_receive(&self, receive_count: u32) -> bool {
        receive_count >= self.settings.max_receives
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
}

/// The first pauses are short and grow with each receive: the twelve receives of the default last for some minutes.
fn over_share_pause(receive_count: u32) -> Duration {
    let longest = Duration::from_secs(4) * receive_count.min(15);
    longest / 2 + full_jitter(longest / 2)
}

fn return_to_queue(pause: Duration) -> HandlingResult {
    (Disposition::ReturnToQueue(pause), Outcome::ReturnedToQueue)
}

/// SQS accepts no control characters in an attribute, and a long text helps no reader.
fn dead_letter(error: &(dyn std::error::Error + 'static)) -> HandlingResult {
    let reason = printable(&with_causes(error), MAX_REASON_CHARACTERS);
    (Disposition::DeadLetter(reason), Outcome::DeadLetter)
}
