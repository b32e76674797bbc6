//! A worker that dies between two stages of an update, or in one.

use serde_json::json;

use super::scene::{BRIEFLY, Scene};
use crate::support::{CloudFormationRequest, ResultsSubscriber, Worker};
use crate::updates::{Refusal, rows, staged};

/// The same request, delivered to one worker after the other, each of which dies at the point, until one does not come there.
async fn dies_at(point: &str, deaths: usize) {
    let scene = Scene::new().await;
    let world = &scene.world;
    let fixture = staged(world, Refusal::Pending);
    let name = &fixture.name;
    let create = format!("CREATE EXTENSION {name} VERSION '1'");
    world.database.execute(&create).await;
    let mut request = scene.create(name);
    let version = json!([{"Name": name, "Version": "4"}]);
    request.message["ResourceProperties"]["Extensions"] = version;
    let points = format!("{point}=return");
    for death in 1..=deaths {
        let mut worker = scene.start_with_failpoints(&points, &[BRIEFLY]);
        // A delivery of its own for each, so that none waits for the lease of a dead worker to end.
        scene.send([&request]).await;
        super::crashes::wait_for_abort(&mut worker).await;
        let reached = if point == "after-stage" { 1 + death } else { 1 };
        let version = &world.database.extensions().await[name];
        assert_eq!(*version, reached.to_string());
    }
    is_answered_once_all_is_done(&scene, request).await;
}

async fn is_answered_once_all_is_done(scene: &Scene, request: CloudFormationRequest) {
    let world = &scene.world;
    let name = format!("{}_staged", world.name);
    let _other = scene.start(&[BRIEFLY]);
    scene.send([&request]).await;
    scene.nothing_is_left().await;
    let answers = scene.answers.of(&request.key);
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:#?}"
    );
    let answer: serde_json::Value = serde_json::from_str(&answers[0]).unwrap();
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    let changes = answer["Data"]["Changes"].as_str().unwrap();
    let all = format!("updated {name} 1 to 2; updated {name} 2 to 3; updated {name} 3 to 4");
    assert_eq!(changes.replace(", ", "; "), all);
    assert_eq!(answer["Data"]["Before"], format!("plpgsql=1.0,{name}=1"));
    assert_eq!(rows(world).await, "2 3");
    assert_eq!(scene.committed().await, "1 requests, 3 changes");
}

// 38
#[tokio::test]
async fn an_update_goes_on_where_a_worker_died_between_two_stages() {
    dies_at("after-stage", 2).await;
}

// 38
#[tokio::test]
async fn a_stage_that_was_not_committed_when_a_worker_died_is_done_by_another() {
    dies_at("before-stage-commit", 2).await;
}

// 38
#[tokio::test]
async fn a_repair_goes_on_where_a_worker_died_between_two_stages() {
    let scene = Scene::new().await;
    let world = &scene.world;
    let fixture = staged(world, Refusal::Pending);
    let name = &fixture.name;
    let subscriber = ResultsSubscriber::new(world).await;
    let settings = [
        ("WORKER_RESULTS_TOPIC_ARN", subscriber.topic_arn.as_str()),
        BRIEFLY,
    ];
    fixture.set_control("default_version = '1'\n");
    let follows = json!({"Name": name, "Version": "default"});
    {
        let _worker = Worker::start(world, &settings);
        let properties = json!({"DBSecret": world.secret, "Extensions": [follows]});
        assert_eq!(world.create(properties).await["Status"], "SUCCESS");
    }
    fixture.set_control("default_version = '4'\n");
    let targets = json!([{"Secret": world.secret, "Databases": [world.database.name]}]);
    let mut worker = Worker::start_with_failpoints(world, "after-stage=return", &settings);
    let heard = async {
        subscriber
            .run_with_id("once", "Repair", targets, json!({}))
            .await
    };
    let dying = async {
        super::crashes::wait_for_abort(&mut worker).await;
        assert_eq!(world.database.extensions().await[name], "2");
        Worker::start(world, &settings)
    };
    let (heard, _other) = futures_util::future::join(heard, dying).await;
    let result = heard.result_of(&world.database.name);
    assert_eq!(result["State"], "Repaired", "{result}");
    let stages: Vec<String> = ["2", "3", "4"]
        .map(|version| format!("ALTER EXTENSION \"{name}\" UPDATE TO '{version}'"))
        .into();
    assert_eq!(result["Changes"], json!(stages), "{result}");
    assert_eq!(rows(world).await, "2 3");
}
