//! Secrets Manager rotates the secret while stacks are at work, in the steps that its own functions take: a pending
//! version, the database, a trial, and the pending version becomes the current one.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Database, Worker, World, eventually};

/// Extensions that any owner of a database may create: one for each stack.
const EXTENSIONS: [&str; 8] = [
    "btree_gin",
    "citext",
    "cube",
    "hstore",
    "intarray",
    "ltree",
    "pg_trgm",
    "unaccent",
];

#[tokio::test]
async fn a_password_that_rotates_under_load_fails_no_request() {
    let world = World::new().await;
    let rotated = Rotated::new(&world).await;
    let rotations = async {
        for number in 0..3 {
            rotated.is_logged_in(&rotated.role).await;
            rotated
                .rotate(&rotated.role, &format!("single-{number}"))
                .await;
        }
        rotated.is_logged_in(&rotated.role).await;
    };
    rotated.under_load(rotations).await;
}

#[tokio::test]
async fn users_that_alternate_under_load_fail_no_request_and_own_everything_together() {
    let world = World::new().await;
    let rotated = Rotated::new(&world).await;
    let clone = format!("{}_clone", rotated.role);
    let rotations = async {
        for (number, role) in [&clone, &rotated.role, &clone].into_iter().enumerate() {
            rotated.rotate(role, &format!("alternate-{number}")).await;
            rotated.is_logged_in(role).await;
        }
    };
    let _worker = rotated.under_load(rotations).await;
    // The clone made the last of them.
    let answer = world.create(rotated.declare("hstore")).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    let owners = "SELECT string_agg(DISTINCT owner::regrole::text, ',') FROM (
                      SELECT extowner FROM pg_extension WHERE extname <> 'plpgsql'
                      UNION ALL SELECT nspowner FROM pg_namespace WHERE nspname = 'extension_worker'
                  ) owned (owner)";
    assert_eq!(rotated.database.text(owners).await, rotated.role);
}

/// The role that owns a database, and its secret.
struct Rotated<'a> {
    world: &'a World,
    role: String,
    database: Database,
    secret: String,
    /// Requests that were answered so far.
    answered: AtomicUsize,
}

impl<'a> Rotated<'a> {
    async fn new(world: &'a World) -> Self {
        let role = format!("{}_role", world.name);
        let name = format!("{}_owned", world.name);
        let (database, password) = Database::create_owned(&name, &role).await;
        let changes = json!({"username": role, "password": password, "dbname": name});
        Self {
            world,
            role,
            database,
            secret: world.secret_with(&changes).await,
            answered: AtomicUsize::new(0),
        }
    }

    fn declare(&self, extension: &str) -> Value {
        json!({"DBSecret": self.secret, "Extensions": [extension]})
    }

    /// Creates and deletes resources without a pause until `rotations` are done: each is answered with SUCCESS. The worker
    /// goes on.
    async fn under_load(&self, rotations: impl Future<Output = ()>) -> Worker {
        let worker = Worker::start(self.world, &[("WORKER_SECRET_SECONDS", "1")]);
        let done = AtomicBool::new(false);
        let stacks = EXTENSIONS.map(async |extension| {
            while !done.load(Ordering::SeqCst) {
                let number = self.answered.load(Ordering::SeqCst);
                let logical_id = format!("{}{number}", extension.replace('_', ""));
                let properties = self.declare(extension);
                let created = self
                    .world
                    .create_request_of(&logical_id, properties.clone())
                    .await;
                self.world.publish(&created).await;
                let answer = self.world.answer(&created).await;
                assert_eq!(answer["Status"], "SUCCESS", "{answer}\n{}", worker.log());
                let id = answer["PhysicalResourceId"].as_str().unwrap();
                let deleted = self
                    .world
                    .delete_request_of(&logical_id, properties, id)
                    .await;
                self.world.publish(&deleted).await;
                let answer = self.world.answer(&deleted).await;
                assert_eq!(answer["Status"], "SUCCESS", "{answer}\n{}", worker.log());
                self.answered.fetch_add(2, Ordering::SeqCst);
            }
        });
        let rotations = async {
            rotations.await;
            done.store(true, Ordering::SeqCst);
        };
        tokio::join!(join_all(stacks), rotations);
        assert!(self.database.extensions().await.is_empty());
        worker
    }

    /// The steps of a rotation to this role, with a pause where a function would be called for the next one. The role's
    /// sessions end with its old password: who comes next has to log in.
    async fn rotate(&self, role: &str, password: &str) {
        let (mut value, current) = self.world.current_secret(&self.secret).await;
        let before = value["username"].as_str().unwrap().to_owned();
        value["username"] = json!(role);
        value["password"] = json!(password);
        let pending = self.world.put_pending_secret(&self.secret, &value).await;

        let exists = format!("SELECT count(*)::text FROM pg_roles WHERE rolname = '{role}'");
        if self.database.text(&exists).await == "0" {
            self.database
                .execute(&format!(
                    "CREATE ROLE {role} WITH LOGIN PASSWORD '{password}'; GRANT {before} TO {role}"
                ))
                .await;
        } else {
            let change = format!("ALTER USER {role} WITH PASSWORD '{password}'");
            self.database.execute(&change).await;
            // By then the old password is refused.
            let end = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
            );
            self.database.execute(&end).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;

        self.world
            .move_current_secret(&self.secret, &current, &pending)
            .await;
        let before = self.answered.load(Ordering::SeqCst);
        eventually("as many answers again as there are stacks", async || {
            let more = self.answered.load(Ordering::SeqCst) - before;
            (more >= EXTENSIONS.len()).then_some(())
        })
        .await;
    }

    /// Waits until the worker works as that role.
    async fn is_logged_in(&self, role: &str) {
        let sessions = format!(
            "SELECT count(*)::text FROM pg_stat_activity
             WHERE usename = '{role}' AND application_name = 'extension-worker'"
        );
        eventually(&format!("a session of {role}"), async || {
            (self.database.text(&sessions).await != "0").then_some(())
        })
        .await;
    }
}
