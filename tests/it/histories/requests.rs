//! The requests of a stack's history: published, delivered as the history says, and answered.

use std::cell::Cell;
use std::rc::Rc;

use extension_worker::handler::Disposition;
use futures_util::future::join;
use serde_json::{Value, json};

use super::history::{Declared, Delivery, Operation};
use super::stack::StackHistory;
use super::staged;
use crate::support::{CloudFormationRequest, variable};

/// A request that CloudFormation published.
pub(super) struct Request {
    pub(super) key: String,
    pub(super) body: String,
    acknowledged: Cell<bool>,
}

/// What CloudFormation reads of a response.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) succeeded: bool,
    pub(super) id: String,
    pub(super) reason: String,
}

impl StackHistory<'_> {
    pub(super) fn publish(
        &mut self,
        resource: usize,
        kind: &str,
        id: Option<&str>,
        declared: &Declared,
        old: Option<&Declared>,
    ) -> Rc<Request> {
        let world = self.world;
        let (number, published_at) = world.next_request();
        let mut request = CloudFormationRequest::new(
            &world.answers,
            (&self.stack_id, &format!("R{resource}")),
            &number.to_string(),
            kind,
            self.properties(declared),
            published_at,
        );
        if let Some(id) = id {
            request = request.with_id(id);
        }
        if let Some(old) = old {
            request = request.with_old_properties(self.properties(old));
        }
        let request = Rc::new(Request {
            body: request.body(),
            key: request.key,
            acknowledged: Cell::new(false),
        });
        self.past.push(Rc::clone(&request));
        request
    }

    fn properties(&self, declared: &Declared) -> Value {
        let extensions: Vec<Value> = declared
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
        let databases: Vec<&str> = declared
            .databases
            .iter()
            .map(|&database| self.world.databases[database].name.as_str())
            .collect();
        let host = if declared.alias {
            "localhost".to_owned()
        } else {
            variable("PGHOST")
        };
        json!({"DBSecret": "given", "DBHost": host, "Databases": databases, "Extensions": extensions})
    }

    /// Lets a request meet its deliveries. Without an answer CloudFormation waits, if it is waits_for_response; if not, `None`.
    pub(super) async fn result(
        &self,
        request: &Request,
        operation: Option<&Operation>,
    ) -> Result<Option<Answer>, String> {
        for delivery in operation
            .map(|operation| operation.deliveries.as_slice())
            .unwrap_or_default()
        {
            self.deliver(request, delivery).await?;
        }
        let waits_for_response = operation.is_none_or(|operation| operation.waits_for_response);
        if self.world.answers.of(&request.key).is_empty() && waits_for_response {
            self.deliver_undisturbed(request).await?;
        }
        let answers = self.world.answers.of(&request.key);
        if waits_for_response && answers.is_empty() {
            return Err(format!("{} was not answered", request.key));
        }
        Ok(answers.first().map(|text| Answer::read(text)))
    }

    pub(super) async fn must_succeed(&self, request: &Request) -> Result<Answer, String> {
        match self.result(request, None).await? {
            Some(answer) if answer.succeeded => Ok(answer),
            other => Err(format!("{} must succeed: {other:?}", request.body)),
        }
    }

    async fn deliver(&self, request: &Request, delivery: &Delivery) -> Result<(), String> {
        self.world
            .answers
            .set_next(&request.key, delivery.puts.iter().copied());
        let kill = delivery.killed_after.map(|steps| (steps, delivery.at_once));
        let world = self.world;
        let first = async {
            match delivery.killed_after_stages {
                Some(stages) if request.body.contains(&staged::extension(world.name)) => {
                    let (worker, body) = (delivery.worker, &request.body);
                    world.handle_until_stage(worker, body, stages).await
                }
                _ => world.handle(delivery.worker, &request.body, kill).await,
            }
        };
        if delivery.twice {
            let second = world.handle(1 - delivery.worker, &request.body, None);
            let (first, second) = join(first, second).await;
            self.note_death(request, &first).await;
            acknowledge(request, first)?;
            acknowledge(request, second)
        } else {
            let first = first.await;
            self.note_death(request, &first).await;
            acknowledge(request, first)
        }
    }

    /// Counts a worker that died between two stages of the request.
    async fn note_death(&self, request: &Request, disposition: &Option<Disposition>) {
        let world = self.world;
        let names_staged = request.body.contains(&staged::extension(world.name));
        if disposition.is_some() || !names_staged {
            return;
        }
        let (_, request_id) = request.key.rsplit_once('|').unwrap();
        for admin in &world.admins {
            if staged::is_between_stages(admin, request_id).await {
                let deaths = &world.deaths_between_stages;
                deaths.set(deaths.get() + 1);
            }
        }
    }

    pub(super) async fn deliver_undisturbed(&self, request: &Request) -> Result<(), String> {
        self.world.answers.set_next(&request.key, []);
        let disposition = self.world.handle(0, &request.body, None).await;
        acknowledge(request, disposition)
    }

    /// What is still in the queue comes again, until there is nothing.
    pub(super) async fn drain(&self) -> Result<(), String> {
        for request in &self.past {
            if !request.acknowledged.get() {
                self.deliver_undisturbed(request).await?;
                if !request.acknowledged.get() {
                    return Err(format!("{} stays in the queue", request.key));
                }
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

pub(super) fn acknowledge(
    request: &Request,
    disposition: Option<Disposition>,
) -> Result<(), String> {
    match disposition {
        Some(Disposition::Done) => request.acknowledged.set(true),
        Some(Disposition::DeadLetter(reason)) => return Err(format!("a dead letter: {reason}")),
        Some(Disposition::ReturnToQueue(_)) | None => {}
    }
    Ok(())
}
