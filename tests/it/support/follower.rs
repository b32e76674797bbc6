//! A results topic with a queue that hears all of it, for the tests of the workers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::queue_arn;
use super::{PATIENCE, World};

/// What a re-sync tells.
pub(crate) struct Follower<'a> {
    world: &'a World,
    pub(crate) topic_arn: String,
    queue_url: String,
}

/// All that was told of one re-sync, to its end.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Each database's first result, by target and database; an empty name where none was reached.
    pub(crate) results: BTreeMap<(String, String), Value>,
    /// How many results came, repeated ones too.
    pub(crate) count: usize,
    /// Databases of which one result says something else than another.
    pub(crate) differently: BTreeSet<String>,
    pages: BTreeMap<u64, bool>,
    keys: BTreeSet<String>,
    ends: BTreeMap<String, u64>,
}

impl Told {
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
                    self.differently.insert(database.1);
                }
            }
            other => panic!("{other}"),
        }
    }

    /// Whether there is nothing more to come but what is told again.
    pub(crate) fn is_complete(&self) -> bool {
        let last = self.pages.iter().find(|(_, last)| **last);
        let has_all_pages = last.is_some_and(|(page, _)| self.pages.len() as u64 == page + 1);
        let is_told = |key: &String| {
            let printed = self.results.keys().filter(|(of, _)| of == key).count() as u64;
            self.ends
                .get(key)
                .is_some_and(|results| printed >= *results)
        };
        has_all_pages && self.keys.iter().all(is_told)
    }

    /// The result of a database.
    pub(crate) fn of(&self, database: &str) -> &Value {
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

impl<'a> Follower<'a> {
    /// Makes the topic and the queue.
    pub(crate) async fn new(world: &'a World) -> Self {
        let name = format!("{}-follower", world.name);
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

    /// Publishes a re-sync with a new id, and hears it to its end.
    pub(crate) async fn of(&self, mode: &str, targets: Value, more: Value) -> Told {
        let id = Uuid::new_v4().to_string();
        self.of_id(&id, mode, targets, more).await
    }

    /// Publishes a re-sync, and hears it to its end.
    pub(crate) async fn of_id(&self, id: &str, mode: &str, targets: Value, more: Value) -> Told {
        let mut message =
            json!({"Type": "Resync", "ResyncId": id, "Mode": mode, "Targets": targets});
        for (name, value) in more.as_object().unwrap() {
            message[name] = value.clone();
        }
        self.world.publish_text(&message.to_string()).await;
        self.hear().await
    }

    /// Hears a re-sync to its end.
    pub(crate) async fn hear(&self) -> Told {
        let mut printed = Told::default();
        self.hear_until(&mut printed, Told::is_complete).await;
        printed
    }

    /// Publishes a report of all instances and clusters, other tests' too, and hears it until these keys have a result.
    pub(crate) async fn of_all_instances(&self, keys: &[&str]) -> Told {
        let id = Uuid::new_v4().to_string();
        let message = json!({
            "Type": "Resync", "ResyncId": id, "Mode": "Report", "Targets": [{"Instances": "*"}],
        });
        self.world.publish_text(&message.to_string()).await;
        let has_result =
            |printed: &Told, key: &str| printed.results.keys().any(|(of, _)| of == key);
        let mut printed = Told::default();
        self.hear_until(&mut printed, |printed| {
            keys.iter().all(|key| has_result(printed, key))
        })
        .await;
        printed
    }

    /// Hears more, until it is enough.
    pub(crate) async fn hear_until(&self, printed: &mut Told, is_enough: impl Fn(&Told) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_enough(printed) {
            assert!(Instant::now() < until, "{printed:?}");
            let sqs = &self.world.aws.sqs;
            let received = sqs
                .receive_message()
                .queue_url(&self.queue_url)
                .max_number_of_messages(10)
                .wait_time_seconds(1)
                .send()
                .await
                .unwrap();
            let mut heard = Vec::new();
            for message in received.messages.unwrap_or_default() {
                printed.note(serde_json::from_str(&message.body.unwrap()).unwrap());
                let entry = DeleteMessageBatchRequestEntry::builder()
                    .id(heard.len().to_string())
                    .receipt_handle(message.receipt_handle.unwrap());
                heard.push(entry.build().unwrap());
            }
            if !heard.is_empty() {
                sqs.delete_message_batch()
                    .queue_url(&self.queue_url)
                    .set_entries(Some(heard))
                    .send()
                    .await
                    .unwrap();
            }
        }
    }
}
