//! The edges of the custom resource protocol, one test each: what CloudFormation, SNS and SQS may do, and what is right
//! then. Where only the handler is concerned it is driven without the queue; the rest of these is in the other modules.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use extension_worker::handler::{Disposition, Handler, HandlerSettings};
use extension_worker::secrets::Password;
use extension_worker::server::Host;
use futures_util::future::join;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    Answers, Asked, Database, Fixture, Put, delivery, eventually, handler, handler_settings,
    handler_with, secret, variable,
};

/// A resource of a stack of the test's own, its database, and a worker.
struct Case {
    answers: Answers,
    database: Database,
    stack_id: String,
    /// When the next request is published.
    now: DateTime<Utc>,
    worker: Handler,
}

impl Case {
    async fn new() -> Self {
        let name = format!("e{}", &Uuid::new_v4().simple().to_string()[..12]);
        let answers = Answers::start().await;
        Self {
            database: Database::create(&name).await,
            stack_id: format!("arn:aws:cloudformation:us-east-1:123456789012:stack/{name}/1"),
            now: Utc::now(),
            worker: handler(&answers),
            answers,
        }
    }

    /// Properties for the test's database.
    fn declare(&self, extensions: &Value) -> Value {
        json!({"DBSecret": "given", "DBName": self.database.name, "Extensions": extensions})
    }

    /// A new request, newer than all before.
    fn ask(&mut self, kind: &str, properties: &Value) -> Asked {
        self.now += TimeDelta::milliseconds(1);
        let request_id = Uuid::new_v4().to_string();
        let resource = (self.stack_id.as_str(), "Extensions");
        Asked::new(
            &self.answers,
            resource,
            &request_id,
            kind,
            properties.clone(),
            self.now,
        )
    }

    /// Delivers a request to a worker; the answer that it put last.
    async fn delivered_to(&self, worker: &Handler, request: &Asked) -> Value {
        let disposition = worker.handle(&delivery(request.body())).await;
        assert_eq!(disposition, Disposition::Done);
        let answers = self.answers.of(&request.key);
        serde_json::from_str(answers.last().expect("an answer")).unwrap()
    }

    async fn answer(&self, request: &Asked) -> Value {
        self.delivered_to(&self.worker, request).await
    }

    /// Creates the resource; its id.
    async fn create(&mut self, extensions: &Value) -> String {
        let properties = self.declare(extensions);
        let create = self.ask("Create", &properties);
        let answer = self.answer(&create).await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        answer["PhysicalResourceId"].as_str().unwrap().to_owned()
    }

    async fn installed(&self) -> Vec<String> {
        self.database.extensions().await.into_keys().collect()
    }
}

/// The settings of a worker that gives a message back after a second.
fn impatient() -> HandlerSettings {
    HandlerSettings {
        patience: Duration::from_secs(1),
        ..handler_settings()
    }
}

fn reason(answer: &Value) -> &str {
    assert_eq!(answer["Status"], "FAILED", "{answer}");
    answer["Reason"].as_str().unwrap()
}

// 1
#[tokio::test]
async fn a_create_that_fails_before_anything_is_known_is_answered_with_a_marker_id() {
    let mut case = Case::new().await;
    let create = case.ask("Create", &json!({"Extensions": ["hstore"]}));
    let answer = case.answer(&create).await;
    assert_eq!(reason(&answer), "DBSecret: required");
    let id = answer["PhysicalResourceId"].as_str().unwrap();
    assert!(id.starts_with("not-created/Extensions/"), "{id}");
}

// 2
#[tokio::test]
async fn a_delete_with_the_marker_id_touches_nothing() {
    let mut case = Case::new().await;
    case.database.execute("CREATE EXTENSION hstore").await;
    let properties = case.declare(&json!([{"Name": "hstore", "Version": "no-such"}]));
    let create = case.ask("Create", &properties);
    let failed = case.answer(&create).await;
    let id = failed["PhysicalResourceId"].as_str().unwrap();
    let delete = case.ask("Delete", &properties).of(id);
    let answer = case.answer(&delete).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(case.installed().await, ["hstore"]);
    assert!(case.database.ddl().is_empty());
}

// 3
#[tokio::test]
async fn a_delete_with_an_unknown_id_is_decided_from_what_is_recorded() {
    let mut case = Case::new().await;
    let properties = case.declare(&json!(["hstore"]));
    // Nobody created it.
    case.database.execute("CREATE EXTENSION hstore").await;
    let delete = case
        .ask("Delete", &properties)
        .of("app-Extensions-1A2B3C4D5E6F");
    assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
    assert_eq!(case.installed().await, ["hstore"]);

    // The worker created it, and CloudFormation never learnt the id.
    let mut case = Case::new().await;
    case.create(&json!(["hstore"])).await;
    let properties = case.declare(&json!(["hstore"]));
    let delete = case
        .ask("Delete", &properties)
        .of("app-Extensions-1A2B3C4D5E6F");
    let answer = case.answer(&delete).await;
    assert_eq!(answer["Status"], "SUCCESS");
    assert_eq!(answer["PhysicalResourceId"], "app-Extensions-1A2B3C4D5E6F");
    assert!(case.installed().await.is_empty());
}

/// An extension whose script takes that long.
fn slow(case: &Case, seconds: u32) -> Fixture {
    Fixture::install(
        &format!("{}_slow", case.database.name),
        "default_version = '1'\n",
        &[("1", &format!("SELECT pg_sleep({seconds});"))],
    )
}

/// Waits until a worker carries out a statement that begins so.
async fn running(database: &Database, statement: &str) {
    let query = format!(
        "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'
         AND application_name = 'extension-worker' AND query LIKE '{statement}%'"
    );
    eventually("the statement", async || {
        (database.text(&query).await != "0").then_some(())
    })
    .await;
}

// 4
#[tokio::test]
async fn a_delete_that_arrives_while_its_create_runs_undoes_it() {
    let mut case = Case::new().await;
    let slow = slow(&case, 2);
    let properties = case.declare(&json!([slow.name]));
    let create = case.ask("Create", &properties);
    let delete = case
        .ask("Delete", &properties)
        .of("app-Extensions-1A2B3C4D5E6F");
    let other_worker = handler(&case.answers);
    let late = async {
        running(&case.database, "CREATE EXTENSION").await;
        case.delivered_to(&other_worker, &delete).await
    };
    let (created, deleted) = join(case.answer(&create), late).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    assert!(case.installed().await.is_empty());
    assert_eq!(case.database.ddl().len(), 2, "{:?}", case.database.ddl());
}

// 5
#[tokio::test]
async fn a_create_that_comes_after_its_delete_changes_nothing() {
    let mut case = Case::new().await;
    let properties = case.declare(&json!(["hstore"]));
    let create = case.ask("Create", &properties);
    let delete = case
        .ask("Delete", &properties)
        .of("app-Extensions-1A2B3C4D5E6F");
    assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
    let late = case.answer(&create).await;
    assert!(reason(&late).contains("newer request"), "{late}");
    assert!(case.installed().await.is_empty());
    assert!(case.database.ddl().is_empty());
}

/// With raw delivery the time of a request is that of its URL, which has whole seconds.
#[tokio::test]
async fn a_create_in_the_same_second_as_its_delete_is_the_older() {
    let mut case = Case::new().await;
    let properties = case.declare(&json!(["hstore"]));
    let create = case.ask("Create", &properties);
    let mut delete = case
        .ask("Delete", &properties)
        .of("app-Extensions-1A2B3C4D5E6F");
    delete.published_at = create.published_at;
    assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
    assert!(reason(&case.answer(&create).await).contains("newer request"));
    assert!(case.installed().await.is_empty());
}

// 6
#[tokio::test]
async fn what_a_create_did_in_some_databases_before_it_failed_is_undone_by_its_rollback() {
    let mut case = Case::new().await;
    let other = Database::create(&format!("{}_b", case.database.name)).await;
    other
        .execute("CREATE SCHEMA cube; CREATE TYPE public.cube AS ENUM ()")
        .await;
    let mut properties = case.declare(&json!(["cube"]));
    properties["Databases"] = json!([case.database.name, other.name]);
    let create = case.ask("Create", &properties);
    let failed = case.answer(&create).await;
    assert!(
        reason(&failed).contains(&format!(
            "Done before: {}: created cube",
            case.database.name
        )),
        "{failed}"
    );
    assert_eq!(case.installed().await, ["cube"]);
    let id = failed["PhysicalResourceId"].as_str().unwrap();
    let delete = case.ask("Delete", &properties).of(id);
    assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
    assert!(case.installed().await.is_empty());
}

// 7
#[tokio::test]
async fn an_extension_that_was_there_before_is_adopted_and_left() {
    let mut case = Case::new().await;
    case.database.execute("CREATE EXTENSION hstore").await;
    let id = case.create(&json!(["hstore", "cube"])).await;
    let properties = case.declare(&json!(["hstore", "cube"]));
    let delete = case.ask("Delete", &properties).of(&id);
    assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
    assert_eq!(case.installed().await, ["hstore"]);
}

// 8
#[tokio::test]
async fn a_delete_succeeds_at_once_where_host_or_database_is_gone_and_in_time_where_the_server_is_silent()
 {
    let mut case = Case::new().await;
    let mut gone = case.declare(&json!(["hstore"]));
    gone["DBName"] = json!("no_such_database");
    let mut no_host = case.declare(&json!(["hstore"]));
    no_host["DBHost"] = json!("no-such-host.invalid");
    for properties in [gone, no_host] {
        let begun = Instant::now();
        let delete = case.ask("Delete", &properties).of("id");
        assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?}",
            begun.elapsed()
        );
    }
    let mut down = case.declare(&json!(["hstore"]));
    down["DBPort"] = json!(1);
    down["ServiceTimeout"] = json!("4");
    case.now = Utc::now();
    let delete = case.ask("Delete", &down).of("id");
    assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
    down["OnUnreachableDelete"] = json!("Fail");
    case.now = Utc::now();
    let delete = case.ask("Delete", &down).of("id");
    let failed = case.answer(&delete).await;
    assert!(
        reason(&failed).starts_with("127.0.0.1:1 could not be reached"),
        "{failed}"
    );
}

// 9
#[tokio::test]
async fn an_update_that_fails_is_answered_with_the_id_that_it_came_with() {
    let mut case = Case::new().await;
    let id = case.create(&json!(["hstore"])).await;
    let old = case.declare(&json!(["hstore"]));
    let new = case.declare(&json!(["no_such_extension"]));
    for id in [id.as_str(), "an-id-of-long-ago"] {
        let update = case.ask("Update", &new).of(id).instead_of(old.clone());
        let failed = case.answer(&update).await;
        assert!(reason(&failed).contains("no_such_extension"), "{failed}");
        assert_eq!(failed["PhysicalResourceId"], id);
    }
}

// 10
#[tokio::test]
async fn a_resource_has_one_id_as_long_as_it_stays_on_its_server() {
    let mut case = Case::new().await;
    let id = case.create(&json!(["hstore"])).await;
    let old = case.declare(&json!(["hstore"]));
    let mut new = case.declare(&json!([{"Name": "cube", "Schema": "public"}]));
    new["DBHost"] = json!(variable("PGHOST"));
    new["DBName"] = json!("postgres");
    new["Databases"] = json!([case.database.name]);
    let update = case.ask("Update", &new).of(&id).instead_of(old);
    let answer = case.answer(&update).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(answer["PhysicalResourceId"], id);

    // A host name is the same in any letter case.
    let mut ids = Vec::new();
    for host in ["localhost", "LocalHost"] {
        let mut properties = case.declare(&json!(["hstore"]));
        properties["DBHost"] = json!(host);
        let create = case.ask("Create", &properties);
        ids.push(case.answer(&create).await["PhysicalResourceId"].clone());
    }
    assert_eq!(ids[0], ids[1]);
}

// 11
#[tokio::test]
async fn a_delete_of_an_old_id_leaves_what_the_new_id_has_in_the_same_database() {
    let mut case = Case::new().await;
    let id = case.create(&json!(["hstore"])).await;
    let old = case.declare(&json!(["hstore"]));
    // The same server by its other name.
    let mut new = old.clone();
    new["DBHost"] = json!("localhost");
    let update = case.ask("Update", &new).of(&id).instead_of(old.clone());
    let updated = case.answer(&update).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    assert_ne!(updated["PhysicalResourceId"], id);
    let cleanup = case.ask("Delete", &old).of(&id);
    assert_eq!(case.answer(&cleanup).await["Status"], "SUCCESS");
    assert_eq!(case.installed().await, ["hstore"]);

    let id = updated["PhysicalResourceId"].as_str().unwrap();
    let delete = case.ask("Delete", &new).of(id);
    assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
    assert!(case.installed().await.is_empty());
}

// 12
#[tokio::test]
async fn a_delete_drops_nothing_on_the_server_that_its_secret_leads_to_now() {
    let mut case = Case::new().await;
    let id = case.create(&json!(["hstore"])).await;
    // A snapshot of the server was restored, with the ledger in it, and the secret names the new host.
    let mut moved = secret();
    moved.host = Some(Host::parse("localhost").unwrap());
    let worker = handler_with(&case.answers, handler_settings(), moved);
    let properties = case.declare(&json!(["hstore"]));
    for id in [id.as_str(), "app-Extensions-1A2B3C4D5E6F"] {
        let delete = case.ask("Delete", &properties).of(id);
        let answer = case.delivered_to(&worker, &delete).await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        assert_eq!(case.installed().await, ["hstore"]);
    }
    // An Update noticed that, and gave the resource a new id: CloudFormation deletes the old one, with the same secret.
    let update = case
        .ask("Update", &properties)
        .of(&id)
        .instead_of(properties.clone());
    let updated = case.delivered_to(&worker, &update).await;
    assert_ne!(updated["PhysicalResourceId"], id);
    let cleanup = case.ask("Delete", &properties).of(&id);
    let answer = case.delivered_to(&worker, &cleanup).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(case.installed().await, ["hstore"]);
}

// 13
#[tokio::test]
async fn a_rollback_goes_back_to_the_version_and_to_the_form_of_properties_that_were_before() {
    let mut case = Case::new().await;
    let chain = Fixture::install(
        &format!("{}_chain", case.database.name),
        "default_version = '1.0'\n",
        &[
            ("1.0", "SELECT 1;"),
            ("1.0--2.0", "SELECT 1;"),
            ("2.0--1.0", "SELECT 1;"),
        ],
    );
    let old = json!({"DBSecret": "given", "DBName": case.database.name, "PluginsMap": {&chain.name: "1.0"}});
    let new = case.declare(&json!([{"Name": chain.name, "Version": "2.0"}]));
    let mut create = case.ask("Create", &old);
    create.message["ResourceType"] = json!("Custom::ExecuteSQL");
    let created = case.answer(&create).await;
    let id = created["PhysicalResourceId"].as_str().unwrap();
    let mut update = case.ask("Update", &new).of(id).instead_of(old.clone());
    update.message["ResourceType"] = json!("Custom::ExecuteSQL");
    assert_eq!(case.answer(&update).await["Status"], "SUCCESS");
    assert_eq!(case.database.extensions().await[&chain.name], "2.0");
    // Another resource of the stack failed.
    let mut back = case.ask("Update", &old).of(id).instead_of(new);
    back.message["ResourceType"] = json!("Custom::ExecuteSQL");
    let answer = case.answer(&back).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(answer["PhysicalResourceId"], id);
    assert_eq!(case.database.extensions().await[&chain.name], "1.0");
}

#[tokio::test]
async fn the_rollback_of_a_move_does_not_fail_for_the_place_that_could_not_be_moved_to() {
    let mut case = Case::new().await;
    let id = case.create(&json!(["hstore"])).await;
    let old = case.declare(&json!(["hstore"]));
    let other = Database::create(&format!("{}_b", case.database.name)).await;
    other
        .execute("CREATE ROLE nobody_in_particular; CREATE SCHEMA extension_worker AUTHORIZATION nobody_in_particular")
        .await;
    let with = |field: &str, value: Value| {
        let mut new = old.clone();
        new[field] = value;
        new["ServiceTimeout"] = json!("3");
        new
    };
    for new in [
        with("DBPort", json!(1)),
        with("DBHost", json!("no-such-host.invalid")),
        with("DBName", json!(other.name)),
    ] {
        case.now = Utc::now();
        let update = case.ask("Update", &new).of(&id).instead_of(old.clone());
        let failed = case.answer(&update).await;
        assert!(!reason(&failed).is_empty());
        let begun = Instant::now();
        let back = case.ask("Update", &old).of(&id).instead_of(new);
        let answer = case.answer(&back).await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        assert_eq!(answer["PhysicalResourceId"], id);
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(case.installed().await, ["hstore"]);
    }
}

#[tokio::test]
async fn a_dry_run_moves_nothing() {
    let mut case = Case::new().await;
    let id = case.create(&json!(["hstore"])).await;
    let old = case.declare(&json!(["hstore"]));
    let mut dry = case.declare(&json!(["cube"]));
    dry["DryRun"] = json!(true);
    let update = case.ask("Update", &dry).of(&id).instead_of(old.clone());
    let answer = case.answer(&update).await;
    assert_eq!(answer["PhysicalResourceId"], id);
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    for (field, value) in [("DBHost", "localhost"), ("DBName", "postgres")] {
        let mut elsewhere = dry.clone();
        elsewhere[field] = json!(value);
        let update = case
            .ask("Update", &elsewhere)
            .of(&id)
            .instead_of(old.clone());
        let failed = case.answer(&update).await;
        assert!(
            reason(&failed).starts_with("DryRun: cannot be combined"),
            "{failed}"
        );
        assert_eq!(failed["PhysicalResourceId"], id);
    }
    // The secret leads to the server by its other name now.
    let mut moved = secret();
    moved.host = Some(Host::parse("localhost").unwrap());
    let worker = handler_with(&case.answers, handler_settings(), moved);
    let update = case.ask("Update", &dry).of(&id).instead_of(old);
    let answer = case.delivered_to(&worker, &update).await;
    assert_eq!(answer["PhysicalResourceId"], id);
    assert_eq!(case.installed().await, ["hstore"]);
}

// 14
#[tokio::test]
async fn a_delete_is_not_held_up_by_properties_that_nobody_can_use() {
    let mut case = Case::new().await;
    for properties in [
        json!({"Old": "format"}),
        json!("nonsense"),
        json!({"DBSecret": "given", "Extensions": [{"Name": "a--b"}]}),
        Value::Null,
    ] {
        let delete = case.ask("Delete", &properties).of("id");
        let answer = case.answer(&delete).await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        assert_eq!(answer["PhysicalResourceId"], "id");
    }
}

// 15
#[tokio::test]
async fn a_request_that_comes_twice_is_answered_byte_for_byte_by_whoever_gets_it() {
    let mut case = Case::new().await;
    let other = Database::create(&format!("{}_b", case.database.name)).await;
    let alone = case.declare(&json!(["hstore"]));
    let mut both = case.declare(&json!(["cube"]));
    both["Databases"] = json!([case.database.name, other.name]);
    for properties in [alone, both] {
        let create = case.ask("Create", &properties);
        case.answer(&create).await;
        let ddl = (case.database.ddl(), other.ddl());
        // What the first answer told of has changed since.
        case.database
            .execute("CREATE EXTENSION IF NOT EXISTS citext")
            .await;
        case.answer(&create).await;
        case.delivered_to(&handler(&case.answers), &create).await;
        let answers = case.answers.of(&create.key);
        assert_eq!(answers.len(), 3);
        assert!(
            answers.iter().all(|answer| *answer == answers[0]),
            "{answers:#?}"
        );
        assert_eq!((case.database.ddl(), other.ddl()), ddl);
    }
}

/// A database that was made meanwhile would be first in the list.
#[tokio::test]
async fn what_was_answered_for_every_database_is_answered_again_whatever_databases_there_are() {
    let mut case = Case::new().await;
    let role = format!("{}_role", case.database.name);
    let (owned, password) =
        Database::create_owned(&format!("{}_b", case.database.name), &role).await;
    let mut own = secret();
    own.username = role.clone();
    own.password = Some(Password::new(password));
    own.dbname = Some(owned.name.clone());
    let worker = handler_with(&case.answers, handler_settings(), own.clone());
    let mut properties = case.declare(&json!([{"Name": "hstore", "Version": "no-such"}]));
    properties.as_object_mut().unwrap().remove("DBName");
    properties["Databases"] = json!("*");
    let create = case.ask("Create", &properties);
    let failed = case.delivered_to(&worker, &create).await;
    assert!(reason(&failed).contains("hstore"), "{failed}");
    assert!(
        reason(&failed).contains(&owned.name),
        "the secret's database comes first: {failed}"
    );
    assert_eq!(
        owned
            .text("SELECT count(*)::text FROM extension_worker.request")
            .await,
        "1"
    );
    let newer = Database::create(&format!("a{}", case.database.name)).await;
    let other_worker = handler_with(&case.answers, handler_settings(), own);
    case.delivered_to(&other_worker, &create).await;
    let answers = case.answers.of(&create.key);
    assert_eq!(answers[0], answers[1]);
    let ledger = "SELECT count(*)::text FROM pg_namespace WHERE nspname = 'extension_worker'";
    assert_eq!(newer.text(ledger).await, "0");
}

// 16
#[tokio::test]
async fn an_answer_whose_message_could_not_be_acknowledged_is_given_again() {
    let mut case = Case::new().await;
    let id = case.create(&json!(["hstore"])).await;
    let properties = case.declare(&json!(["hstore"]));
    let delete = case.ask("Delete", &properties).of(&id);
    case.answer(&delete).await;
    // The acknowledgement got lost; meanwhile somebody made use of the database.
    case.database.execute("CREATE EXTENSION hstore").await;
    case.delivered_to(&handler(&case.answers), &delete).await;
    let answers = case.answers.of(&delete.key);
    assert_eq!(answers[0], answers[1]);
    assert_eq!(case.installed().await, ["hstore"]);
}

// 17
#[tokio::test]
async fn a_message_whose_answer_is_not_taken_stays_in_the_queue() {
    let mut case = Case::new().await;
    let properties = case.declare(&json!(["hstore"]));
    let create = case.ask("Create", &properties);
    case.answers.decide(&create.key, [Put::Lost; 100]);
    let worker = handler_with(&case.answers, impatient(), secret());
    let given_back = worker.handle(&delivery(create.body())).await;
    assert!(
        matches!(given_back, Disposition::GiveBack(_)),
        "{given_back:?}"
    );
    assert_eq!(case.answers.of(&create.key), [""; 0]);
    case.answers.decide(&create.key, []);
    let answer = case.delivered_to(&handler(&case.answers), &create).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(case.database.ddl().len(), 1);
}

#[tokio::test]
async fn an_answer_is_put_again_where_that_may_help_and_nowhere_else() {
    let mut case = Case::new().await;
    let properties = case.declare(&json!(["no_such_extension"]));
    for status in [408, 429, 500, 503] {
        let create = case.ask("Create", &properties);
        case.answers.decide(&create.key, [Put::Status(status); 2]);
        let failed = case.answer(&create).await;
        assert!(reason(&failed).contains("is not available"), "{status}");
    }
    // The URL expired or is wrong; and nobody is led elsewhere.
    for status in [400, 403, 404, 301, 307] {
        let create = case.ask("Create", &properties);
        case.answers
            .decide(&create.key, [Put::Status(status), Put::Taken]);
        let disposition = case.worker.handle(&delivery(create.body())).await;
        assert_eq!(disposition, Disposition::Done, "{status}");
        assert_eq!(case.answers.of(&create.key), [""; 0]);
    }
    let keys = case.answers.all().into_iter().map(|(key, _)| key);
    assert!(keys.into_iter().all(|key| key.starts_with("arn:")));
}

// 18
#[tokio::test]
async fn at_the_deadline_the_statement_is_cancelled_and_the_answer_says_what_it_was() {
    let mut case = Case::new().await;
    let slow = slow(&case, 60);
    // What comes before takes its share of the time.
    let first = Fixture::install(
        &format!("{}_first", case.database.name),
        "default_version = '1'\n",
        &[("1", "SELECT pg_sleep(2);")],
    );
    let mut properties = case.declare(&json!([first.name, slow.name]));
    properties["ServiceTimeout"] = json!("5");
    let begun = Instant::now();
    let create = case.ask("Create", &properties);
    let failed = case.answer(&create).await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        reason(&failed).contains(&format!("Extension \"{}\"", slow.name)),
        "{failed}"
    );
    assert!(reason(&failed).contains("did not end in time"), "{failed}");
    assert!(case.installed().await.is_empty());
    let busy = "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database()
                AND query LIKE 'CREATE EXTENSION%' AND state <> 'idle'";
    eventually("the statement's end", async || {
        (case.database.text(busy).await == "0").then_some(())
    })
    .await;

    // What another request holds is told too.
    let _lock = case.database.lock().await;
    case.now = Utc::now();
    let create = case.ask("Create", &properties);
    let failed = case.answer(&create).await;
    assert!(
        reason(&failed).contains("somebody else holds a lock"),
        "{failed}"
    );
}

// 19
#[tokio::test]
async fn a_message_that_is_past_its_deadline_changes_nothing_and_is_not_answered() {
    let mut case = Case::new().await;
    let mut properties = case.declare(&json!(["hstore"]));
    properties["ServiceTimeout"] = json!("60");
    case.now = Utc::now() - TimeDelta::seconds(61);
    let create = case.ask("Create", &properties);
    let disposition = case.worker.handle(&delivery(create.body())).await;
    assert_eq!(disposition, Disposition::Done);
    assert_eq!(case.answers.of(&create.key), [""; 0]);
    assert!(case.installed().await.is_empty());

    // Raw delivery: the URL says when the request was made.
    let mut raw = case.ask("Create", &properties);
    for signed in [
        format!(
            "X-Amz-Date={}&X-Amz-Expires=7200&X-Amz-Signature=ab",
            case.now.format("%Y%m%dT%H%M%SZ")
        ),
        format!(
            "AWSAccessKeyId=A&Expires={}&Signature=ab",
            case.now.timestamp() + 7200
        ),
    ] {
        let url = raw.message["ResponseURL"].as_str().unwrap().to_owned();
        let (path, _) = url.split_once('?').unwrap();
        raw.message["ResponseURL"] = json!(format!("{path}?{signed}"));
        let disposition = case.worker.handle(&delivery(raw.message.to_string())).await;
        assert_eq!(disposition, Disposition::Done);
        assert_eq!(case.answers.of(&raw.key), [""; 0]);
    }
    assert!(case.installed().await.is_empty());

    // Nor is one that nobody could have carried out.
    let mut old = case.ask("Delete", &properties).of("id");
    old.message["ResourceType"] = json!("Custom::Other");
    let disposition = case.worker.handle(&delivery(old.body())).await;
    assert_eq!(disposition, Disposition::Done);
    assert_eq!(case.answers.of(&old.key), [""; 0]);
}

// 20
#[tokio::test]
async fn a_service_timeout_that_makes_no_sense_is_an_hour() {
    let mut case = Case::new().await;
    for timeout in [
        json!("soon"),
        json!("0"),
        json!("3601"),
        json!({}),
        json!(-1),
    ] {
        let properties = case.declare(&json!(["hstore"]));
        case.now = Utc::now() - TimeDelta::minutes(59);
        let mut create = case.ask("Create", &properties);
        create.message["ServiceTimeout"] = timeout.clone();
        let answer = case.answer(&create).await;
        assert_eq!(answer["Status"], "SUCCESS", "{timeout}: {answer}");
        case.now = Utc::now() - TimeDelta::minutes(61);
        let mut old = case.ask("Create", &properties);
        old.message["ServiceTimeout"] = timeout;
        case.worker.handle(&delivery(old.body())).await;
        assert_eq!(case.answers.of(&old.key), [""; 0]);
        case.stack_id.push('x');
    }
}

// 21
#[tokio::test]
async fn a_resource_type_that_is_not_served_fails_at_once_and_can_be_deleted() {
    let mut case = Case::new().await;
    let properties = case.declare(&json!(["hstore"]));
    let mut create = case.ask("Create", &properties);
    create.message["ResourceType"] = json!("Custom::MysqlPlugins");
    let failed = case.answer(&create).await;
    assert!(
        reason(&failed).contains("\"Custom::MysqlPlugins\" is not served"),
        "{failed}"
    );
    let id = failed["PhysicalResourceId"].as_str().unwrap();
    let mut delete = case.ask("Delete", &properties).of(id);
    delete.message["ResourceType"] = json!("Custom::MysqlPlugins");
    assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
    assert!(case.installed().await.is_empty());
}

// 22
#[tokio::test]
async fn a_request_that_cannot_be_understood_is_answered_where_it_says_where() {
    let mut case = Case::new().await;
    let good = case.declare(&json!(["hstore"]));
    let mut bad = good.clone();
    bad["Extensionz"] = json!([]);
    for (kind, properties, expected) in [
        ("Upsert", &good, "RequestType: \"Upsert\""),
        ("", &good, "RequestType: \"\""),
        ("Create", &bad, "Extensionz: unknown property"),
        (
            "Create",
            &json!([]),
            "ResourceProperties: must be an object",
        ),
        ("Update", &bad, "PhysicalResourceId"),
    ] {
        let request = case.ask(kind, properties);
        let failed = case.answer(&request).await;
        assert!(reason(&failed).contains(expected), "{failed}");
    }
    assert!(case.database.ddl().is_empty());
}

// 23
#[tokio::test]
async fn a_request_that_nobody_may_be_answered_about_is_a_dead_letter_and_touches_nothing() {
    let mut case = Case::new().await;
    let settings = HandlerSettings {
        topics: vec!["arn:aws:sns:us-east-1:123456789012:extension-worker".to_owned()],
        accounts: vec!["123456789012".to_owned()],
        ..handler_settings()
    };
    let worker = handler_with(&case.answers, settings, secret());
    let properties = case.declare(&json!(["hstore"]));
    let good = case.ask("Create", &properties);
    let with = |field: &str, value: Value| {
        let mut request = good.clone();
        request.message[field] = value;
        request.body()
    };
    let foreign = good
        .message
        .to_string()
        .replace("123456789012", "210987654321");
    for (body, expected) in [
        ("nonsense".to_owned(), "the body is not JSON"),
        (
            with("ResponseURL", json!("https://evil.example/")),
            "ResponseURL names host \"evil.example\"",
        ),
        (with("ResponseURL", Value::Null), "ResponseURL: missing"),
        (
            with("StackId", json!("arn:aws:s3:::bucket")),
            "StackId: not the ARN of a stack",
        ),
        (
            good.body().replace(":extension-worker", ":another"),
            "topic arn:aws:sns:us-east-1:123456789012:another",
        ),
        (foreign, "account 210987654321"),
        (
            with(
                "ResponseURL",
                json!(format!("https://{}/", "a".repeat(100_000))),
            ),
            "ResponseURL",
        ),
        (
            good.body().replace(
                ":extension-worker",
                &format!(":{}\\u0001", "x".repeat(100_000)),
            ),
            "topic arn:aws:sns",
        ),
    ] {
        match worker.handle(&delivery(body)).await {
            Disposition::DeadLetter(reason) => {
                assert!(reason.contains(expected), "{reason}");
                assert!(reason.len() < 2000 && !reason.contains(char::is_control));
            }
            other => panic!("{expected}: {other:?}"),
        }
    }
    assert_eq!(case.answers.of(&good.key), [""; 0]);
    assert!(case.installed().await.is_empty());
}

// 24
#[tokio::test]
async fn on_the_last_receive_a_request_fails_that_would_else_be_tried_again() {
    let mut case = Case::new().await;
    let mut properties = case.declare(&json!(["hstore"]));
    properties["DBPort"] = json!(1);
    let create = case.ask("Create", &properties);
    let settings = HandlerSettings {
        max_receives: 3,
        patience: Duration::from_secs(1),
        ..handler_settings()
    };
    let worker = handler_with(&case.answers, settings, secret());
    let mut message = delivery(create.body());
    message.receive_count = 2;
    let given_back = worker.handle(&message).await;
    assert!(
        matches!(given_back, Disposition::GiveBack(_)),
        "{given_back:?}"
    );
    assert_eq!(case.answers.of(&create.key), [""; 0]);
    message.receive_count = 3;
    assert_eq!(worker.handle(&message).await, Disposition::Done);
    let answers = case.answers.of(&create.key);
    assert!(
        answers[0].contains("127.0.0.1:1 could not be reached"),
        "{answers:?}"
    );
}

// 25
#[tokio::test]
async fn what_two_resources_own_goes_with_the_last_of_them() {
    let mut case = Case::new().await;
    let first = case.create(&json!(["hstore"])).await;
    let first_stack = case.stack_id.clone();
    case.stack_id.push_str("-other");
    let second = case.create(&json!(["hstore"])).await;
    let properties = case.declare(&json!(["hstore"]));
    for (stack_id, id, left) in [(first_stack, first, 1), (case.stack_id.clone(), second, 0)] {
        case.stack_id = stack_id;
        let delete = case.ask("Delete", &properties).of(&id);
        assert_eq!(case.answer(&delete).await["Status"], "SUCCESS");
        assert_eq!(case.installed().await.len(), left);
    }
}

// 26
#[tokio::test]
async fn what_failed_never_succeeds_later() {
    let mut case = Case::new().await;
    let name = format!("{}_late", case.database.name);
    let properties = case.declare(&json!([name]));
    let create = case.ask("Create", &properties);
    let failed = case.answer(&create).await;
    assert!(reason(&failed).contains("is not available"), "{failed}");
    // The cause is gone when the message comes again, to a worker that knows nothing of the first time.
    Fixture::install(&name, "default_version = '1'\n", &[("1", "SELECT 1;")]);
    case.delivered_to(&handler(&case.answers), &create).await;
    let answers = case.answers.of(&create.key);
    assert_eq!(answers[0], answers[1]);
    assert!(case.installed().await.is_empty());

    // Where no database could be asked, the worker itself remembers.
    let mut wrong = secret();
    wrong.password = Some(Password::new("wrong".to_owned()));
    let worker = handler_with(&case.answers, impatient(), wrong);
    let create = case.ask("Create", &case.declare(&json!(["hstore"])));
    case.delivered_to(&worker, &create).await;
    let begun = Instant::now();
    case.delivered_to(&worker, &create).await;
    assert!(
        begun.elapsed() < Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
    let answers = case.answers.of(&create.key);
    assert_eq!(answers[0], answers[1]);
}
