//! One command repairs the damaged ones of many databases of a server.

mod scene;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::scene::{Damage, Fleet};
use crate::support::{Action, HttpProxy, ResyncEvents, World, eventually};

/// Less than PostgreSQL leaves a transaction alone in which nothing happens, and more than a worker thinks.
const LONG: Duration = Duration::from_secs(5);

/// What the report is to say, whatever happened to workers: each database once, what can be repaired is, and the exit
/// code is that of the worst.
async fn assert_report(fleet: &Fleet<'_>, code: Option<i32>, report: &Value) {
    assert_eq!(code, Some(4));
    assert_eq!(report["Complete"], true);
    let results = report["Results"].as_array().unwrap();
    // And the database `postgres`.
    assert_eq!(results.len(), fleet.databases.len() + 1);
    let of = |database: &str| {
        let mut found = results.iter().filter(|one| one["Database"] == database);
        let result = found.next().unwrap();
        assert!(found.next().is_none(), "{database} has two results");
        result
    };
    assert_eq!(of("postgres")["State"], "Unmanaged");
    let damaged = fleet.damaged();
    for database in &fleet.databases {
        let result = of(database);
        let damage = damaged.iter().find(|(name, _)| name == database);
        let (state, changes) = match damage {
            None => ("InSync", 0),
            Some((_, damage)) if damage.can_be_repaired() => ("Repaired", 1),
            Some(_) => ("Failed", 0),
        };
        assert_eq!(result["State"], state, "{damage:?}: {result}");
        let count = result["Changes"].as_array().map_or(0, Vec::len);
        assert_eq!((count, fleet.ddl(database)), (changes, changes), "{result}");
    }
    for (database, damage) in damaged {
        let reason = of(database)["Reason"].as_str();
        match damage {
            Damage::Foreign => assert!(reason.unwrap().contains("stranger"), "{reason:?}"),
            Damage::Gone => assert!(reason.unwrap().contains("_gone"), "{reason:?}"),
            Damage::Dropped | Damage::Outdated | Damage::Moved => assert_eq!(reason, None),
        }
        let is_whole = damage != Damage::Gone;
        assert_eq!(fleet.is_whole(database).await, is_whole, "{damage:?}");
    }
}

#[tokio::test]
async fn one_command_repairs_what_can_be_and_reports_every_database() {
    let world = World::new().await;
    let fleet = Fleet::new(&world).await;
    let _worker = fleet.worker();
    let (ended, report) = fleet.repair().await;
    assert_report(&fleet, ended.code(), &report).await;
}

#[tokio::test]
async fn a_worker_that_is_killed_half_way_changes_nothing_of_the_end() {
    let world = World::new().await;
    let fleet = Fleet::new(&world).await;
    let mut first = fleet.worker();
    let locks = fleet.stop_half_way().await;
    let half = fleet.databases.len() / 2;
    let mut events = ResyncEvents::default();
    let killed = async {
        fleet.is_half_way().await;
        let is_half = |events: &ResyncEvents| events.count >= half;
        fleet.subscriber.receive_until(&mut events, is_half).await;
        first.signal("KILL");
        first.exit().await;
        drop(locks);
        fleet.worker()
    };
    let ((ended, report), _second) = tokio::join!(fleet.repair(), killed);
    assert_report(&fleet, ended.code(), &report).await;
    // The second worker began with the server's first database again, and the report is the same.
    let all = events.count + fleet.databases.len() + 1;
    let is_all = |events: &ResyncEvents| events.is_complete() && events.count >= all;
    fleet.subscriber.receive_until(&mut events, is_all).await;
    assert!(events.differing.is_empty(), "{:?}", events.differing);
}

#[tokio::test]
async fn no_session_is_open_while_sns_takes_no_results() {
    let world = World::new().await;
    let fleet = Fleet::new(&world).await;
    let sns = HttpProxy::start().await;
    sns.decide(|request| match request.contains("ResyncResult") {
        true => Action::Hang,
        false => Action::Forward,
    });
    let _worker = fleet.worker_with(("AWS_ENDPOINT_URL_SNS", &sns.endpoint()));
    let message = json!({
        "Type": "Resync", "ResyncId": "r", "Mode": "Report", "Targets": [{"SecretPrefix": fleet.prefix}],
    });
    world.publish_text(&message.to_string()).await;
    let any = || (sns.count("ResyncResult") > 0).then_some(());
    eventually("the first results", async || any()).await;
    let since = Instant::now();
    let idle = format!(
        "now() - state_change > '{} s' AND state LIKE 'idle%'",
        LONG.as_secs()
    );
    eventually("the end of the sessions", async || {
        let waiting = fleet.sessions(&idle).await;
        assert!(waiting.is_empty(), "{waiting:?}");
        let is_over = since.elapsed() > LONG * 3 / 2 && fleet.sessions("true").await.is_empty();
        is_over.then_some(())
    })
    .await;
}
