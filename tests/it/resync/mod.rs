//! The re-sync of a fleet: one message, and a result for each database.

mod events;
mod fair_queues;
mod fleet;
mod instances;
mod offers;
mod precedence;
mod targets;

use serde_json::{Value, json};

use crate::support::{Database, Fixture, HttpProxy, ResultsSubscriber, Worker, World};

/// The extension of that name in a result.
fn extension<'a>(result: &'a Value, name: &str) -> &'a Value {
    let extensions = result["Extensions"].as_array().unwrap();
    let found = extensions.iter().find(|one| one["Name"] == name);
    found.unwrap_or_else(|| panic!("{name}: {result}"))
}

fn worker(world: &World, subscriber: &ResultsSubscriber<'_>) -> Worker {
    Worker::start(
        world,
        &[("WORKER_RESULTS_TOPIC_ARN", subscriber.topic_arn.as_str())],
    )
}

/// The world's database among others of the same server, which belong to other tests.
fn only(world: &World, databases: &[&str]) -> Value {
    json!([{"Secret": world.secret, "Databases": databases}])
}

#[tokio::test]
async fn a_report_says_how_each_database_stands_and_changes_nothing() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    let unmanaged = Database::create(&format!("{}_2", world.name)).await;
    world
        .create(json!({"DBSecret": world.secret, "Extensions": ["hstore", "citext", {"Name": "pg_trgm", "Version": "default"}]}))
        .await;
    world.database.execute("DROP EXTENSION citext").await;
    let gone = format!("{}_gone", world.name);
    let names = [world.database.name.as_str(), &unmanaged.name, &gone];
    let events = subscriber
        .run("Report", only(&world, &names), json!({}))
        .await;

    let drifted = events.result_of(&world.database.name);
    assert_eq!(drifted["State"], "Drifted", "{drifted}");
    assert_eq!(extension(drifted, "hstore")["State"], "InSync");
    assert_eq!(extension(drifted, "hstore")["Declared"], "any");
    assert_eq!(extension(drifted, "pg_trgm")["Declared"], "default");
    assert_eq!(extension(drifted, "plpgsql")["State"], "Unmanaged");
    let absent = extension(drifted, "citext");
    assert_eq!(absent["State"], "Absent");
    assert_eq!(absent["Installed"], Value::Null);
    let owner = format!("Extensions of stack {}", world.name);
    assert_eq!(absent["Owners"], json!([owner]));
    let change = drifted["Changes"][0].as_str().unwrap();
    assert!(
        change.starts_with("CREATE EXTENSION \"citext\""),
        "{change}"
    );
    assert_eq!(events.result_of(&unmanaged.name)["State"], "Unmanaged");
    let failed = events.result_of(&gone);
    assert_eq!(failed["State"], "Failed");
    assert!(
        failed["Reason"].as_str().unwrap().contains(&gone),
        "{failed}"
    );
    let installed = world.database.extensions().await;
    assert!(!installed.contains_key("citext"));
}

/// By the group SQS knows whom messages are of, and hands out first those of others.
#[tokio::test]
async fn messages_between_workers_are_of_one_tenant_and_stacks_of_none() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let proxy = HttpProxy::start().await;
    let settings = [
        ("WORKER_RESULTS_TOPIC_ARN", subscriber.topic_arn.as_str()),
        ("AWS_ENDPOINT_URL_SQS", &proxy.endpoint()),
    ];
    let _worker = Worker::start(&world, &settings);
    let targets = only(&world, &[&world.database.name]);
    subscriber.run("Report", targets, json!({})).await;
    let sent = proxy.count("ResyncWork");
    assert!(sent > 0);
    // What is sent, and not what is received: requests alone pass through the proxy's list.
    assert_eq!(proxy.count("\"MessageGroupId\":\"re-sync\""), sent);
}

#[tokio::test]
async fn a_repair_is_done_once_however_often_its_message_comes() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    world
        .create(json!({"DBSecret": world.secret, "Extensions": ["hstore", "citext"]}))
        .await;
    world.database.execute("DROP EXTENSION citext").await;
    let targets = only(&world, &[&world.database.name]);
    let first = subscriber
        .run_with_id("once", "Repair", targets.clone(), json!({}))
        .await;
    let first = first.result_of(&world.database.name);
    assert_eq!(first["State"], "Repaired", "{first}");
    assert_eq!(extension(first, "citext")["State"], "Repaired");
    assert_eq!(extension(first, "hstore")["State"], "InSync");
    assert!(world.database.extensions().await.contains_key("citext"));

    // It is dropped again: the same re-sync was here before, the next one was not.
    world.database.execute("DROP EXTENSION citext").await;
    let again = subscriber
        .run_with_id("once", "Repair", targets.clone(), json!({}))
        .await;
    assert_eq!(again.result_of(&world.database.name), first);
    assert!(!world.database.extensions().await.contains_key("citext"));
    let next = subscriber
        .run_with_id("twice", "Repair", targets.clone(), json!({}))
        .await;
    assert_eq!(next.result_of(&world.database.name)["State"], "Repaired");
    let calm = subscriber
        .run_with_id("thrice", "Repair", targets, json!({}))
        .await;
    let calm = calm.result_of(&world.database.name);
    assert_eq!(calm["State"], "InSync", "{calm}");
    assert_eq!(calm["Changes"], Value::Null);
}

#[tokio::test]
async fn what_cannot_be_installed_is_reported_and_the_rest_is_repaired() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    let fixture = Fixture::install(
        &format!("{}_x", world.name),
        "default_version = '1'\n",
        &[("1", "SELECT 1;")],
    );
    world
        .create(json!({"DBSecret": world.secret, "Extensions": ["hstore", fixture.name]}))
        .await;
    let drops = format!("DROP EXTENSION hstore; DROP EXTENSION {}", fixture.name);
    world.database.execute(&drops).await;
    fixture.remove_control();
    let targets = only(&world, &[&world.database.name]);
    let events = subscriber.run("Repair", targets, json!({})).await;
    let failed = events.result_of(&world.database.name);
    assert_eq!(failed["State"], "Failed", "{failed}");
    assert_eq!(extension(failed, "hstore")["State"], "Repaired");
    assert_eq!(extension(failed, &fixture.name)["State"], "Failed");
    let reason = failed["Reason"].as_str().unwrap();
    assert!(reason.contains(&fixture.name), "{reason}");
    assert!(world.database.extensions().await.contains_key("hstore"));
}

#[tokio::test]
async fn default_versions_move_up_after_an_upgrade_and_pinned_ones_are_outdated() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    let scripts = [("1", "SELECT 1;"), ("1--2", "SELECT 2;")];
    let install = |end: &str| {
        let name = format!("{}_{end}", world.name);
        Fixture::install(&name, "default_version = '1'\n", &scripts)
    };
    let (follows, pinned) = (install("follows"), install("pinned"));
    world
        .create(json!({"DBSecret": world.secret, "Extensions": [
            {"Name": follows.name, "Version": "default"}, {"Name": pinned.name, "Version": "1"},
        ]}))
        .await;
    for fixture in [&follows, &pinned] {
        fixture.set_control("default_version = '2'\n");
    }
    let targets = only(&world, &[&world.database.name]);
    let events = subscriber.run("Repair", targets, json!({})).await;
    let repaired = events.result_of(&world.database.name);
    assert_eq!(repaired["State"], "Repaired", "{repaired}");
    assert_eq!(extension(repaired, &follows.name)["Installed"], "2");
    let pinned = extension(repaired, &pinned.name);
    assert_eq!(pinned["State"], "Outdated");
    assert_eq!(
        (&pinned["Installed"], &pinned["Default"]),
        (&json!("1"), &json!("2"))
    );
}

#[tokio::test]
async fn nothing_is_dropped() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    world
        .create(json!({"DBSecret": world.secret, "Extensions": [{"Name": "citext", "Ensure": "absent"}]}))
        .await;
    world.database.execute("CREATE EXTENSION citext").await;
    let targets = only(&world, &[&world.database.name]);
    let events = subscriber.run("Repair", targets, json!({})).await;
    let drifted = events.result_of(&world.database.name);
    assert_eq!(drifted["State"], "Drifted", "{drifted}");
    assert_eq!(extension(drifted, "citext")["State"], "Drifted");
    assert_eq!(
        drifted["Reason"],
        "citext is declared absent, and is installed: a re-sync drops no extension."
    );
    assert!(world.database.extensions().await.contains_key("citext"));
}

#[tokio::test]
async fn a_baseline_is_owned_by_its_name_and_holds_from_then_on() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    let targets = only(&world, &[&world.database.name]);
    let baseline = json!({"Extensions": ["pgcrypto"], "Baseline": "house"});
    let report = subscriber
        .run("Report", targets.clone(), baseline.clone())
        .await;
    let report = report.result_of(&world.database.name);
    assert_eq!(extension(report, "pgcrypto")["State"], "Absent", "{report}");
    let repair = subscriber.run("Repair", targets.clone(), baseline).await;
    assert_eq!(repair.result_of(&world.database.name)["State"], "Repaired");
    let owner = "SELECT string_agg(name || ' ' || stack_id || ' ' || logical_resource_id, ',')
                 FROM extension_worker.managed_extensions";
    assert_eq!(world.database.text(owner).await, "pgcrypto baseline house");

    world.database.execute("DROP EXTENSION pgcrypto").await;
    let later = subscriber.run("Report", targets, json!({})).await;
    let later = later.result_of(&world.database.name);
    assert_eq!(later["State"], "Drifted", "{later}");
    assert_eq!(
        extension(later, "pgcrypto")["Owners"],
        json!(["baseline house"])
    );
}

#[tokio::test]
async fn what_two_declare_differently_is_not_reported_as_repaired() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    let versions = json!([{"Name": "pg_trgm", "Version": "1.5"}]);
    world
        .create(json!({"DBSecret": world.secret, "Extensions": versions}))
        .await;
    let targets = only(&world, &[&world.database.name]);
    let baseline = json!({"Extensions": [{"Name": "pg_trgm", "Version": "1.6"}]});
    let events = subscriber.run("Repair", targets, baseline).await;
    let failed = events.result_of(&world.database.name);
    assert_eq!(failed["State"], "Failed", "{failed}");
    let reason = failed["Reason"].as_str().unwrap();
    assert!(reason.contains("pg_trgm"), "{reason}");
}

#[tokio::test]
async fn two_that_declare_an_extension_in_different_schemas_are_reported() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let _worker = worker(&world, &subscriber);
    world
        .database
        .execute("CREATE SCHEMA a; CREATE SCHEMA b")
        .await;
    world
        .create(
            json!({"DBSecret": world.secret, "Extensions": [{"Name": "hstore", "Schema": "a"}]}),
        )
        .await;
    let targets = only(&world, &[&world.database.name]);
    let baseline = json!({"Extensions": [{"Name": "hstore", "Schema": "b"}]});
    let events = subscriber.run("Repair", targets, baseline).await;
    let failed = events.result_of(&world.database.name);
    assert_eq!(failed["State"], "Failed", "{failed}");
    let reason = failed["Reason"].as_str().unwrap();
    assert!(
        reason.contains("because another resource declares it differently"),
        "{reason}"
    );
}
