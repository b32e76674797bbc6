//! Databases, two workers and the bucket of their responses.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use chrono::{DateTime, TimeDelta, Utc};
use extension_worker::handler::{Disposition, Handler};
use futures_util::future::{Either, select};
use tokio_postgres::Client;

use super::history::EXTENSIONS;
use super::staged;
use crate::support::{Database, Fixture, LOCK, ResponseBucket, connect, delivery, handler};

/// What all histories of one test share.
pub(super) struct World {
    pub(super) name: &'static str,
    /// Requests fail in the last: another role owns a schema of the ledger's name.
    pub(super) databases: [Database; 3],
    pub(super) admins: [Client; 2],
    pub(super) answers: ResponseBucket,
    workers: RefCell<[Rc<Handler>; 2]>,
    /// When the newest request was published; no two are at the same time.
    published_at: Cell<DateTime<Utc>>,
    requests: Cell<i64>,
    histories: Cell<u32>,
    kills: Cell<u32>,
    deliveries: Cell<u32>,
    /// Of the kills, those after which the ledger had a stage of the request and not the last.
    pub(super) deaths_between_stages: Cell<u32>,
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
        staged::install(name);
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
        for admin in &admins {
            staged::create_log(admin, name).await;
        }
        let answers = ResponseBucket::start().await;
        Self {
            name,
            databases,
            admins,
            workers: RefCell::new([Rc::new(handler(&answers)), Rc::new(handler(&answers))]),
            answers,
            published_at: Cell::new(Utc::now()),
            requests: Cell::new(0),
            histories: Cell::new(0),
            kills: Cell::new(0),
            deliveries: Cell::new(0),
            deaths_between_stages: Cell::new(0),
        }
    }

    /// What happened so far, for the test's output.
    pub(super) fn summary(&self) -> String {
        format!(
            "{} histories: {} requests, {} deliveries, {} of them ended by the kill of a worker, {} of these between two stages",
            self.histories.get(),
            self.requests.get(),
            self.deliveries.get(),
            self.kills.get(),
            self.deaths_between_stages.get()
        )
    }

    /// Counts a history, and empties the databases for it; its number.
    pub(super) async fn begin_history(&self) -> u32 {
        let number = self.histories.get();
        self.histories.set(number + 1);
        self.reset(number.is_multiple_of(10)).await;
        number
    }

    /// The number of the next request, and when it is published: later than the one before.
    pub(super) fn next_request(&self) -> (i64, DateTime<Utc>) {
        let number = self.requests.get();
        self.requests.set(number + 1);
        let next = self.published_at.get() + TimeDelta::milliseconds(1);
        let published_at = next.max(Utc::now());
        self.published_at.set(published_at);
        (number, published_at)
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
            // A worker that was killed a moment ago may hold its lock for a moment yet.
            admin
                .batch_execute(&format!(
                    "SET client_min_messages = error; BEGIN;
                     {LOCK};
                     DROP EXTENSION IF EXISTS {} CASCADE; DELETE FROM {}; {ledger}; COMMIT",
                    names.join(","),
                    staged::log(self.name),
                ))
                .await
                .unwrap();
        }
    }

    /// Installed in a database, with versions; of the histories' extensions alone.
    pub(super) async fn installed(&self, database: usize) -> BTreeMap<&'static str, String> {
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

    /// Lets a worker handle a message; `None` where it is killed, after which another takes its place.
    pub(super) async fn handle(
        &self,
        index: usize,
        body: &str,
        kill: Option<(u32, bool)>,
    ) -> Option<Disposition> {
        self.deliveries.set(self.deliveries.get() + 1);
        let worker = self.worker(index);
        let message = delivery(body.to_owned());
        let disposition = {
            let mut handling = Box::pin(worker.handle(&message));
            let mut left = kill.map(|(steps, _)| steps);
            let kill_at_once = kill.is_some_and(|(_, at_once)| at_once);
            poll_fn(|context| {
                if left == Some(0) && !kill_at_once {
                    return Poll::Ready(None);
                }
                if let Poll::Ready(disposition) = handling.as_mut().poll(context) {
                    return Poll::Ready(Some(disposition));
                }
                left = left.map(|steps| steps.saturating_sub(1));
                if left == Some(0) && kill_at_once {
                    return Poll::Ready(None);
                }
                Poll::Pending
            })
            .await
        };
        self.ended(index, disposition)
    }

    /// Lets a worker handle a message, and kills it where that many updates of the staged extension were committed meanwhile.
    pub(super) async fn handle_until_stage(
        &self,
        index: usize,
        body: &str,
        stages: u32,
    ) -> Option<Disposition> {
        self.deliveries.set(self.deliveries.get() + 1);
        let worker = self.worker(index);
        let message = delivery(body.to_owned());
        // Boxed: a test's thread has a small stack.
        let handling = Box::pin(worker.handle(&message));
        let committed = pin!(staged::wait_for_updates(&self.admins, self.name, stages));
        let disposition = match select(handling, committed).await {
            Either::Left((disposition, _)) => Some(disposition),
            Either::Right(_) => None,
        };
        self.ended(index, disposition)
    }

    /// Another worker takes the place of one that was killed.
    fn ended(&self, index: usize, disposition: Option<Disposition>) -> Option<Disposition> {
        if disposition.is_none() {
            self.kills.set(self.kills.get() + 1);
            self.workers.borrow_mut()[index] = Rc::new(handler(&self.answers));
        }
        disposition
    }
}
