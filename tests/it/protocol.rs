//! Requests and answers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{CommitGate, Database, Worker, World, eventually};

/// LocalStack's plug-in signs as CloudFormation does; this is what its signatures are worth.
#[tokio::test]
async fn an_answer_with_a_content_type_is_refused_by_this_set_up() {
    let world = World::new().await;
    let stack = world.stack("app");
    stack
        .submit_create(
            &json!({"DBSecret": world.secret, "Extensions": ["hstore"]}),
            &[],
        )
        .await;
    let envelope: Value = serde_json::from_str(&world.receive_and_delete().await).unwrap();
    let request: Value = serde_json::from_str(envelope["Message"].as_str().unwrap()).unwrap();
    let url = request["ResponseURL"].as_str().unwrap();
    let answer = json!({
        "Status": "SUCCESS",
        "PhysicalResourceId": "by-hand",
        "StackId": request["StackId"],
        "RequestId": request["RequestId"],
        "LogicalResourceId": request["LogicalResourceId"],
    })
    .to_string();

    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::new();
    let put = |url: String| client.put(url).body(answer.clone());
    let typed = put(url.to_owned())
        .header("content-type", "application/json")
        .send()
        .await
        .unwrap();
    assert_eq!(typed.status(), 403);
    let forged = put(url.replace("Signature=", "Signature=x"))
        .send()
        .await
        .unwrap();
    assert_eq!(forged.status(), 403);
    let plain = put(url.to_owned()).send().await.unwrap();
    assert_eq!(plain.status(), 200);
    assert_eq!(stack.finish().await.outputs["Id"], "by-hand");
}

#[tokio::test]
async fn raw_delivery_and_an_sns_envelope_are_the_same() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let request = world
        .create_request(json!({"DBSecret": world.secret, "Extensions": ["hstore"]}))
        .await;
    world.send_raw(&request.message.to_string()).await;
    let answer = world.answer(&request).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(answer["Data"]["Extensions"], "hstore=1.8");
}

#[tokio::test]
async fn a_request_that_comes_twice_is_carried_out_once_and_answered_the_same() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let request = world
        .create_request(json!({"DBSecret": world.secret, "Extensions": ["hstore"]}))
        .await;
    world.publish(&request).await;
    let first = world.answer(&request).await;
    world.delete_answer(&request).await;
    world.publish(&request).await;
    assert_eq!(world.answer(&request).await, first);
    assert_eq!(world.database.ddl().len(), 1);
}

/// The worst moment: everything is done, and no response was sent.
#[tokio::test]
async fn a_stack_whose_worker_is_killed_between_commit_and_answer_is_finished_by_another() {
    const VISIBILITY: Duration = Duration::from_secs(10);
    let world = World::new().await;
    let visibility = [("WORKER_VISIBILITY_SECONDS", "10")];
    let gate = CommitGate::closed().await;
    let secret = world.secret_with(&json!({"port": gate.port()})).await;
    let mut worker = Worker::start(&world, &visibility);
    let stack = world.stack("app");
    let properties = json!({"DBSecret": secret, "Extensions": ["hstore"]});
    stack.submit_create(&properties, &["hstore"]).await;
    gate.holds().await;
    let committed = "SELECT count(data ->> 'response')::text FROM extension_worker.ledger";
    assert_eq!(world.database.text(committed).await, "1");
    worker.signal("KILL");
    worker.exit().await;
    let killed = Instant::now();
    gate.open();
    let _other = Worker::start(&world, &visibility);
    let created = stack.finish().await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
    assert_eq!(created.outputs["hstore"], "1.8");
    let took = killed.elapsed();
    assert!(took < VISIBILITY + Duration::from_secs(10), "{took:?}");
    assert_eq!(world.database.ddl().len(), 1);
}

/// The same URL, signed some minutes before; its signature no longer fits, which only S3 checks.
fn earlier(url: &str, minutes: i64) -> String {
    let (_, rest) = url.split_once("X-Amz-Date=").unwrap();
    let date = &rest[..16];
    let signed = chrono::NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ").unwrap();
    let earlier = signed - chrono::TimeDelta::minutes(minutes);
    url.replace(date, &earlier.format("%Y%m%dT%H%M%SZ").to_string())
}

#[tokio::test]
async fn a_server_that_is_down_is_reported_before_cloudformation_gives_up() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let down = world.secret_with(&json!({"port": 1})).await;
    let properties = json!({"DBSecret": down, "ServiceTimeout": 10, "Extensions": ["hstore"]});
    let begun = Instant::now();
    let answer = world.create(properties.clone()).await;
    assert_eq!(answer["Status"], "FAILED");
    let took = begun.elapsed();
    assert!((7..=10).contains(&took.as_secs()), "{took:?}");

    let begun = Instant::now();
    let failed = world.stack("app").create(&properties, &[]).await;
    assert_eq!(failed.status, "CREATE_FAILED");
    assert!(
        failed.reason.contains("127.0.0.1:1 could not be reached"),
        "{failed:?}"
    );
    // LocalStack reports it after the rollback's Delete, which waits for the server as long again.
    assert!(begun.elapsed().as_secs() < 22, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_delete_is_not_held_up_by_what_is_gone() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let gone = world
        .secret_with(&json!({"dbname": "no_such_database"}))
        .await;
    for properties in [
        json!({"DBSecret": "no-such-secret", "Extensions": ["hstore"]}),
        json!({"DBSecret": gone, "Extensions": ["hstore"]}),
        json!({"Old": "format"}),
    ] {
        let request = world.delete_request(properties, "whatever").await;
        world.publish(&request).await;
        let answer = world.answer(&request).await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        assert_eq!(answer["PhysicalResourceId"], "whatever");
    }
}

#[tokio::test]
async fn the_rollback_of_a_create_that_never_got_anywhere_succeeds() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let no_host = world.secret_with(&json!({"host": ""})).await;
    let mysql = world.secret_with(&json!({"engine": "mysql"})).await;
    let wrong_password = world.secret_with(&json!({"password": "wrong"})).await;
    for secret in [no_host, mysql, wrong_password] {
        let properties = json!({"DBSecret": secret, "ServiceTimeout": 3, "Extensions": ["hstore"]});
        let failed = world.stack(&secret).create(&properties, &[]).await;
        assert_eq!(failed.status, "CREATE_FAILED");
        assert!(failed.reason.contains("Message returned"), "{failed:?}");
        assert!(!failed.reason.contains("rollback"), "{failed:?}");
    }
}

#[tokio::test]
async fn an_old_delete_is_carried_out_all_the_same() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    let mut create = world.create_request(properties.clone()).await;
    create.message["ResponseURL"] =
        json!(earlier(create.message["ResponseURL"].as_str().unwrap(), 10));
    world.send_raw(&create.message.to_string()).await;
    eventually("the extension", async || {
        (!world.database.extensions().await.is_empty()).then_some(())
    })
    .await;

    let mut delete = world.delete_request(properties, "whatever").await;
    delete.message["ResponseURL"] =
        json!(earlier(delete.message["ResponseURL"].as_str().unwrap(), 8));
    world.send_raw(&delete.message.to_string()).await;
    eventually("the extension's end", async || {
        world.database.extensions().await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_gone_does_not_keep_a_delete_from_the_others() {
    let world = World::new().await;
    let _worker = Worker::start(&world, &[]);
    let other = Database::create(&format!("{}_b", world.name)).await;
    let stack = world.stack("app");
    let names = json!([other.name, world.database.name]);
    let properties =
        json!({"DBSecret": world.secret, "Databases": names, "Extensions": ["hstore"]});
    assert_eq!(
        stack.create(&properties, &[]).await.status,
        "CREATE_COMPLETE"
    );
    assert!(other.extensions().await.keys().eq(["hstore"]));
    world
        .database
        .execute(&format!("DROP DATABASE \"{}\" WITH (FORCE)", other.name))
        .await;
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
    assert!(world.database.extensions().await.is_empty());
}
