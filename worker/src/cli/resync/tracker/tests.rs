//! What a follower makes of events.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Progress, ResyncTracker};
use crate::cli::resync::tests::result;
use crate::resync_protocol::event::{DatabaseResult, Event, Mode, ServerEnd, State, TargetsPage};

fn page(page: u32, last: bool, servers: &[&str]) -> Event {
    Event::ResyncTargets(TargetsPage {
        resync_id: "id".to_owned(),
        mode: Mode::Report,
        page,
        last,
        servers: servers.iter().map(|key| (*key).to_owned()).collect(),
    })
}

fn end(key: &str, results: usize) -> Event {
    Event::ResyncServer(ServerEnd {
        resync_id: "id".to_owned(),
        mode: Mode::Report,
        key: key.to_owned(),
        results,
    })
}

fn found(key: &str, database: &str, state: State) -> Event {
    Event::ResyncResult(DatabaseResult {
        key: key.to_owned(),
        ..result(state, database)
    })
}

/// All events of a re-sync of three servers on two pages, none of which can be done without.
fn events() -> Vec<Event> {
    vec![
        page(0, false, &["a", "b"]),
        page(1, true, &["c"]),
        found("a", "one", State::InSync),
        found("a", "two", State::Drifted),
        found("b", "one", State::Failed),
        end("a", 2),
        end("b", 1),
        end("c", 0),
    ]
}

fn tracker(events: impl IntoIterator<Item = Event>) -> ResyncTracker {
    let mut tracker = ResyncTracker::new("id");
    for event in events {
        tracker.record(event);
    }
    tracker
}

proptest! {
    #[test]
    fn it_is_complete_with_the_last_event_that_is_new_whatever_the_order(
        order in Just((0..8).chain(0..8).collect::<Vec<usize>>()).prop_shuffle()
    ) {
        let events = events();
        let mut tracker = ResyncTracker::new("id");
        let mut seen = BTreeSet::new();
        for index in order {
            tracker.record(events[index].clone());
            seen.insert(index);
            prop_assert_eq!(tracker.is_complete(), seen.len() == events.len());
            prop_assert_eq!(tracker.missing().is_empty(), tracker.is_complete());
        }
        prop_assert_eq!(tracker.into_results().len(), 3);
    }
}

#[test]
fn the_first_result_of_a_database_counts() {
    let tracked = tracker([
        found("a", "one", State::Repaired),
        found("a", "one", State::InSync),
        found("b", "one", State::Drifted),
    ]);
    let states = [(State::Repaired, 1), (State::Drifted, 1)];
    assert_eq!(tracked.progress().results, states.into());
}

#[test]
fn another_re_sync_is_none_of_its_business() {
    let mut tracked = ResyncTracker::new("other");
    events().into_iter().for_each(|event| tracked.record(event));
    assert_eq!(tracked.progress(), Progress::default());
    assert!(!tracked.is_complete());
}

#[test]
fn an_empty_fleet_is_complete() {
    let tracked = tracker([page(0, true, &[])]);
    assert!(tracked.is_complete());
    assert!(tracked.into_results().is_empty());
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(
        ResyncTracker::new("id").missing(),
        ["no worker has said yet which servers these are"]
    );
    let tracked = tracker([
        page(2, true, &["a", "b"]),
        page(0, false, &["c"]),
        end("a", 2),
    ]);
    assert_eq!(
        tracked.missing(),
        [
            "page 1 of the servers, of 0 to 2",
            "a: 0 of 2 results are there",
            "b: not finished, 0 results are there",
            "c: not finished, 0 results are there",
        ]
    );
    let many = ["a", "b", "c", "d", "e", "f", "g"];
    let missing = tracker([page(0, false, &many)]).missing();
    assert_eq!(missing.len(), 7);
    assert_eq!(missing[0], "further servers: not all of them are known yet");
    assert_eq!(missing[6], "2 more servers");
}
