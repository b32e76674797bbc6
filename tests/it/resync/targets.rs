//! From targets to servers.

use serde_json::json;

use super::{only, worker};
use crate::support::{
    Action, Database, HttpProxy, Mode, PrivateServer, ResultsSubscriber, Worker, World, eventually,
};

#[tokio::test]
async fn all_databases_of_the_servers_that_a_prefix_finds_have_a_result() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    let server = PrivateServer::start(&world, Mode::Primary).await;
    let mut secret = world.credentials();
    secret["port"] = json!(server.port);
    secret["dbname"] = json!("postgres");
    let prefix = format!("{}-fleet/", world.name);
    let name = format!("{prefix}server");
    world.create_secret(&name, &secret.to_string()).await;
    // Neither is a server: another kind of secret, and another name.
    world
        .create_secret(&format!("{prefix}api-key"), "hunter2")
        .await;
    world
        .create_secret(
            &format!("{prefix}user"),
            "{\"username\": \"u\", \"password\": \"p\"}",
        )
        .await;
    // The same server once more.
    world
        .create_secret(&format!("{prefix}server-2"), &secret.to_string())
        .await;
    world
        .create(json!({"DBSecret": name, "Extensions": ["hstore"]}))
        .await;

    let events = subscriber
        .run("Report", json!([{"SecretPrefix": prefix}]), json!({}))
        .await;
    assert_eq!(events.states(), [(name.as_str(), "postgres", "InSync")],);
}

#[tokio::test]
async fn what_finds_nothing_and_what_cannot_be_read_is_reported() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    let missing = format!("{}-missing", world.name);
    let targets = json!([
        {"Secret": missing},
        only(&world, &[&world.database.name])[0],
        {"SecretPrefix": format!("{}-none/", world.name)},
        {"SecretTag": {"Key": world.name}},
    ]);
    let events = subscriber.run("Report", targets, json!({})).await;
    let reason = |key: &str| {
        let found = events.results.iter().find(|((of, _), _)| of == key);
        let (_, result) = found.unwrap_or_else(|| panic!("{key}: {events:?}"));
        assert_eq!(result["State"], "Failed");
        result["Reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        reason(&format!("secrets {}-none/*", world.name)),
        "no secret with a host matches this target."
    );
    assert_eq!(
        reason(&format!("secrets {}=*", world.name)),
        "no secret with a host matches this target."
    );
    assert!(
        reason(&missing).contains("secret not found"),
        "{}",
        reason(&missing)
    );
    assert_eq!(events.result_of(&world.database.name)["State"], "Unmanaged");
}

#[tokio::test]
async fn secrets_that_may_not_be_listed_are_reported_and_so_are_pages_without_any() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let proxy = HttpProxy::start().await;
    let settings = [
        ("WORKER_RESULTS_TOPIC_ARN", subscriber.topic_arn.as_str()),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &proxy.endpoint()),
    ];
    let _worker = Worker::start(&world, &settings);
    let key = (format!("secrets {}*", world.name), String::new());
    let targets = json!([{"SecretPrefix": world.name}]);

    proxy.decide(|_| Action::refuse(400, "AccessDeniedException"));
    let events = subscriber.run("Report", targets.clone(), json!({})).await;
    assert_eq!(
        events.results[&key]["Reason"],
        "the worker's task role may not list secrets (AccessDeniedException). Allow secretsmanager:ListSecrets."
    );

    proxy.decide(|request| {
        let is_last = request.contains("behind-1");
        let next = json!({"SecretList": [], "NextToken": "behind-1"});
        let page = if is_last {
            json!({"SecretList": []})
        } else {
            next
        };
        Action::Answer(200, page.to_string())
    });
    let events = subscriber.run("Report", targets, json!({})).await;
    assert_eq!(
        events.results[&key]["Reason"],
        "no secret with a host matches this target."
    );
}

#[tokio::test]
async fn a_message_that_is_not_valid_is_dead_and_names_the_field() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    let message =
        json!({"Type": "Resync", "ResyncId": "r", "Mode": "Fix", "Targets": [{"Instances": "*"}]});
    world.publish_text(&message.to_string()).await;
    let (_, reason) = world.dead_letter().await;
    assert!(
        reason.contains("Mode: must be one of Report, Repair"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_database_that_two_targets_lead_to_has_a_result_for_each() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    world
        .create(json!({"DBSecret": world.secret, "Extensions": ["hstore"]}))
        .await;
    world.database.execute("DROP EXTENSION hstore").await;
    let again = world.secret_with(&json!({})).await;
    let databases = [&world.database.name];
    let targets = json!([
        {"Secret": world.secret, "Databases": databases},
        {"Secret": again, "Databases": databases},
    ]);
    let events = subscriber.run("Repair", targets, json!({})).await;
    let states: Vec<_> = events.states().into_iter().map(|state| state.2).collect();
    assert_eq!(states, ["Repaired", "Repaired"]);
}

#[tokio::test]
async fn servers_wait_for_a_place_and_leave_one_to_stacks() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = Worker::start(
        &world,
        &[
            ("WORKER_RESULTS_TOPIC_ARN", &subscriber.topic_arn),
            ("WORKER_CONCURRENCY", "2"),
        ],
    );
    // A report waits for the lock of a ledger, and makes none.
    let declared = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    assert_eq!(world.create(declared).await["Status"], "SUCCESS");
    let lock = world.database.lock().await;
    let mut targets = Vec::new();
    for _ in 0..3 {
        let secret = world.secret_with(&json!({})).await;
        targets.push(json!({"Secret": secret, "Databases": [world.database.name]}));
    }
    let message = json!({"Type": "Resync", "ResyncId": "r", "Mode": "Report", "Targets": targets});
    world.publish_text(&message.to_string()).await;
    eventually("the wait for the lock", async || {
        world.database.is_waiting().await.then_some(())
    })
    .await;
    // Another database's stack is served meanwhile.
    let other = Database::create(&format!("{}_2", world.name)).await;
    let secret = world.secret_with(&json!({"dbname": other.name})).await;
    let answer = world
        .create(json!({"DBSecret": secret, "Extensions": ["hstore"]}))
        .await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    drop(lock);
    assert_eq!(subscriber.receive().await.results.len(), 3);
}
