//! Versions that look like numbers.

use serde_json::json;

use crate::support::{Fixture, Worker, World};

#[tokio::test]
async fn a_version_that_is_a_number_is_its_own_text() {
    let world = World::new().await;
    let name = format!("{}_numbers", world.name);
    Fixture::install(
        &name,
        "default_version = '1'\n",
        &[
            ("1", "SELECT 1;"),
            ("1.0", "SELECT 1;"),
            ("1.1", "SELECT 1;"),
            ("1.10", "SELECT 1;"),
        ],
    );
    let _worker = Worker::start(&world, &[]);
    for version in ["1.0", "1.10"] {
        let request = world
            .create_request(json!({"DBSecret": world.secret, "PluginsMap": {name.as_str(): "@"}}))
            .await;
        let text = request.message.to_string().replace("\"@\"", version);
        world.publish_text(&text).await;
        let answer = world.answer(&request).await;
        assert_eq!(answer["Data"][&name], version, "{answer}");
        world
            .database
            .execute(&format!("DROP EXTENSION {name}"))
            .await;
    }
}

#[tokio::test]
async fn a_version_that_yaml_has_cut_is_to_be_quoted() {
    let world = World::new().await;
    let name = format!("{}_cut", world.name);
    Fixture::install(
        &name,
        "default_version = '1.10'\n",
        &[("1.9", "SELECT 1;"), ("1.10", "SELECT 1;")],
    );
    let _worker = Worker::start(&world, &[]);
    let answer = world
        .create(json!({"DBSecret": world.secret, "PluginsMap": {name.as_str(): "1.1"}}))
        .await;
    let reason = answer["Reason"].as_str().unwrap();
    assert!(
        reason.contains("version 1.1 cannot be installed")
            && reason.contains("Available: 1.9, 1.10")
            && reason.contains(
                "YAML reads that as the number 1.1, unless it is quoted. Write \"1.10\"."
            ),
        "{reason}"
    );
}
