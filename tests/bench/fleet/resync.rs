//! Re-syncs by a worker of their own, with a topic of results that a queue listens to.

use std::time::{Duration, Instant};

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::worker::{Counts, Worker};
use crate::world::World;

/// What each database has, and a stack declares.
pub(crate) const EXTENSIONS: [&str; 4] = ["hstore", "citext", "pg_trgm", "pgcrypto"];
/// The version that a check is for: the newest that the worker's table knows.
const UPGRADE_TO: &str = "18";
/// How long a re-sync may take.
const TIMEOUT: Duration = Duration::from_secs(300);
/// A worker with this re-syncs one server after the other: several are then as one that has the databases of all.
pub(crate) const ONE_SERVER_AT_A_TIME: (&str, &str) = ("WORKER_CONCURRENCY", "2");
/// How exactly its end is seen. Who looks more often takes more from what is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A worker, and what its queue and its topic of results are.
pub(crate) struct Resyncs<'a> {
    world: &'a World,
    pub(crate) worker: Worker,
    queue: String,
    sqs: aws_sdk_sqs::Client,
    /// The topic of the results.
    listener: Option<String>,
}

impl<'a> Resyncs<'a> {
    /// One without a topic of results.
    pub(crate) async fn start_silent(world: &'a World) -> Self {
        Self::start_silent_with(world, &[]).await
    }

    /// The same with settings.
    pub(crate) async fn start_silent_with(world: &'a World, settings: &[(&str, &str)]) -> Self {
        let queue = world.queue().await;
        Self {
            world,
            worker: Worker::start(world, &queue, settings).await,
            queue,
            sqs: aws_sdk_sqs::Client::new(&world.config),
            listener: None,
        }
    }

    /// The queue that the worker reads.
    pub(crate) fn queue(&self) -> &str {
        &self.queue
    }

    pub(crate) async fn start(world: &'a World) -> Self {
        let sqs = aws_sdk_sqs::Client::new(&world.config);
        let sns = aws_sdk_sns::Client::new(&world.config);
        let (queue, listener) = (world.queue().await, world.queue().await);
        let arn = QueueAttributeName::QueueArn;
        let read = sqs.get_queue_attributes().queue_url(&listener);
        let read = read.attribute_names(arn.clone()).send().await.unwrap();
        let name = format!("{}-{}", world.name, Uuid::new_v4().simple());
        let topic = sns.create_topic().name(name).send().await.unwrap();
        let topic = topic.topic_arn.unwrap();
        let subscribed = sns
            .subscribe()
            .topic_arn(&topic)
            .protocol("sqs")
            .endpoint(&read.attributes.unwrap()[&arn])
            .attributes("RawMessageDelivery", "true")
            .send()
            .await;
        assert!(subscribed.is_ok(), "{subscribed:?}");
        let settings = [("WORKER_RESULTS_TOPIC_ARN", topic.as_str())];
        Self {
            world,
            worker: Worker::start(world, &queue, &settings).await,
            queue,
            sqs,
            listener: Some(listener),
        }
    }

    /// From the publication of a re-sync to when SNS has taken the last of its results. They are not received meanwhile:
    /// that would be another's work on the same cores.
    pub(crate) async fn time(&self, mode: &str, databases: &[String]) -> Duration {
        self.time_on(mode, databases, &[]).await
    }

    /// The same of a check before an upgrade, without a server to read the target's offer from.
    pub(crate) async fn time_upgrade_check(&self, databases: &[String]) -> Duration {
        let upgrade = json!({"To": UPGRADE_TO});
        self.time_of("UpgradeCheck", upgrade, databases, &[]).await
    }

    /// The same for several servers, which have these databases each: ports of the host, or none for the one server.
    pub(crate) async fn time_on(
        &self,
        mode: &str,
        databases: &[String],
        ports: &[u16],
    ) -> Duration {
        self.time_of(mode, Value::Null, databases, ports).await
    }

    async fn time_of(
        &self,
        mode: &str,
        upgrade: Value,
        databases: &[String],
        ports: &[u16],
    ) -> Duration {
        let target = json!({"Secret": self.world.name, "Databases": databases});
        let mut targets = vec![target.clone(); ports.len().max(1)];
        for (target, port) in targets.iter_mut().zip(ports) {
            target["Port"] = json!(port);
        }
        let servers = targets.len();
        // A check has a result for the server, too.
        let of_servers = if upgrade.is_null() { 0 } else { servers };
        let results = servers * databases.len() + of_servers;
        let before = self.worker.counts().await;
        let published = self.messages_published().await;
        let id = Uuid::new_v4().to_string();
        let message = json!({
            "Type": "Resync", "ResyncId": id, "Mode": mode, "Targets": targets,
            "Upgrade": upgrade,
        });
        let found = |counts: &Counts| counts.in_sync + counts.ready;
        let begun = Instant::now();
        self.world.send(&self.queue, &[(id, message)]).await;
        let end = loop {
            tokio::time::sleep(LOOK).await;
            let now = self.worker.counts().await;
            // The re-sync's own message, and those of the servers; those that went back to the queue meanwhile count too.
            let are_handled = now.handled - before.handled >= (1 + servers) as f64;
            if are_handled && found(&now) - found(&before) >= results as f64 {
                break now;
            }
            assert!(begun.elapsed() < TIMEOUT, "{now:?}");
        };
        let time = begun.elapsed();
        assert_eq!(found(&end) - found(&before), results as f64);
        // The servers, the results and the end.
        while self.listener.is_some()
            && self.messages_published().await < published + results + servers + 1
        {
            assert!(begun.elapsed() < TIMEOUT, "not all results are there");
            tokio::time::sleep(LOOK).await;
        }
        time
    }

    /// How many events were published so far.
    async fn messages_published(&self) -> usize {
        let Some(listener) = &self.listener else {
            return 0;
        };
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let read = self.sqs.get_queue_attributes().queue_url(listener);
        let read = read.attribute_names(name.clone()).send().await.unwrap();
        read.attributes.unwrap()[&name].parse().unwrap()
    }
}

/// Has a stack declare extensions of a database, which a worker makes and then lets go.
pub(crate) async fn declare(world: &World, database: &str) {
    let queue = world.queue().await;
    let _worker = Worker::start(world, &queue, &[]).await;
    let (id, mut request) = world.request(0, None);
    let properties = &mut request["ResourceProperties"];
    properties["DBName"] = json!(database);
    properties["Extensions"] = json!(EXTENSIONS);
    let requests = [(id, request)];
    world.send(&queue, &requests).await;
    world.answers(&requests, 1).await;
}
