//! Secrets Manager that throttles, fails or does not answer; a password that changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{attempts_fail, declare, failed_attempts};
use crate::support::{Action, Database, HttpProxy, Worker, World};

/// What a reading of a secret is on the wire.
const READING: &str = "secretsmanager.GetSecretValue";

/// A worker whose Secrets Manager is behind a proxy.
fn start(world: &World, proxy: &HttpProxy, settings: &[(&str, &str)]) -> Worker {
    let endpoint = proxy.endpoint();
    let mut all = vec![("AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint.as_str())];
    all.extend(settings);
    Worker::start(world, &all)
}

/// Creates so many resources at the same time, all with the same secret.
async fn at_once(world: &World, secret: &str, number: usize) {
    let requests = (0..number).map(async |number| {
        let name = format!("Extensions{number}");
        world
            .create_request_of(&name, declare(secret, "hstore"))
            .await
    });
    let requests = join_all(requests).await;
    join_all(requests.iter().map(|request| world.publish(request))).await;
    for request in &requests {
        let answer = world.answer(request).await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    }
}

/// A role that owns a database, and its secret.
struct Rotated {
    role: String,
    database: Database,
    secret: String,
    value: Value,
}

impl Rotated {
    async fn new(world: &World) -> Self {
        let role = format!("{}_role", world.name);
        let name = format!("{}_owned", world.name);
        let (database, password) = Database::create_owned(&name, &role).await;
        let changes = json!({"username": role, "password": password, "dbname": name});
        let mut value = world.credentials();
        for (field, change) in changes.as_object().unwrap() {
            value[field] = change.clone();
        }
        Self {
            secret: world.secret_with(&changes).await,
            role,
            database,
            value,
        }
    }

    /// Gives the role another password, as a rotation does first. Its sessions end: who comes next has to log in.
    async fn change_password(&mut self, password: &str) {
        let sql = format!(
            "ALTER ROLE {role} PASSWORD '{password}';
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'",
            role = self.role
        );
        self.database.execute(&sql).await;
        self.value["password"] = json!(password);
    }

    /// Lets the secret say so, as a rotation does last.
    async fn follow(&self, world: &World) {
        world
            .put_secret(&self.secret, &self.value.to_string())
            .await;
    }
}

// 31
#[tokio::test]
async fn a_password_that_changes_before_its_secret_does_fails_nothing() {
    let world = World::new().await;
    let worker = Worker::start(&world, &[]);
    let mut rotated = Rotated::new(&world).await;
    let answer = world.create(declare(&rotated.secret, "hstore")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");

    rotated.change_password("new-hunter2").await;
    let request = world
        .create_request(declare(&rotated.secret, "pg_trgm"))
        .await;
    world.publish(&request).await;
    attempts_fail(&worker, 3).await;
    assert_eq!(world.answer_now(&request).await, None);
    rotated.follow(&world).await;
    let answer = world.answer(&request).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert!(worker.log().contains("[28P01]"));
    assert!(!worker.log().contains("hunter2"));
}

// 31
#[tokio::test]
async fn a_password_that_changed_costs_one_more_reading_however_many_find_out() {
    let world = World::new().await;
    let proxy = HttpProxy::start().await;
    let worker = start(&world, &proxy, &[]);
    let mut rotated = Rotated::new(&world).await;
    let answer = world.create(declare(&rotated.secret, "hstore")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(proxy.count(READING), 1);

    // A secret is not read again in the second after it was read.
    let read = Instant::now();
    rotated.change_password("new-hunter2").await;
    rotated.follow(&world).await;
    tokio::time::sleep(Duration::from_secs(1).saturating_sub(read.elapsed())).await;
    at_once(&world, &rotated.secret, 8).await;
    assert!(failed_attempts(&worker) >= 1);
    assert_eq!(proxy.count(READING), 2, "{}", worker.log());
}

// 32
#[tokio::test]
async fn a_secret_is_read_once_for_all_who_want_it() {
    let world = World::new().await;
    let proxy = HttpProxy::start().await;
    let _worker = start(&world, &proxy, &[]);
    at_once(&world, &world.secret, 8).await;
    assert_eq!(proxy.count(READING), 1);
}

// 32
#[tokio::test]
async fn a_secret_that_was_read_serves_while_secrets_manager_fails() {
    let world = World::new().await;
    let proxy = HttpProxy::start().await;
    // The shortest time for which one is kept.
    let worker = start(&world, &proxy, &[("WORKER_SECRET_SECONDS", "1")]);
    let answer = world.create(declare(&world.secret, "hstore")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    let warnings = || {
        let text = "an older reading of the secret serves";
        worker.log().matches(text).count()
    };
    for (failures, action) in [
        (1, Action::refuse(400, "ThrottlingException")),
        (2, Action::Hang),
    ] {
        let before = proxy.count(READING);
        let named = format!("{action:?}");
        proxy.decide(move |_| action.clone());
        // In the second after it was read, and in the five after a failure, it is not asked for.
        crate::support::eventually("another reading", async || {
            let answer = world.create(declare(&world.secret, "hstore")).await;
            assert_eq!(answer["Status"], "SUCCESS", "{named}: {answer}");
            (proxy.count(READING) > before).then_some(())
        })
        .await;
        // The read goes on after the older secret was used: it ends after the SDK's own retries.
        crate::support::eventually("the warning", async || {
            (warnings() >= failures).then_some(())
        })
        .await;
        assert_eq!(warnings(), failures, "{}", worker.log());
    }
    assert_eq!(failed_attempts(&worker), 0, "{}", worker.log());
}

// 32
#[tokio::test]
async fn a_secret_that_was_never_read_is_tried_again_until_secrets_manager_answers() {
    let world = World::new().await;
    let proxy = HttpProxy::start().await;
    let worker = start(&world, &proxy, &[("WORKER_SECRET_SECONDS", "0")]);
    let left = Arc::new(AtomicUsize::new(5));
    let counted = Arc::clone(&left);
    proxy.decide(move |request| {
        let fails = request.contains(READING)
            && counted
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(1)
                })
                .is_ok();
        match (fails, counted.load(Ordering::SeqCst)) {
            (false, _) => Action::Forward,
            (true, 4) => Action::Cut,
            (true, 3) => Action::refuse(500, "InternalServiceError"),
            (true, _) => Action::refuse(400, "ThrottlingException"),
        }
    });
    let answer = world.create(declare(&world.secret, "hstore")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(left.load(Ordering::SeqCst), 0);
    worker
        .logged("could not be read from Secrets Manager (ThrottlingException)")
        .await;
    // Nothing is kept.
    let before = proxy.count(READING);
    let answer = world.create(declare(&world.secret, "hstore")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(proxy.count(READING), before + 1);
}

#[tokio::test]
async fn a_secret_that_is_corrected_after_a_failure_counts_at_once() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let secret = world.secret_with(&json!({"dbname": "no_such"})).await;
    let answer = world.create(declare(&secret, "hstore")).await;
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    world
        .put_secret(&secret, &world.credentials().to_string())
        .await;
    let corrected = crate::support::eventually("a success", async || {
        let answer = world.create(declare(&secret, "hstore")).await;
        (answer["Status"] == "SUCCESS").then_some(())
    });
    let in_time = tokio::time::timeout(Duration::from_secs(10), corrected).await;
    assert!(in_time.is_ok());
}
