//! A results topic with a queue that is subscribed to it, for the tests of the workers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::queue_arn;
use super::{TIMEOUT, World};

/// A subscription to the results of re-syncs.
pub(crate) struct ResultsSubscriber<'a> {
    world: &'a World,
    pub(crate) topic_arn: String,
    queue_url: String,
}

/// The events of one re-sync, repeated ones included.
#[derive(Debug, Default)]
pub(crate) struct ResyncEvents {
    /// Each database's first result, by target and database; an empty name where none was reached.
    pub(crate) results: BTreeMap<(String, String), Value>,
    /// How many results came, repeated ones too.
    pub(crate) count: usize,
    /// Databases with results that differ.
    pub(crate) differing: BTreeSet<String>,
    pages: BTreeMap<u64, bool>,
    keys: BTreeSet<String>,
    ends: BTreeMap<String, u64>,
}

impl ResyncEvents {
    fn note(&mut self, event: Value) {
        match event["Type"].as_str().unwrap() {
            "ResyncTargets" => {
                let page = event["Page"].as_u64().unwrap();
                self.pages.insert(page, event["Last"] == true);
                for key in event["Servers"].as_array().unwrap() {
                    self.keys.insert(key.as_str().unwrap().to_owned());
                }
            }
            "ResyncServer" => {
                let key = event["Key"].as_str().unwrap().to_owned();
                self.ends.insert(key, event["Results"].as_u64().unwrap());
            }
            "ResyncResult" => {
                self.count += 1;
                let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
                let database = (text("Key"), text("Database"));
                let first = self.results.entry(database.clone());
                let first = first.or_insert_with(|| event.clone());
                if ["State", "Changes"].iter().any(|of| first[of] != event[of]) {
                    self.differing.insert(database.1);
                }
            }
            other => panic!("{other}"),
        }
    }

    /// Whether every event was received at least once.
    pub(crate) fn is_complete(&self) -> bool {
        let last = self.pages.iter().find(|(_, last)| **last);
        let has_all_pages = last.is_some_and(|(page, _)| self.pages.len() as u64 == page + 1);
        let has_all_results = |key: &String| {
            let events = self.results.keys().filter(|(of, _)| of == key).count() as u64;
            self.ends.get(key).is_some_and(|results| events >= *results)
        };
        has_all_pages && self.keys.iter().all(has_all_results)
    }

    /// The result of a database.
    pub(crate) fn result_of(&self, database: &str) -> &Value {
        let found = self.results.iter().find(|((_, name), _)| name == database);
        found.unwrap_or_else(|| panic!("{database}: {self:?}")).1
    }

    /// The results' states, by key and database.
    pub(crate) fn states(&self) -> Vec<(&str, &str, &str)> {
        self.results
            .iter()
            .map(|((key, database), result)| {
                let state = result["State"].as_str().unwrap();
                (key.as_str(), database.as_str(), state)
            })
            .collect()
    }
}

impl<'a> ResultsSubscriber<'a> {
    /// Makes the topic and the queue.
    pub(crate) async fn new(world: &'a World) -> Self {
        let name = format!("{}-subscriber", world.name);
        let aws = &world.aws;
        let topic = aws.sns.create_topic().name(&name).send().await.unwrap();
        let topic_arn = topic.topic_arn.unwrap();
        let queue = aws.sqs.create_queue().queue_name(&name).send().await;
        let queue_url = queue.unwrap().queue_url.unwrap();
        aws.sns
            .subscribe()
            .topic_arn(&topic_arn)
            .protocol("sqs")
            .endpoint(queue_arn(aws, &queue_url).await)
            .attributes("RawMessageDelivery", "true")
            .send()
            .await
            .unwrap();
        Self {
            world,
            topic_arn,
            queue_url,
        }
    }

    /// Publishes a re-sync with a new id, and receives its events to the last one.
    pub(crate) async fn run(&self, mode: &str, targets: Value, more: Value) -> ResyncEvents {
        let id = Uuid::new_v4().to_string();
        self.run_with_id(&id, mode, targets, more).await
    }

    /// Publishes a re-sync, and receives its events to the last one.
    pub(crate) async fn run_with_id(
        &self,
        id: &str,
        mode: &str,
        targets: Value,
        more: Value,
    ) -> ResyncEvents {
        let mut message =
            json!({"Type": "Resync", "ResyncId": id, "Mode": mode, "Targets": targets});
        for (name, value) in more.as_object().unwrap() {
            message[name] = value.clone();
        }
        self.world.publish_text(&message.to_string()).await;
        self.receive().await
    }

    /// Receives the events of a re-sync to the last one.
    pub(crate) async fn receive(&self) -> ResyncEvents {
        let mut events = ResyncEvents::default();
        self.receive_until(&mut events, ResyncEvents::is_complete)
            .await;
        events
    }

    /// Publishes a report of all instances and clusters, other tests' too, and receives events until these keys have
    /// a result.
    pub(crate) async fn run_for_instances(&self, keys: &[&str]) -> ResyncEvents {
        let id = Uuid::new_v4().to_string();
        let message = json!({
            "Type": "Resync", "ResyncId": id, "Mode": "Report", "Targets": [{"Instances": "*"}],
        });
        self.world.publish_text(&message.to_string()).await;
        let has_result =
            |events: &ResyncEvents, key: &str| events.results.keys().any(|(of, _)| of == key);
        let mut events = ResyncEvents::default();
        self.receive_until(&mut events, |events| {
            keys.iter().all(|key| has_result(events, key))
        })
        .await;
        events
    }

    /// Receives further events, until there are enough.
    pub(crate) async fn receive_until(
        &self,
        events: &mut ResyncEvents,
        is_enough: impl Fn(&ResyncEvents) -> bool,
    ) {
        let until = Instant::now() + TIMEOUT;
        while !is_enough(events) {
            assert!(Instant::now() < until, "{events:?}");
            let sqs = &self.world.aws.sqs;
            let received = sqs
                .receive_message()
                .queue_url(&self.queue_url)
                .max_number_of_messages(10)
                .wait_time_seconds(1)
                .send()
                .await
                .unwrap();
            let mut entries = Vec::new();
            for message in received.messages.unwrap_or_default() {
                events.note(serde_json::from_str(&message.body.unwrap()).unwrap());
                let entry = DeleteMessageBatchRequestEntry::builder()
                    .id(entries.len().to_string())
                    .receipt_handle(message.receipt_handle.unwrap());
                entries.push(entry.build().unwrap());
            }
            if !entries.is_empty() {
                sqs.delete_message_batch()
                    .queue_url(&self.queue_url)
                    .set_entries(Some(entries))
                    .send()
                    .await
                    .unwrap();
            }
        }
    }
}
