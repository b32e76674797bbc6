//! Task protection for long requests, and an ECS agent that is down.

use std::time::{Duration, Instant};

use futures_util::future::join3;

use super::scene::Scene;
use crate::support::{Action, HttpProxy, eventually};

const STATE: &str = "PUT /task-protection/v1/state";
const ON: &str = r#"{"ExpiresInMinutes":10,"ProtectionEnabled":true}"#;
const OFF: &str = r#"{"ProtectionEnabled":false}"#;
/// A request that takes longer is a long one.
const LONG: Duration = Duration::from_secs(30);
/// How long the agent may take.
const SLOW: Duration = Duration::from_secs(4);

async fn asked(agent: &HttpProxy, body: &str) {
    eventually("what the agent is asked", async || {
        (agent.count(body) > 0).then_some(())
    })
    .await;
}

// 20
#[tokio::test]
async fn a_task_is_protected_once_a_request_takes_long_and_as_long_as_it_does() {
    let scene = Scene::new().await;
    let agent = HttpProxy::start().await;
    // It calls ECS first, which takes up to 4 s.
    agent.decide(|_| Action::AnswerAfter(SLOW, 200, "{}".to_owned()));
    let endpoint = agent.endpoint();
    let _worker = scene.start(&[("ECS_AGENT_URI", &endpoint)]);
    let requests = scene.creates(2);
    scene.send(&requests[..1]).await;
    scene.is_over(&requests[..1]).await;

    let lock = scene.world.database.lock().await;
    let begun = Instant::now();
    scene.send(&requests[1..]).await;
    asked(&agent, ON).await;
    assert!(begun.elapsed() >= LONG, "{:?}", begun.elapsed());
    assert_eq!(agent.count(OFF), 0);
    drop(lock);
    scene.is_over(&requests).await;
    asked(&agent, OFF).await;
    // Neither again before it is needed.
    assert_eq!(agent.count(STATE), 2);
}

/// A request takes long, and the agent is of no help.
async fn unprotected(action: Action, text: &str) {
    let scene = Scene::new().await;
    let agent = HttpProxy::start().await;
    agent.decide(move |_| action.clone());
    let endpoint = agent.endpoint();
    let worker = scene.start(&[("ECS_AGENT_URI", &endpoint)]);
    let requests = scene.creates(2);
    let lock = scene.world.database.lock().await;
    scene.send(&requests[..1]).await;
    worker.logged(text).await;
    scene.send(&requests[1..]).await;
    scene.waiting(2).await;
    drop(lock);
    scene.is_over(&requests).await;
    assert_eq!(scene.world.database.ddl().len(), requests.len());
}

// 20
#[tokio::test]
async fn an_agent_that_refuses_or_says_nothing_keeps_no_request_waiting() {
    let refusing = unprotected(
        Action::Answer(400, "{}".to_owned()),
        "ECS refuses to change the task's protection",
    );
    // Where ECS refuses, the agent answers 200 and says so in the body.
    let failure = r#"{"failure":{"Arn":"arn:aws:ecs:a:1:task/b/c","Reason":"DEPLOYMENT_BLOCKED"}}"#;
    let failing = unprotected(
        Action::Answer(200, failure.to_owned()),
        "DEPLOYMENT_BLOCKED",
    );
    let silent = unprotected(Action::Hang, "no answer from the ECS agent in time");
    join3(refusing, failing, silent).await;
}
