//! Attacks by less privileged roles and people, each carried out as the attacker would; all of them succeeded once.

mod auth;
mod extensions;
mod fairness;
mod hosts;
mod ledger;
mod markers;
mod master;
mod outputs;
mod resync;
mod schemas;
mod server;
mod session;
mod stacks;
mod steered;
mod warm_session;

use serde_json::{Value, json};

use crate::support::World;

/// What the attacker is after.
const MARKER: &str = "TOP-SECRET-of-team-A";

/// A secret that names another server than a request does, with a password that is worth something.
async fn secret_of_another_team(world: &World) -> String {
    world.secret_with(&json!({"password": MARKER})).await
}

/// A secret of a server that an attacker runs.
async fn secret_of_server(world: &World, port: u16) -> String {
    let changes = json!({"port": port, "dbname": "postgres", "password": MARKER});
    world.secret_with(&changes).await
}

/// The Reason of a Create that fails.
async fn reason(world: &World, properties: Value) -> String {
    let answer = world.create(properties).await;
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    answer["Reason"].as_str().unwrap().to_owned()
}
