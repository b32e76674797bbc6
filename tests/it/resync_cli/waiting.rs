//! `resync --wait`: results are received until the last, or until time is up.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{ResultsTopic, World, eventually, variable};

use super::{command, message, text};

/// A command that waits for results.
struct Waiting {
    child: Child,
    id: String,
}

impl Waiting {
    /// Starts it, and takes the message that it publishes.
    async fn start(world: &World, results: &ResultsTopic<'_>, arguments: &[&str]) -> Self {
        let id = format!(
            "{}-{}",
            world.name,
            &Uuid::new_v4().simple().to_string()[..4]
        );
        let child = command(world, results)
            .args(["--prefix", "prod/", "--wait", "--id", &id])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let waiting = Self { child, id };
        assert_eq!(
            message(&world.receive_and_delete().await)["ResyncId"],
            waiting.id
        );
        waiting
    }

    fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let sent = kill.args([format!("-{name}"), self.child.id().to_string()]);
        assert!(sent.status().unwrap().success());
    }

    /// Its end, after which its queue and its subscription are gone.
    async fn end(mut self, results: &ResultsTopic<'_>) -> Output {
        let child = &mut self.child;
        let status = eventually("the command's end", async || child.try_wait().unwrap()).await;
        assert!(results.subscriptions().await.is_empty());
        assert!(results.temporary_queues(&self.id).await.is_empty());
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let (out, err) = (self.child.stdout.take(), self.child.stderr.take());
        out.unwrap().read_to_end(&mut stdout).unwrap();
        err.unwrap().read_to_end(&mut stderr).unwrap();
        Output {
            status,
            stdout,
            stderr,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // One that has ended is no fault.
        drop(self.child.kill());
        self.child.wait().unwrap();
    }
}

fn page(id: &str, page: u32, last: bool, servers: &[&str]) -> Value {
    json!({
        "Type": "ResyncTargets", "ResyncId": id, "Mode": "Report", "Page": page, "Last": last, "Servers": servers,
    })
}

fn end(id: &str, key: &str, results: u32) -> Value {
    json!({"Type": "ResyncServer", "ResyncId": id, "Mode": "Report", "Key": key, "Results": results})
}

fn result(id: &str, key: &str, database: &str, state: &str) -> Value {
    json!({
        "Type": "ResyncResult", "ResyncId": id, "Mode": "Report", "Key": key, "State": state, "Target": "prod/a",
        "Server": format!("{key}.example:5432"), "Database": database, "ServerVersion": "15.4",
        "Extensions": [{"Name": "postgis", "State": "InSync", "Installed": "3.4.0", "Default": "3.4.0"}],
        "At": "2026-11-22T10:00:03Z", "Milliseconds": 41,
    })
}

/// All events of a re-sync of one server with these databases.
fn events_of(id: &str, states: &[(&str, &str)]) -> Vec<Value> {
    let mut events = vec![page(id, 0, true, &["s"])];
    let results = states.iter();
    events.extend(results.map(|(database, state)| result(id, "s", database, state)));
    events.push(end(id, "s", u32::try_from(states.len()).unwrap()));
    events
}

#[tokio::test]
async fn results_are_gathered_whatever_their_order_and_once() {
    let world = World::new().await;
    let results = ResultsTopic::new(&world).await;
    let file = Path::new(&variable("RUN_DIR")).join(format!("{}.html", world.name));
    let html = file.to_str().unwrap();
    let command = Waiting::start(&world, &results, &["--json", "--html", html]).await;
    let id = command.id.clone();

    let [subscription] = &results.subscriptions().await[..] else {
        panic!("one subscription")
    };
    assert_eq!(subscription["RawMessageDelivery"], "true");
    let filter: Value = serde_json::from_str(&subscription["FilterPolicy"]).unwrap();
    assert_eq!(filter, json!({"ResyncId": [id]}));
    assert_eq!(subscription["FilterPolicyScope"], "MessageBody");
    let [listener] = &results.temporary_queues(&id).await[..] else {
        panic!("one queue")
    };
    let [statement] = &listener.policy["Statement"].as_array().unwrap()[..] else {
        panic!("one statement")
    };
    assert_eq!(
        statement["Principal"],
        json!({"Service": "sns.amazonaws.com"})
    );
    assert_eq!(
        statement["Condition"],
        json!({"ArnEquals": {"aws:SourceArn": results.topic_arn}})
    );
    assert_eq!(listener.retention_seconds, 3600);
    assert_eq!(listener.tags["made-by"], "extension-worker resync");

    // What is none of its business: no event, though it says so, and what belongs to another.
    let no_event = json!({"ResyncId": id});
    results.publish_text(&no_event.to_string()).await;
    results.publish_text("{}").await;
    results
        .publish(&result("other", "a", "one", "Failed"))
        .await;

    let mut events = vec![
        page(&id, 0, false, &["a", "b"]),
        page(&id, 1, true, &["c"]),
        result(&id, "a", "one", "InSync"),
        result(&id, "a", "two", "Drifted"),
        result(&id, "b", "one", "Repaired"),
        end(&id, "a", 2),
        end(&id, "b", 1),
        end(&id, "c", 0),
    ];
    events.extend(events.clone());
    events.sort_by_key(|_| Uuid::new_v4());
    for event in &events {
        results.publish(event).await;
    }
    let output = command.end(&results).await;
    let printed = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{printed}");
    assert!(
        printed.contains("3 of 3 servers finished, 3 databases"),
        "{printed}"
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["ResyncId"], id);
    assert_eq!(report["Mode"], "Report");
    assert_eq!(report["Complete"], true);
    assert!(report["StartedAt"].as_str() < report["FinishedAt"].as_str());
    let mut expected = [
        result(&id, "a", "one", "InSync"),
        result(&id, "a", "two", "Drifted"),
        result(&id, "b", "one", "Repaired"),
    ];
    for result in &mut expected {
        result.as_object_mut().unwrap().remove("Type");
    }
    assert_eq!(report["Results"], json!(expected));
    let page = std::fs::read_to_string(&file).unwrap();
    assert!(page.starts_with("<!") && page.contains(&id));
}

#[tokio::test]
async fn the_worst_state_is_the_exit_code() {
    let world = World::new().await;
    let results = ResultsTopic::new(&world).await;
    for (states, code, form, printed) in [
        (&[][..], 0, None, "No databases.\n"),
        (
            &[("a", "InSync"), ("b", "Repaired"), ("c", "Unmanaged")],
            0,
            None,
            "3 databases: 1 in sync, 1 repaired, 1 unmanaged.\n",
        ),
        (
            &[("a", "InSync"), ("b", "Drifted")],
            3,
            None,
            "| b        | drifted | s.example:5432 | 15.4       | ✓ 3.4.0 |\n",
        ),
        (
            &[("=a", "Failed"), ("b", "Drifted")],
            4,
            Some("--csv"),
            "prod/a,s.example:5432,'=a,15.4,Failed,postgis,InSync,3.4.0,3.4.0,,,,false,,,2026-11-22T10:00:03Z\r\n",
        ),
    ] {
        let arguments: Vec<&str> = form.into_iter().collect();
        let command = Waiting::start(&world, &results, &arguments).await;
        for event in events_of(&command.id, states) {
            results.publish(&event).await;
        }
        let output = command.end(&results).await;
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        let said = text(&output.stdout);
        assert!(said.contains(printed), "{said}");
    }
}

#[tokio::test]
async fn when_time_is_up_it_prints_what_is_there_and_what_is_missing() {
    let world = World::new().await;
    let results = ResultsTopic::new(&world).await;
    let command = Waiting::start(&world, &results, &["--timeout-seconds", "3"]).await;
    results
        .publish(&page(&command.id, 0, false, &["s", "t"]))
        .await;
    results
        .publish(&result(&command.id, "s", "one", "Failed"))
        .await;
    let output = command.end(&results).await;
    assert_eq!(output.status.code(), Some(5));
    let said = text(&output.stdout);
    assert!(said.contains("1 database: 1 failed.\n"), "{said}");
    let printed = text(&output.stderr);
    for missing in [
        "incomplete: time is up (--timeout-seconds)",
        "further servers",
        "  s: not finished, 1 results are there\n",
        "  t: not finished, 0 results are there\n",
    ] {
        assert!(printed.contains(missing), "{missing}: {printed}");
    }
}

#[tokio::test]
async fn a_signal_ends_the_wait_and_leaves_nothing_behind() {
    let world = World::new().await;
    let results = ResultsTopic::new(&world).await;
    for signal in ["INT", "TERM"] {
        let command = Waiting::start(&world, &results, &[]).await;
        results.publish(&page(&command.id, 0, true, &["s"])).await;
        assert_eq!(results.temporary_queues(&command.id).await.len(), 1);
        command.signal(signal);
        let output = command.end(&results).await;
        assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("incomplete: interrupted"));
    }
}
