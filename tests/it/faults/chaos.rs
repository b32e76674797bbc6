//! Many requests, three workers, and one of these killed every two seconds.

use std::collections::HashSet;
use std::io::Write as _;
use std::time::{Duration, Instant};

use chrono::Utc;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{
    CloudFormationRequest, Database, Fixture, ResponseBucket, Worker, World, connect,
};

/// In `make test`; `make chaos` says how many it wants with `CHAOS_REQUESTS`.
const REQUESTS: usize = 400;
const DATABASES: usize = 20;
const WORKERS: usize = 3;
const KILL_EVERY: Duration = Duration::from_secs(2);
/// The topic that the requests' envelopes name.
const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:extension-worker";
/// Bounded, not timed: a machine that is busy takes longer.
const LONGEST: Duration = Duration::from_secs(1200);

// 37
#[tokio::test]
async fn every_request_is_answered_in_one_way_and_executed_once_whichever_worker_is_killed() {
    #[allow(
        clippy::disallowed_methods,
        reason = "make sets the number of requests"
    )]
    let requested = std::env::var("CHAOS_REQUESTS").ok();
    let count = requested.map_or(REQUESTS, |count| count.parse().unwrap());
    let world = World::new().await;
    let answers = ResponseBucket::start().await;
    let databases = join_all(
        (0..DATABASES)
            .map(async |number| Database::create(&format!("{}_{number}", world.name)).await),
    )
    .await;
    let extensions: Vec<Fixture> = (0..count.div_ceil(DATABASES))
        .map(|number| {
            Fixture::install(
                &format!("{}_x{number}", world.name),
                "default_version = '1'\n",
                &[("1", "SELECT 1;")],
            )
        })
        .collect();
    let requests: Vec<CloudFormationRequest> = (0..count)
        .map(|number| {
            let stack = format!(
                "arn:aws:cloudformation:us-east-1:000000000000:stack/{}/{number}",
                world.name
            );
            let properties = json!({
                "DBSecret": world.secret,
                "DBName": databases[number % DATABASES].name,
                "Extensions": [extensions[number / DATABASES].name],
            });
            let resource = (stack.as_str(), "Extensions");
            let id = number.to_string();
            CloudFormationRequest::new(&answers, resource, &id, "Create", properties, Utc::now())
        })
        .collect();
    for batch in requests.chunks(10) {
        world
            .send_raw_batch(batch.iter().map(CloudFormationRequest::body).collect())
            .await;
    }

    let origin = answers.origin();
    let settings = [
        ("WORKER_RESPONSE_ORIGIN", origin.as_str()),
        ("WORKER_TOPIC_ARNS", TOPIC),
        ("WORKER_VISIBILITY_SECONDS", "10"),
        ("WORKER_CONNECTIONS", "40"),
    ];
    let start = || Worker::start(&world, &settings);
    let mut workers: Vec<Worker> = (0..WORKERS).map(|_| start()).collect();
    let begun = Instant::now();
    let (mut kills, mut longest) = (0, Duration::ZERO);
    let mut waiting: Vec<&CloudFormationRequest> = requests.iter().collect();
    let mut killed = Instant::now();
    while !waiting.is_empty() {
        assert!(begun.elapsed() < LONGEST, "{} not answered", waiting.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = waiting.len();
        waiting.retain(|request| answers.of(&request.key).is_empty());
        if waiting.len() < before {
            longest = begun.elapsed();
        }
        if killed.elapsed() >= KILL_EVERY && !waiting.is_empty() {
            let worker = &mut workers[kills % WORKERS];
            worker.signal("KILL");
            worker.exit().await;
            *worker = start();
            kills += 1;
            killed = Instant::now();
        }
    }
    // What is in the queue yet was answered already, and is answered again.
    crate::support::eventually("the empty queue", async || {
        (world.depths().await == (0, 0)).then_some(())
    })
    .await;

    let (mut answered, mut differently) = (0, 0);
    for request in &requests {
        let all: HashSet<String> = answers.of(&request.key).into_iter().collect();
        assert!(
            all.iter().all(|answer| answer.contains("\"SUCCESS\"")),
            "{all:?}"
        );
        answered += usize::from(!all.is_empty());
        differently += usize::from(all.len() > 1);
    }
    // What was committed; the server's log has the statements too that went with a worker.
    let (mut ddl, mut rows, mut statements) = (0, 0, 0);
    for database in &databases {
        statements += database.ddl().len();
        let text =
            "SELECT count(*), sum(jsonb_array_length(data -> 'outcome' -> 'changes'))::bigint
                    FROM extension_worker.ledger WHERE kind = 'request'";
        let row = connect(&database.name)
            .await
            .query_one(text, &[])
            .await
            .unwrap();
        rows += row.get::<_, i64>(0);
        ddl += row.get::<_, i64>(1);
    }
    let mut output = std::io::stderr();
    writeln!(
        output,
        "chaos: requests {count}, answered {answered}, answered twice differently {differently}, DDL per ledger row \
         {} ({statements} statements, with those of killed transactions), queue 0, DLQ 0, kills {kills}, longest wait {:.1} s",
        ddl as f64 / rows as f64,
        longest.as_secs_f64()
    )
    .unwrap();
    assert_eq!((answered, differently), (count, 0));
    let expected = i64::try_from(count).unwrap();
    assert_eq!((ddl, rows), (expected, expected));
}
