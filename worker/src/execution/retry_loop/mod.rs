//! Works on a request until it is answered, or for as long as one message may take: what each failure of an attempt says
//! of the next one.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::Value;
use tracing::{info, warn};

use super::error::Trouble;
use super::fair_share::Share;
use super::{AttemptEnd, Progress, Work, Worker};
use crate::ledger::ResourceKey;
use crate::metrics::Metrics;
use crate::postgres_error::Class;
use crate::process::retry::{POLICY, Retry, full_jitter, instant};
use crate::request::{Coordinates, OnUnreachableDelete, Operation, Properties, Request};
use crate::response::{Response, Verdict, own_id, reason, was_never_created};

/// The longest that a message then waits.
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// How long after its publication a Delete waits for a server that does not answer: it may be gone for good.
const DELETE_PATIENCE: Duration = Duration::from_secs(300);
/// How long it may take to keep a failure, where the deadline leaves so much.
const KEEP_TIMEOUT: Duration = Duration::from_secs(15);
/// How often in a row somebody else may be faster, and for how long at the least: on a busy machine each look takes
/// longer, and is overtaken more often. A race is over after one more look; what goes on for both is none.
const RACES: u32 = 30;
const RACE_TIME: Duration = Duration::from_secs(15);
/// How long at the most to wait before that look: nobody is overloaded.
pub const RACE_PAUSE: Duration = Duration::from_millis(200);

/// How long a server that this process never reached has for a connection, before the message goes back to the queue.
const FIRST_ATTEMPT: Duration = Duration::from_secs(3);
/// How often it is looked whether it was reached.
const LOOK: Duration = Duration::from_millis(250);
/// The bound of the first pause in the queue after that; doubled with each receive up to [`MAX_PAUSE`].
const UNREACHED_PAUSE: Duration = Duration::from_secs(2);
/// With less than this left until the deadline, a message does not go back for it: it might come too late.
const TIME_TO_COME_AGAIN: Duration = Duration::from_secs(30);

/// What one delivery of a message may take.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// How long it is worked on, where trying again may help.
    pub patience: Duration,
    /// How often the message was delivered.
    pub receive_count: u32,
    /// Whether there is no later delivery.
    pub last_chance: bool,
    /// Its place.
    pub share: &'a Share,
}

/// Why a message goes back before its time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// The server was never reached, and does not answer now.
    Unreached,
    /// Its place is wanted by another whose share is not taken.
    Wanted,
}

/// Works on a request until it is answered, or for as long as one message may take: `patience`.
///
/// # Errors
/// How long the message is to wait in the queue before it comes again.
pub async fn persist(
    worker: &Worker,
    request: &Request,
    resource_properties: &Value,
    delivery: Delivery<'_>,
    metrics: &Metrics,
) -> Result<Response, Duration> {
    let last_chance = delivery.last_chance;
    let coordinates = &request.coordinates;
    let resource = ResourceKey::of(coordinates);
    let (properties, old) = match &request.operation {
        Operation::Create(properties) | Operation::Delete(Ok(properties)) => (properties, None),
        Operation::Update { new, old } => (new, old.as_ref()),
        Operation::Delete(Err(invalid)) => {
            warn!(%invalid, "the properties of the deleted resource cannot be used: there is nothing to delete");
            return Ok(nothing_to_delete(coordinates));
        }
    };
    let deleted = matches!(request.operation, Operation::Delete(_));
    let last_moment = instant(request.deadline);
    let patience = last_moment.min(Instant::now() + delivery.patience);
    let unreachable_until = deleted.then(|| instant(request.published_at) + DELETE_PATIENCE);
    let progress = Progress::new(last_chance);
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
        coordinates: Some(coordinates),
        progress: &progress,
    };
    let mut attempts = Attempts::default();
    let mut pauses = Retry::new(POLICY, patience);
    let may_come_again = |now: Instant| {
        !last_chance && last_moment.saturating_duration_since(now) > TIME_TO_COME_AGAIN
    };
    let mut unreached = pin!(never_reached(worker, &progress));
    let mut cut = None;
    let out_of_time = loop {
        if let Some(last) = &attempts.last {
            metrics.retries.inc(&last.code);
        }
        // The statements' own timeouts end an attempt in time; this is for a peer that is silent.
        let attempt = tokio::time::timeout_at(last_moment.into(), worker.attempt(&work));
        let ended = tokio::select! {
            ended = attempt => ended,
            () = &mut unreached, if may_come_again(Instant::now()) => {
                cut = Some(Cut::Unreached);
                break true;
            }
        };
        match ended {
            Ok(Ok(AttemptEnd::Answered(response))) => {
                progress.note(true);
                return Ok(response);
            }
            // Whoever gives the coordinates is given an answer.
            Ok(Ok(AttemptEnd::Done(..))) => break true,
            Ok(Err(trouble)) => {
                info!(reason = trouble.in_full(), "the attempt failed");
                let crowded = trouble.crowded;
                if !crowded {
                    progress.note(!trouble.failing);
                }
                if attempts.note(trouble, unreachable_until) == Next::Never {
                    break false;
                }
                if crowded {
                    break true;
                }
                if attempts.is_in_a_race() && Instant::now() < patience {
                    tokio::time::sleep(full_jitter(RACE_PAUSE)).await;
                    continue;
                }
            }
            Err(_) => break true,
        }
        let may_cut = may_come_again(Instant::now());
        tokio::select! {
            is_left = pauses.pause() => if !is_left { break true },
            () = &mut unreached, if may_cut => cut = Some(Cut::Unreached),
            () = delivery.share.wanted(), if may_cut => cut = Some(Cut::Wanted),
        }
        if cut.is_some() {
            break true;
        }
    };
    if let Some(cut) = cut {
        progress.note(false);
        let left = last_moment.saturating_duration_since(Instant::now());
        let pause = pause_after(cut, delivery.receive_count).min(left / 3);
        let reason = attempts.into_trouble(progress.waited_for()).reason;
        info!(
            reason,
            ?cut,
            ?pause,
            "given back, so that others have its place"
        );
        return Err(pause);
    }
    let trouble = attempts.into_trouble(progress.waited_for());
    let left = last_moment.saturating_duration_since(Instant::now());
    let may_wait = out_of_time
        && patience < last_moment
        && !last_chance
        && trouble.class != Class::Credentials;
    if may_wait {
        let pause = full_jitter(MAX_PAUSE.min(left / 2));
        warn!(
            reason = trouble.in_full(),
            ?pause,
            "given back, to be tried again"
        );
        return Err(pause);
    }
    let reason = match why_failed(request, properties, &trouble, out_of_time) {
        Ok(reason) => reason,
        Err(why) => {
            let why = reason::of_left_behind(&why);
            return Ok(Response::deleted_but(
                coordinates,
                &own_id(coordinates),
                why,
            ));
        }
    };
    let failed = Response::new(coordinates, &own_id(coordinates), Verdict::Failed(reason));
    Ok(keep(worker, &work, &trouble, failed).await)
}

/// Returns when the server that an attempt turned to was never reached, and is not for [`FIRST_ATTEMPT`]; never for one
/// that was.
async fn never_reached(worker: &Worker, progress: &Progress) {
    let mut since = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(address) = progress.address() else {
            continue;
        };
        if worker.has_reached(&address) {
            return std::future::pending().await;
        }
        if since.get_or_insert_with(Instant::now).elapsed() >= FIRST_ATTEMPT - LOOK {
            return;
        }
    }
}

/// How long the message waits in the queue.
fn pause_after(cut: Cut, receive_count: u32) -> Duration {
    let longest = match cut {
        Cut::Unreached => UNREACHED_PAUSE * 2_u32.saturating_pow(receive_count.min(10)),
        Cut::Wanted => UNREACHED_PAUSE * receive_count.min(15),
    };
    let longest = longest.min(MAX_PAUSE);
    longest / 2 + full_jitter(longest / 2)
}

fn nothing_to_delete(coordinates: &Coordinates) -> Response {
    Response::new(
        coordinates,
        &own_id(coordinates),
        Verdict::Success(BTreeMap::new()),
    )
}

/// A request that failed must not succeed when it comes again. Past its deadline nothing is tried again in any case.
async fn keep(worker: &Worker, work: &Work<'_>, trouble: &Trouble, failed: Response) -> Response {
    let is_unreachable = trouble.unreachable || trouble.class == Class::Credentials;
    if is_unreachable || work.properties.dry_run || Instant::now() >= work.until {
        return failed;
    }
    let until = work.until.min(Instant::now() + KEEP_TIMEOUT);
    let work = Work { until, ..*work };
    match tokio::time::timeout_at(until.into(), worker.keep_failure(&work, &failed)).await {
        Ok(Ok(kept)) => kept,
        Ok(Err(trouble)) => {
            info!(
                reason = trouble.in_full(),
                "the failure is not in the ledger"
            );
            failed
        }
        Err(_) => {
            info!("the failure is not in the ledger: no answer in time");
            failed
        }
    }
}

/// The attempts at one delivery of a request.
#[derive(Debug, Default)]
pub struct Attempts {
    last: Option<Trouble>,
    /// Failures of the last one's class without another between them, and when the first of these was.
    in_a_row: u32,
    since: Option<Instant>,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again.
    Again,
    /// Trying again never helps.
    Never,
}

impl Attempts {
    /// Notes a failure, and says what is next. A server that no connection could be made to until `unreachable_until` is
    /// taken for gone.
    pub fn note(&mut self, trouble: Trouble, unreachable_until: Option<Instant>) -> Next {
        let same = self
            .last
            .as_ref()
            .is_some_and(|last| last.class == trouble.class);
        self.in_a_row = if same { self.in_a_row + 1 } else { 1 };
        let since = self.since.filter(|_| same).unwrap_or_else(Instant::now);
        self.since = Some(since);
        let next = match trouble.class {
            Class::Transient if trouble.unreachable => match unreachable_until {
                Some(until) if Instant::now() >= until => Next::Never,
                Some(_) | None => Next::Again,
            },
            Class::Transient | Class::Credentials => Next::Again,
            Class::Race if self.in_a_row < RACES || since.elapsed() < RACE_TIME => Next::Again,
            Class::TransientAtMost(times) if self.in_a_row <= times => Next::Again,
            Class::Race
            | Class::TransientAtMost(_)
            | Class::Permanent
            | Class::Prerequisite(_)
            | Class::ClosedDatabase
            | Class::NoDatabase => Next::Never,
        };
        self.last = Some(trouble);
        next
    }

    /// Whether somebody else was faster just now.
    pub fn is_in_a_race(&self) -> bool {
        self.last
            .as_ref()
            .is_some_and(|last| last.class == Class::Race)
    }

    /// What went wrong last; an attempt that time ended knows less of it than the one before.
    pub fn into_trouble(self, waiting: Option<String>) -> Trouble {
        self.last
            .unwrap_or_else(|| Trouble::out_of_time(waiting.as_deref()))
    }
}

/// The Reason.
///
/// # Errors
/// Where a Delete has nothing that it could delete: why.
fn why_failed(
    request: &Request,
    properties: &Properties,
    trouble: &Trouble,
    out_of_time: bool,
) -> Result<String, String> {
    let mut reason = trouble.reason.clone();
    if out_of_time {
        let waited = (Utc::now() - request.published_at).num_seconds();
        reason = format!("{reason} Gave up after {waited} s.");
    }
    if !matches!(request.operation, Operation::Delete(_)) {
        return Ok(reason);
    }
    let unreachable_is_gone =
        trouble.unreachable && properties.on_unreachable_delete == OnUnreachableDelete::Succeed;
    // What failed for good when it was to be created left nothing behind.
    let never_was = was_never_created(&request.coordinates)
        && !trouble.in_step
        && matches!(
            trouble.class,
            Class::Permanent
                | Class::Prerequisite(_)
                | Class::ClosedDatabase
                | Class::Credentials
                // A replica, most likely.
                | Class::TransientAtMost(_)
        );
    if trouble.gone || unreachable_is_gone || never_was {
        warn!(
            reason,
            "what the resource managed is gone, cannot be reached, or never was: it counts as deleted"
        );
        return Err(reason);
    }
    Ok(reason)
}

#[cfg(test)]
mod tests;
