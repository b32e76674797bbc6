//! Others who change the same extensions at the same time.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Worker, World, connect};

#[tokio::test]
async fn stacks_that_want_the_same_at_the_same_time_all_get_it() {
    let world = World::new().await;
    let _workers = [Worker::start(&world, &[]), Worker::start(&world, &[])];
    let stacks: Vec<_> = (0..6)
        .map(|number| world.stack(&format!("s{number}")))
        .collect();
    let properties = json!({"DBSecret": world.secret, "Extensions": ["earthdistance", "hstore"]});
    let created = join_all(stacks.iter().map(|stack| stack.create(&properties, &[]))).await;
    for outcome in created {
        assert_eq!(outcome.status, "CREATE_COMPLETE", "{outcome:?}");
    }
    for status in join_all(stacks.iter().map(|stack| stack.delete())).await {
        assert_eq!(status, "DELETE_COMPLETE");
    }
    assert!(world.database.extensions().await.is_empty());
}

/// Eight sessions that know nothing of the worker's lock create, update and drop what it manages.
#[tokio::test]
async fn nobody_fails_for_a_race_with_sessions_that_do_not_take_the_lock() {
    const ROUNDS: usize = 25;
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let strangers = (0..8).map(|number| {
        let database = world.database.name.clone();
        async move {
            let client = connect(&database).await;
            for round in 0..ROUNDS {
                let statement = match (number + round) % 3 {
                    0 => "CREATE EXTENSION IF NOT EXISTS pg_trgm VERSION '1.5'",
                    1 => "ALTER EXTENSION pg_trgm UPDATE TO '1.6'",
                    _ => "DROP EXTENSION IF EXISTS pg_trgm",
                };
                // They race with each other too, and some of theirs fail.
                drop(client.batch_execute(statement).await);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let requests = async {
        let begun = Instant::now();
        let mut answered = 0;
        while answered < ROUNDS && begun.elapsed() < Duration::from_secs(30) {
            let version = if answered % 2 == 0 { "1.6" } else { "1.*" };
            let properties = json!({"DBSecret": world.secret, "ServiceTimeout": 60, "Extensions": [{"Name": "pg_trgm", "Version": version}]});
            let answer = world.create(properties).await;
            assert_eq!(answer["Status"], "SUCCESS", "{answer}");
            answered += 1;
        }
        assert_eq!(answered, ROUNDS);
    };
    futures_util::future::join(join_all(strangers), requests).await;
    let properties =
        json!({"DBSecret": world.secret, "Extensions": [{"Name": "pg_trgm", "Version": "1.6"}]});
    assert_eq!(world.create(properties).await["Data"]["pg_trgm"], "1.6");
}
