//! The command `resync`: the message that it publishes, and what it reports of the events of workers, which the tests publish.

mod waiting;

use std::path::Path;
use std::process::{Command, Stdio};

use extension_worker::resync_protocol::ResyncMessage;
use serde_json::{Value, json};

use crate::support::{ResultsTopic, World, variable, worker_binary};

fn command(world: &World, results: &ResultsTopic<'_>) -> Command {
    let mut command = worker_binary();
    command
        .arg("resync")
        .env("WORKER_TOPIC_ARN", &world.topic_arn)
        .env("WORKER_RESULTS_TOPIC_ARN", &results.topic_arn)
        .stdin(Stdio::null());
    command
}

/// The message in an envelope of SNS.
fn message(envelope: &str) -> Value {
    let envelope: Value = serde_json::from_str(envelope).unwrap();
    serde_json::from_str(envelope["Message"].as_str().unwrap()).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn a_message_that_cannot_be_published_leaves_nothing_behind() {
    let world = World::new().await;
    let results = ResultsTopic::new(&world).await;
    for (flag, topic, expected) in [
        (
            "--topic",
            &world.topic_arn,
            "error: could not publish the re-sync",
        ),
        (
            "--results-topic",
            &results.topic_arn,
            "error: cannot listen for results",
        ),
    ] {
        let gone = format!("{topic}-gone");
        let output = command(&world, &results)
            .args(["--instances", "--wait", "--id", &world.name, flag, &gone])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let printed = text(&output.stderr);
        assert!(printed.starts_with(expected), "{printed}");
        assert!(printed.contains("NotFound"), "{printed}");
        assert!(results.subscriptions().await.is_empty());
        assert!(results.temporary_queues(&world.name).await.is_empty());
    }
    assert_eq!(world.depths().await, (0, 0), "nothing was asked for");
}

#[tokio::test]
async fn without_wait_the_id_alone_is_printed() {
    let world = World::new().await;
    let results = ResultsTopic::new(&world).await;
    let arguments = "--repair --secret one --databases a,b --tag team=data --instances-tag env=prod \
        --extension postgis=3.4.* --extension hstore --baseline fleet";
    let output = command(&world, &results)
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let id = text(&output.stdout);
    let id = id.strip_suffix('\n').unwrap();
    let message = message(&world.receive_and_delete().await);
    assert_eq!(
        message,
        json!({
            "Type": "Resync", "ResyncId": id, "Mode": "Repair",
            "Targets": [
                {"Instances": {"Key": "env", "Value": "prod"}},
                {"SecretTag": {"Key": "team", "Value": "data"}},
                {"Secret": "one", "Databases": ["a", "b"]},
            ],
            "Extensions": [{"Name": "postgis", "Version": "3.4.*"}, "hstore"], "Baseline": "fleet",
        })
    );
    ResyncMessage::parse(&message).unwrap();
    assert!(results.subscriptions().await.is_empty());
}

#[tokio::test]
async fn a_file_of_targets_may_begin_with_a_byte_order_mark() {
    let world = World::new().await;
    let results = ResultsTopic::new(&world).await;
    let file = Path::new(&variable("RUN_DIR")).join(format!("{}.json", world.name));
    std::fs::write(&file, "\u{feff}[{\"SecretPrefix\": \"prod/\"}]").unwrap();
    let arguments = ["--targets", file.to_str().unwrap()];
    let output = command(&world, &results).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let targets = &message(&world.receive_and_delete().await)["Targets"];
    assert_eq!(targets, &json!([{"SecretPrefix": "prod/"}]));
}

#[tokio::test]
async fn what_is_wrong_is_named_by_the_flag_before_anything_is_done() {
    let world = World::new().await;
    let results = ResultsTopic::new(&world).await;
    for (arguments, code, printed) in [
        (&["--repair"][..], 2, "--instances|--instances-tag"),
        (&["--instances", "--json"], 2, "--wait"),
        (
            &["--targets", "/no/such/file"],
            1,
            "error: --targets: cannot read /no/such/file",
        ),
        (
            &["--targets", "-"],
            1,
            "error: --targets -: must be a JSON list of targets",
        ),
        (
            &[
                "--instances",
                "--wait",
                "--html",
                "/no/such/directory/f.html",
            ],
            1,
            "error: --html: cannot write /no/such/directory/f.html",
        ),
    ] {
        let output = command(&world, &results).args(arguments).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(printed), "{said}");
    }
    assert_eq!(world.depths().await, (0, 0));
}
