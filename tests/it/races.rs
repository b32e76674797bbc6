//! Other sessions that change the same extensions at the same time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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

/// Eight sessions that know nothing of the worker's lock create, update and drop what it manages, all the time.
#[tokio::test]
async fn no_request_fails_for_a_race_with_sessions_that_do_not_take_the_lock() {
    const REQUESTS: usize = 25;
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let done = AtomicBool::new(false);
    let strangers = (0..8).map(|number| {
        let (database, done) = (&world.database.name, &done);
        async move {
            let client = connect(database).await;
            let mut statements = 0;
            while !done.load(Ordering::Relaxed) {
                let statement = match (number + statements) % 4 {
                    0 => "CREATE EXTENSION IF NOT EXISTS pg_trgm VERSION '1.5'",
                    1 => "ALTER EXTENSION pg_trgm UPDATE TO '1.6'",
                    2 => "DROP EXTENSION IF EXISTS pg_trgm",
                    _ => "DROP EXTENSION IF EXISTS hstore",
                };
                // They race with each other too, and some of theirs fail.
                drop(client.batch_execute(statement).await);
                statements += 1;
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            statements
        }
    });
    let requests = async {
        for number in 0..REQUESTS {
            let version = if number % 2 == 0 { "1.6" } else { "1.*" };
            let trigrams = json!({"Name": "pg_trgm", "Version": version});
            let properties = json!({"DBSecret": world.secret, "ServiceTimeout": 60, "Extensions": [trigrams, "hstore"]});
            let answer = world.create(properties).await;
            assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        }
        done.store(true, Ordering::Relaxed);
    };
    let (statements, ()) = futures_util::future::join(join_all(strangers), requests).await;
    assert!(statements.iter().sum::<usize>() >= 200, "{statements:?}");
}
