//! Which messages a fair queue hands out next.
//!
//! Source: "How Amazon SQS fair queues work" in the SQS Developer Guide.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

/// Of the messages in flight, or of the processing time: a tenant with more is noisy.
const SHARE: f64 = 0.1;
/// A tenant with fewer messages in flight is not noisy by their share.
const ENOUGH_IN_FLIGHT: usize = 30;
/// What processing time is recent: the guide gives no number.
const RECENT: Duration = Duration::from_secs(60);
/// A tenant that sends nothing for so long is quiet.
const SILENCE: Duration = Duration::from_secs(300);

/// The order in which messages are handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Those of quiet tenants first.
    Fair,
    /// Only as they arrived.
    #[allow(dead_code, reason = "the bench alone compares the two")]
    Arrival,
}

/// A message without a group is a tenant of its own, by its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Tenant {
    Group(String),
    Message(String),
}

/// The messages of a queue that can be received, and those in flight.
#[derive(Debug)]
pub(crate) struct Backlog<M> {
    order: Order,
    /// As they arrived.
    waiting: VecDeque<(Tenant, M)>,
    /// By receipt handle.
    in_flight: HashMap<String, InFlight>,
    processed: VecDeque<Processed>,
    last_sent: HashMap<Tenant, Instant>,
    noisy: HashSet<Tenant>,
}

#[derive(Debug)]
struct InFlight {
    tenant: Tenant,
    since: Instant,
    /// When the message is visible again.
    until: Instant,
}

/// The processing of a message that is no longer in flight.
#[derive(Debug)]
struct Processed {
    tenant: Tenant,
    since: Instant,
    ended: Instant,
}

impl<M> Backlog<M> {
    pub(crate) fn new(order: Order) -> Self {
        Self {
            order,
            waiting: VecDeque::new(),
            in_flight: HashMap::new(),
            processed: VecDeque::new(),
            last_sent: HashMap::new(),
            noisy: HashSet::new(),
        }
    }

    pub(crate) fn arrive(&mut self, tenant: Tenant, message: M, now: Instant) {
        self.last_sent.insert(tenant.clone(), now);
        self.waiting.push_back((tenant, message));
    }

    /// How many can be received.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The next messages, at most `count`, with what is to be registered of each by [`Self::register`].
    pub(crate) fn take(&mut self, count: usize, now: Instant) -> Vec<(Tenant, M)> {
        self.expire(now);
        if self.order == Order::Arrival {
            return self
                .waiting
                .drain(..count.min(self.waiting.len()))
                .collect();
        }
        self.detect(now);
        let mut taken: Vec<(Tenant, M)> = Vec::new();
        while taken.len() < count
            && let Some(index) = self.next(&taken)
        {
            taken.extend(self.waiting.remove(index));
        }
        taken
    }

    /// A message is in flight from now on.
    pub(crate) fn register(
        &mut self,
        handle: String,
        tenant: Tenant,
        now: Instant,
        until: Instant,
    ) {
        let since = now;
        let message = InFlight {
            tenant,
            since,
            until,
        };
        self.in_flight.insert(handle, message);
    }

    /// A message was deleted, or its visibility changed: with an end that is past it is no longer in flight.
    pub(crate) fn change(&mut self, handle: &str, until: Instant, now: Instant) {
        if let Some(message) = self.in_flight.get_mut(handle) {
            message.until = until;
        }
        self.expire(now);
    }

    /// Whether messages of a group are handed out last.
    #[allow(dead_code, reason = "the bench does not ask")]
    pub(crate) fn is_noisy(&mut self, group: &str, now: Instant) -> bool {
        self.detect(now);
        self.noisy.contains(&Tenant::Group(group.to_owned()))
    }

    /// The first of a quiet tenant; otherwise that of the noisy tenant with the fewest in flight.
    fn next(&self, taken: &[(Tenant, M)]) -> Option<usize> {
        let is_quiet = |(tenant, _): &(Tenant, M)| !self.noisy.contains(tenant);
        if let Some(index) = self.waiting.iter().position(is_quiet) {
            return Some(index);
        }
        let in_flight = |tenant: &Tenant| {
            let before = self.in_flight.values().filter(|one| one.tenant == *tenant);
            before.count() + taken.iter().filter(|(one, _)| one == tenant).count()
        };
        let counts: HashMap<&Tenant, usize> = self
            .noisy
            .iter()
            .map(|tenant| (tenant, in_flight(tenant)))
            .collect();
        let indexed = self.waiting.iter().enumerate();
        let least = indexed.min_by_key(|(_, (tenant, _))| counts.get(tenant));
        least.map(|(index, _)| index)
    }

    /// Marks the tenants that are noisy, and those that are no longer.
    fn detect(&mut self, now: Instant) {
        let waiting: HashSet<&Tenant> = self.waiting.iter().map(|(tenant, _)| tenant).collect();
        let last_sent = &self.last_sent;
        self.noisy.retain(|tenant| {
            waiting.contains(tenant) && last_sent.get(tenant).is_some_and(|at| now - *at < SILENCE)
        });
        let mut in_flight: HashMap<&Tenant, usize> = HashMap::new();
        let mut time: HashMap<&Tenant, Duration> = HashMap::new();
        let from = now.checked_sub(RECENT);
        let recent = |since: Instant, ended: Instant| {
            let since = from.map_or(since, |from| since.max(from));
            ended.saturating_duration_since(since)
        };
        for one in self.in_flight.values() {
            *in_flight.entry(&one.tenant).or_default() += 1;
            *time.entry(&one.tenant).or_default() += recent(one.since, now);
        }
        for one in &self.processed {
            *time.entry(&one.tenant).or_default() += recent(one.since, one.ended);
        }
        let all_time: Duration = time.values().sum();
        let all_in_flight = self.in_flight.len() as f64;
        let is_noisy = |tenant: &Tenant| {
            let own = in_flight.get(tenant).copied().unwrap_or(0);
            let own_time = time.get(tenant).copied().unwrap_or_default();
            own >= ENOUGH_IN_FLIGHT && own as f64 > all_in_flight * SHARE
                || own_time.as_secs_f64() > all_time.as_secs_f64() * SHARE
        };
        let found = waiting.into_iter().filter(|tenant| is_noisy(tenant));
        self.noisy.extend(found.cloned().collect::<Vec<_>>());
    }

    /// Ends what is visible again, and forgets what is no longer recent.
    fn expire(&mut self, now: Instant) {
        let ended = self.in_flight.extract_if(|_, one| one.until <= now);
        self.processed.extend(ended.map(|(_, one)| Processed {
            tenant: one.tenant,
            since: one.since,
            ended: one.until.min(now),
        }));
        self.processed.retain(|one| now - one.ended < RECENT);
        self.last_sent.retain(|_, at| now - *at < SILENCE);
    }
}
