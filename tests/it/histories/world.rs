//! Two databases, two workers and CloudFormation, and what must hold when a history is over.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use chrono::{DateTime, TimeDelta, Utc};
use extension_worker::handler::{Disposition, Handler};
use futures_util::future::join;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::history::{Change, Delivery, EXTENSIONS, History, Turn, Version, Wish};
use crate::support::{
    Answers, Asked, Database, Fixture, LOCK, connect, delivery, handler, variable,
};

/// What all histories of one test share.
pub(super) struct World {
    name: &'static str,
    /// The last cannot be worked on: somebody else's schema stands where the ledger should.
    databases: [Database; 3],
    admins: [Client; 2],
    answers: Answers,
    workers: RefCell<[Rc<Handler>; 2]>,
    /// When the newest request was published; no two are at the same time.
    published_at: Cell<DateTime<Utc>>,
    requests: Cell<i64>,
    histories: Cell<u32>,
    deaths: Cell<u32>,
    deliveries: Cell<u32>,
}

/// A request that CloudFormation published.
struct Request {
    key: String,
    body: String,
    acknowledged: Cell<bool>,
}

/// A resource as CloudFormation knows it.
#[derive(Debug, Clone)]
struct Resource {
    id: String,
    wish: Wish,
}

/// One history's part.
struct Life<'a> {
    world: &'a World,
    stack_id: String,
    resources: [Option<Resource>; 3],
    past: Vec<Rc<Request>>,
    /// What somebody installed by hand, in the first database, with what it requires.
    by_hand: BTreeSet<&'static str>,
    /// By database and extension the version that it has; where that is not certain it is not said.
    versions: BTreeMap<(usize, &'static str), Option<&'static str>>,
}

/// What CloudFormation was told.
#[derive(Debug, Clone)]
struct Answer {
    succeeded: bool,
    id: String,
    reason: String,
}

impl World {
    pub(super) async fn new(name: &'static str) -> Self {
        for (extension, requires) in [("a", None), ("b", Some("a")), ("c", None)] {
            let requires = requires.map_or_else(String::new, |other| {
                format!("requires = 'h_{name}_{other}'\n")
            });
            Fixture::install(
                &format!("h_{name}_{extension}"),
                &format!("default_version = '1.0'\n{requires}"),
                &[
                    ("1.0", "SELECT 1;"),
                    ("1.0--1.1", "SELECT 1;"),
                    ("1.1--1.0", "SELECT 1;"),
                ],
            );
        }
        let databases = [
            Database::create(&format!("h_{name}_0")).await,
            Database::create(&format!("h_{name}_1")).await,
            Database::create(&format!("h_{name}_2")).await,
        ];
        databases[2]
            .execute(&format!(
                "CREATE ROLE h_{name}; CREATE SCHEMA extension_worker AUTHORIZATION h_{name}"
            ))
            .await;
        let admins = [
            connect(&databases[0].name).await,
            connect(&databases[1].name).await,
        ];
        let answers = Answers::start().await;
        Self {
            name,
            databases,
            admins,
            workers: RefCell::new([Rc::new(handler(&answers)), Rc::new(handler(&answers))]),
            answers,
            published_at: Cell::new(Utc::now()),
            requests: Cell::new(0),
            histories: Cell::new(0),
            deaths: Cell::new(0),
            deliveries: Cell::new(0),
        }
    }

    /// What happened so far, for the one who reads the test's output.
    pub(super) fn tally(&self) -> String {
        format!(
            "{} lived through: {} requests, {} deliveries, {} of them ended by a worker's death",
            self.histories.get(),
            self.requests.get(),
            self.deliveries.get(),
            self.deaths.get()
        )
    }

    /// Lives through a history and judges it.
    ///
    /// # Errors
    /// What does not hold.
    pub(super) async fn live_through(&self, history: &History) -> Result<(), String> {
        let number = self.histories.get();
        self.histories.set(number + 1);
        self.reset(number.is_multiple_of(10)).await;
        let mut life = Life {
            world: self,
            stack_id: format!(
                "arn:aws:cloudformation:us-east-1:123456789012:stack/{}/{number}",
                self.name
            ),
            resources: [None, None, None],
            past: Vec::new(),
            by_hand: BTreeSet::new(),
            versions: BTreeMap::new(),
        };
        life.install_by_hand(&history.by_hand).await;
        for turn in &history.turns {
            life.take(turn).await?;
        }
        life.drain().await?;
        life.judge().await?;
        for resource in 0..life.resources.len() {
            life.remove(resource, None).await?;
        }
        life.judge().await
    }

    /// Empties the databases; of the ledger now and then the tables too.
    async fn reset(&self, whole: bool) {
        self.answers.clear();
        let names: Vec<String> = EXTENSIONS
            .iter()
            .map(|extension| format!("h_{}_{extension}", self.name))
            .collect();
        for admin in &self.admins {
            let ledger = if whole {
                "DROP SCHEMA IF EXISTS extension_worker CASCADE"
            } else {
                "DO $$ BEGIN IF to_regclass('extension_worker.ledger') IS NOT NULL THEN
                   DELETE FROM extension_worker.ledger;
                 ELSE
                   DROP SCHEMA IF EXISTS extension_worker;
                 END IF; END $$"
            };
            // A worker that died a moment ago may hold its lock for a moment yet.
            admin
                .batch_execute(&format!(
                    "SET client_min_messages = error; BEGIN;
                     {LOCK};
                     DROP EXTENSION IF EXISTS {} CASCADE; {ledger}; COMMIT",
                    names.join(",")
                ))
                .await
                .unwrap();
        }
    }

    /// Installed in a database, with versions; of the histories' extensions alone.
    async fn installed(&self, database: usize) -> BTreeMap<&'static str, String> {
        let rows = self.admins[database]
            .query("SELECT extname::text, extversion FROM pg_extension", &[])
            .await
            .unwrap();
        let all: BTreeMap<String, String> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        EXTENSIONS
            .into_iter()
            .filter_map(|extension| {
                let version = all.get(&format!("h_{}_{extension}", self.name))?;
                Some((extension, version.clone()))
            })
            .collect()
    }

    fn worker(&self, index: usize) -> Rc<Handler> {
        Rc::clone(&self.workers.borrow()[index])
    }

    /// Lets a worker handle a message; `None` where it dies, after which another takes its place.
    async fn handle(
        &self,
        index: usize,
        body: &str,
        dies: Option<(u32, bool)>,
    ) -> Option<Disposition> {
        self.deliveries.set(self.deliveries.get() + 1);
        let worker = self.worker(index);
        let message = delivery(body.to_owned());
        let disposition = {
            let mut handling = pin!(worker.handle(&message));
            let mut left = dies.map(|(steps, _)| steps);
            let dies_at_once = dies.is_some_and(|(_, at_once)| at_once);
            poll_fn(|context| {
                if left == Some(0) && !dies_at_once {
                    return Poll::Ready(None);
                }
                if let Poll::Ready(disposition) = handling.as_mut().poll(context) {
                    return Poll::Ready(Some(disposition));
                }
                left = left.map(|steps| steps.saturating_sub(1));
                if left == Some(0) && dies_at_once {
                    return Poll::Ready(None);
                }
                Poll::Pending
            })
            .await
        };
        if disposition.is_none() {
            self.deaths.set(self.deaths.get() + 1);
            self.workers.borrow_mut()[index] = Rc::new(handler(&self.answers));
        }
        disposition
    }
}

impl Life<'_> {
    async fn install_by_hand(&mut self, extensions: &[&'static str]) {
        for extension in extensions {
            self.world.admins[0]
                .batch_execute(&format!(
                    "CREATE EXTENSION h_{}_{extension} CASCADE",
                    self.world.name
                ))
                .await
                .unwrap();
            for name in with_requirements(extension) {
                self.by_hand.insert(name);
                self.versions.insert((0, name), Some("1.0"));
            }
        }
    }

    async fn take(&mut self, turn: &Turn) -> Result<(), String> {
        match (&turn.change, self.resources[turn.resource].clone()) {
            (Change::Declare(wish), None) => self.create(turn, wish).await?,
            (Change::Declare(wish), Some(now)) => self.update(turn, &now, wish).await?,
            (Change::Remove, Some(_)) => self.remove(turn.resource, Some(turn)).await?,
            (Change::Remove, None) => {}
        }
        for echo in &turn.echoes {
            if !self.past.is_empty() {
                let request = Rc::clone(echo.get(&self.past));
                self.deliver_in_peace(&request).await?;
            }
        }
        Ok(())
    }

    async fn create(&mut self, turn: &Turn, wish: &Wish) -> Result<(), String> {
        let create = self.publish(turn.resource, "Create", None, wish, None);
        match self.see(&create, Some(turn)).await? {
            Some(answer) if answer.succeeded => {
                self.resources[turn.resource] = Some(Resource {
                    id: answer.id,
                    wish: wish.clone(),
                });
                self.carried_out(wish);
            }
            Some(answer) => {
                self.uncertain(wish);
                let delete = self.publish(turn.resource, "Delete", Some(&answer.id), wish, None);
                self.must_succeed(&delete).await?;
            }
            None => {
                self.uncertain(wish);
                let delete = self.publish(
                    turn.resource,
                    "Delete",
                    Some("app-R-PLACEHOLDER"),
                    wish,
                    None,
                );
                if turn.at_once {
                    let (first, second) = join(
                        self.world.handle(0, &create.body, None),
                        self.world.handle(1, &delete.body, None),
                    )
                    .await;
                    acknowledge(&create, first)?;
                    acknowledge(&delete, second)?;
                }
                self.must_succeed(&delete).await?;
            }
        }
        Ok(())
    }

    async fn update(&mut self, turn: &Turn, now: &Resource, wish: &Wish) -> Result<(), String> {
        let update = self.publish(
            turn.resource,
            "Update",
            Some(&now.id),
            wish,
            Some(&now.wish),
        );
        let answer = self.see(&update, Some(turn)).await?;
        let answer = match answer {
            Some(answer) if answer.succeeded => answer,
            other => {
                self.uncertain(wish);
                let id = other.map_or_else(|| now.id.clone(), |failed| failed.id);
                let back = self.publish(turn.resource, "Update", Some(&id), &now.wish, Some(wish));
                let answer = self.must_succeed(&back).await?;
                if answer.id != now.id {
                    return Err(format!(
                        "the rollback gave id {}, not {}",
                        answer.id, now.id
                    ));
                }
                self.carried_out(&now.wish);
                return Ok(());
            }
        };
        if (answer.id != now.id) != (wish.alias != now.wish.alias) {
            return Err(format!("{} became {}", now.id, answer.id));
        }
        self.resources[turn.resource] = Some(Resource {
            id: answer.id.clone(),
            wish: wish.clone(),
        });
        self.carried_out(wish);
        if answer.id != now.id {
            let cleanup = self.publish(turn.resource, "Delete", Some(&now.id), &now.wish, None);
            self.must_succeed(&cleanup).await?;
            // What the old databases had, and the new do not, has nobody to take it away but this.
            self.forget_unused();
        }
        Ok(())
    }

    async fn remove(&mut self, resource: usize, turn: Option<&Turn>) -> Result<(), String> {
        let Some(now) = self.resources[resource].clone() else {
            return Ok(());
        };
        let delete = self.publish(resource, "Delete", Some(&now.id), &now.wish, None);
        match self.see(&delete, turn).await? {
            Some(answer) if answer.succeeded => {}
            Some(answer) => return Err(format!("a Delete failed: {}", answer.reason)),
            None => {
                let again = self.publish(resource, "Delete", Some(&now.id), &now.wish, None);
                self.must_succeed(&again).await?;
            }
        }
        self.resources[resource] = None;
        self.forget_unused();
        Ok(())
    }

    fn publish(
        &mut self,
        resource: usize,
        kind: &str,
        id: Option<&str>,
        wish: &Wish,
        old: Option<&Wish>,
    ) -> Rc<Request> {
        let world = self.world;
        let number = world.requests.get();
        world.requests.set(number + 1);
        let next = world.published_at.get() + TimeDelta::milliseconds(1);
        let published_at = next.max(Utc::now());
        world.published_at.set(published_at);
        let mut asked = Asked::new(
            &world.answers,
            (&self.stack_id, &format!("R{resource}")),
            &number.to_string(),
            kind,
            self.properties(wish),
            published_at,
        );
        if let Some(id) = id {
            asked = asked.of(id);
        }
        if let Some(old) = old {
            asked = asked.instead_of(self.properties(old));
        }
        let request = Rc::new(Request {
            body: asked.body(),
            key: asked.key,
            acknowledged: Cell::new(false),
        });
        self.past.push(Rc::clone(&request));
        request
    }

    fn properties(&self, wish: &Wish) -> Value {
        let extensions: Vec<Value> = wish
            .extensions
            .iter()
            .map(|(name, version)| {
                json!({
                    "Name": format!("h_{}_{name}", self.world.name),
                    "Version": version.text().unwrap_or_default(),
                    "AllowDowngrade": true,
                })
            })
            .collect();
        let databases: Vec<&str> = wish
            .databases
            .iter()
            .map(|&database| self.world.databases[database].name.as_str())
            .collect();
        let host = if wish.alias {
            "localhost".to_owned()
        } else {
            variable("PGHOST")
        };
        json!({"DBSecret": "given", "DBHost": host, "Databases": databases, "Extensions": extensions})
    }

    /// Lets a request meet its adventures. Without an answer CloudFormation waits, if it is patient; if not, `None`.
    async fn see(&self, request: &Request, turn: Option<&Turn>) -> Result<Option<Answer>, String> {
        for delivery in turn
            .map(|turn| turn.adventures.as_slice())
            .unwrap_or_default()
        {
            self.deliver(request, delivery).await?;
        }
        let patient = turn.is_none_or(|turn| turn.patient);
        if self.world.answers.of(&request.key).is_empty() && patient {
            self.deliver_in_peace(request).await?;
        }
        let answers = self.world.answers.of(&request.key);
        if patient && answers.is_empty() {
            return Err(format!("{} was not answered", request.key));
        }
        Ok(answers.first().map(|text| Answer::read(text)))
    }

    async fn must_succeed(&self, request: &Request) -> Result<Answer, String> {
        match self.see(request, None).await? {
            Some(answer) if answer.succeeded => Ok(answer),
            other => Err(format!("{} must succeed: {other:?}", request.body)),
        }
    }

    async fn deliver(&self, request: &Request, delivery: &Delivery) -> Result<(), String> {
        self.world
            .answers
            .decide(&request.key, delivery.puts.iter().copied());
        let dies = delivery.dies_after.map(|steps| (steps, delivery.at_once));
        let first = self.world.handle(delivery.worker, &request.body, dies);
        if delivery.twice {
            let second = self.world.handle(1 - delivery.worker, &request.body, None);
            let (first, second) = join(first, second).await;
            acknowledge(request, first)?;
            acknowledge(request, second)
        } else {
            acknowledge(request, first.await)
        }
    }

    async fn deliver_in_peace(&self, request: &Request) -> Result<(), String> {
        self.world.answers.decide(&request.key, []);
        let disposition = self.world.handle(0, &request.body, None).await;
        acknowledge(request, disposition)
    }

    /// What is still in the queue comes again, until there is nothing.
    async fn drain(&self) -> Result<(), String> {
        for request in &self.past {
            if !request.acknowledged.get() {
                self.deliver_in_peace(request).await?;
                if !request.acknowledged.get() {
                    return Err(format!("{} stays in the queue", request.key));
                }
            }
        }
        Ok(())
    }

    /// A request was carried out: what it says of versions holds from now on.
    fn carried_out(&mut self, wish: &Wish) {
        self.forget_unused();
        for &database in &wish.databases {
            for (name, version) in &wish.extensions {
                if let Some(version) = version.text() {
                    self.versions.insert((database, name), Some(version));
                }
                for needed in with_requirements(name) {
                    // What is new has the server's default.
                    self.versions
                        .entry((database, needed))
                        .or_insert(Some("1.0"));
                }
            }
        }
    }

    /// A request may have been carried out, or not, or in some of its databases.
    fn uncertain(&mut self, wish: &Wish) {
        for &database in wish.databases.iter().filter(|database| **database < 2) {
            let asked: BTreeSet<&str> = (wish.extensions.iter())
                .flat_map(|(name, _)| with_requirements(name))
                .collect();
            // What it drops comes back with the rollback, in the version that was declared or the server's default. What two
            // resources have, or somebody installed by hand, is not dropped.
            let owners = |name: &str| {
                let resources = self.resources.iter().flatten();
                let has = |wish: &Wish| {
                    let mut extensions = wish.extensions.iter();
                    wish.databases.contains(&database)
                        && extensions.any(|(own, _)| with_requirements(own).any(|own| own == name))
                };
                resources.filter(|resource| has(&resource.wish)).count()
            };
            for name in self.expected(database).difference(&asked) {
                if owners(name) == 1 && !(database == 0 && self.by_hand.contains(name)) {
                    self.versions.insert((database, name), None);
                }
            }
        }
        for &database in &wish.databases {
            for (name, version) in &wish.extensions {
                if *version != Version::Unset {
                    for needed in with_requirements(name) {
                        self.versions.insert((database, needed), None);
                    }
                }
            }
        }
    }

    /// What is not there has no version.
    fn forget_unused(&mut self) {
        let expected = [self.expected(0), self.expected(1), BTreeSet::new()];
        self.versions
            .retain(|(database, name), _| expected[*database].contains(name));
    }

    /// What must be installed: what live resources declare, what that requires, and what was there before.
    fn expected(&self, database: usize) -> BTreeSet<&'static str> {
        let declared = self
            .resources
            .iter()
            .flatten()
            .filter(|resource| resource.wish.databases.contains(&database))
            .flat_map(|resource| &resource.wish.extensions)
            .flat_map(|(name, _)| with_requirements(name));
        let by_hand = self.by_hand.iter().copied().filter(|_| database == 0);
        declared.chain(by_hand).collect()
    }

    /// After a history: each database is what the live resources asked for, and of the versions what was asked for last;
    /// what nobody declared is untouched; every request was answered in one way only.
    async fn judge(&self) -> Result<(), String> {
        for database in 0..self.world.admins.len() {
            let installed = self.world.installed(database).await;
            let names: BTreeSet<&str> = installed.keys().copied().collect();
            let expected = self.expected(database);
            if names != expected {
                return Err(format!(
                    "database {database} has {names:?}, and should have {expected:?}"
                ));
            }
            for ((of, name), version) in &self.versions {
                if let (true, Some(version)) = (*of == database, version)
                    && installed.get(name).map(String::as_str) != Some(*version)
                {
                    return Err(format!(
                        "database {database} has {name} {:?}, and should have {version}",
                        installed.get(name)
                    ));
                }
            }
        }
        for request in &self.past {
            let answers = self.world.answers.of(&request.key);
            if answers.windows(2).any(|two| two[0] != two[1]) {
                return Err(format!("answered in several ways: {answers:#?}"));
            }
        }
        Ok(())
    }
}

impl Answer {
    fn read(text: &str) -> Self {
        let answer: Value = serde_json::from_str(text).unwrap();
        let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
        Self {
            succeeded: answer["Status"] == "SUCCESS",
            id: text("PhysicalResourceId"),
            reason: text("Reason"),
        }
    }
}

fn acknowledge(request: &Request, disposition: Option<Disposition>) -> Result<(), String> {
    match disposition {
        Some(Disposition::Done) => request.acknowledged.set(true),
        Some(Disposition::DeadLetter(reason)) => return Err(format!("a dead letter: {reason}")),
        Some(Disposition::ReturnToQueue(_)) | None => {}
    }
    Ok(())
}

/// The extension, and what it requires.
fn with_requirements(name: &&'static str) -> impl Iterator<Item = &'static str> + use<> {
    let name = *name;
    [Some(name), (name == "b").then_some("a")]
        .into_iter()
        .flatten()
}
