//! The rule by which the proxy hands out messages, as it is documented.

use std::time::{Duration, Instant};

use crate::fair_queue::backlog::{Backlog, Order, Tenant};

fn group(name: &str) -> Tenant {
    Tenant::Group(name.to_owned())
}

fn single(id: usize) -> Tenant {
    Tenant::Message(id.to_string())
}

/// Messages of a tenant that are taken at once, as those that are in flight since.
fn in_flight(backlog: &mut Backlog<&'static str>, tenant: &Tenant, count: usize, now: Instant) {
    for index in 0..count {
        let handle = format!("{tenant:?}{index}");
        backlog.register(handle, tenant.clone(), now, now + Duration::from_secs(600));
    }
}

fn order(backlog: &mut Backlog<&'static str>, now: Instant) -> Vec<&'static str> {
    let taken = backlog.take(10, now).into_iter();
    taken.map(|(_, message)| message).collect()
}

#[test]
fn a_tenant_with_thirty_messages_and_a_tenth_in_flight_is_served_last() {
    for (count, expected) in [(29, ["many", "few"]), (30, ["few", "many"])] {
        let (mut backlog, now) = (Backlog::new(Order::Fair), Instant::now());
        in_flight(&mut backlog, &group("many"), count, now);
        backlog.arrive(group("many"), "many", now);
        backlog.arrive(single(1), "few", now);
        assert_eq!(order(&mut backlog, now), expected, "{count}");
    }
}

#[test]
fn a_tenant_with_a_tenth_of_the_processing_time_is_served_last_until_its_backlog_is_over() {
    let (mut backlog, begun) = (Backlog::new(Order::Fair), Instant::now());
    in_flight(&mut backlog, &group("slow"), 1, begun);
    let now = begun + Duration::from_secs(1);
    backlog.arrive(group("slow"), "slow", now);
    backlog.arrive(single(1), "other", now);
    assert!(backlog.is_noisy("slow", now));
    assert_eq!(order(&mut backlog, now), ["other", "slow"]);
    assert!(!backlog.is_noisy("slow", now));
}

#[test]
fn of_noisy_tenants_the_one_with_fewer_messages_in_flight_goes_first() {
    let (mut backlog, now) = (Backlog::new(Order::Fair), Instant::now());
    in_flight(&mut backlog, &group("most"), 60, now);
    in_flight(&mut backlog, &group("more"), 40, now);
    backlog.arrive(group("most"), "most", now);
    backlog.arrive(group("more"), "more", now);
    assert_eq!(order(&mut backlog, now), ["more", "most"]);
}

#[test]
fn messages_without_a_group_are_tenants_of_their_own() {
    let (mut backlog, now) = (Backlog::new(Order::Fair), Instant::now());
    for id in 0..100 {
        in_flight(&mut backlog, &single(id), 1, now);
    }
    backlog.arrive(single(100), "first", now);
    backlog.arrive(single(101), "second", now);
    assert_eq!(order(&mut backlog, now), ["first", "second"]);
}

#[test]
fn what_is_visible_again_is_not_in_flight() {
    let (mut backlog, now) = (Backlog::new(Order::Fair), Instant::now());
    in_flight(&mut backlog, &group("many"), 30, now);
    for index in 0..30 {
        let handle = format!("{:?}{index}", group("many"));
        backlog.change(&handle, now, now);
    }
    backlog.arrive(group("many"), "many", now);
    backlog.arrive(single(1), "few", now);
    assert_eq!(order(&mut backlog, now), ["many", "few"]);
}
