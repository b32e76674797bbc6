//! The least that a handler of extension requests can be: receive, parse, take a session from a pool, compare or create,
//! send the response, delete the message. It checks no signature, keeps no ledger, renews no lease and retries nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_config::BehaviorVersion;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message};
use serde_json::{Value, json};
use tokio::sync::{OnceCell, Semaphore, mpsc};
use tokio_postgres::{Client, NoTls, Statement};

/// Requests that are handled at the same time.
const IN_FLIGHT: usize = 8;
/// What SQS takes and gives in one call.
const BATCH: i32 = 10;
const WAIT_SECONDS: i32 = 20;

/// A session, and its prepared look at what is installed.
type Session = (Client, Statement);

struct Handler {
    secrets: aws_sdk_secretsmanager::Client,
    http: reqwest::Client,
    /// Of the only secret.
    secret: OnceCell<Value>,
    /// Idle sessions of each database.
    pool: Mutex<HashMap<String, Vec<Session>>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    rustls::crypto::ring::default_provider()
        .install_default()
        .unwrap();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .load()
        .await;
    let sqs = aws_sdk_sqs::Client::new(&config);
    let queue = std::env::args().nth(1).unwrap();
    let handler = Arc::new(Handler {
        secrets: aws_sdk_secretsmanager::Client::new(&config),
        http: reqwest::Client::new(),
        secret: OnceCell::new(),
        pool: Mutex::default(),
    });
    let (done, receipts) = mpsc::channel(1_000);
    tokio::spawn(delete(sqs.clone(), queue.clone(), receipts));
    let permits = Arc::new(Semaphore::new(IN_FLIGHT));
    loop {
        let receive = sqs.receive_message().queue_url(&queue);
        let receive = receive
            .max_number_of_messages(BATCH)
            .wait_time_seconds(WAIT_SECONDS);
        for message in receive.send().await.unwrap().messages.unwrap_or_default() {
            let permit = Arc::clone(&permits).acquire_owned().await.unwrap();
            let (handler, done) = (Arc::clone(&handler), done.clone());
            tokio::spawn(async move {
                handler.handle(&message).await;
                drop(permit);
                done.send(message).await.unwrap();
            });
        }
    }
}

/// Deletes what was handled, as many at a time as are there.
async fn delete(sqs: aws_sdk_sqs::Client, queue: String, mut handled: mpsc::Receiver<Message>) {
    let mut messages = Vec::new();
    while handled.recv_many(&mut messages, BATCH as usize).await > 0 {
        let entries = messages.drain(..).enumerate().map(|(n, message)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(n.to_string())
                .receipt_handle(message.receipt_handle.unwrap())
                .build()
                .unwrap()
        });
        let delete = sqs.delete_message_batch().queue_url(&queue);
        delete
            .set_entries(Some(entries.collect()))
            .send()
            .await
            .unwrap();
    }
}

impl Handler {
    async fn handle(&self, message: &Message) {
        let request: Value = serde_json::from_str(message.body.as_ref().unwrap()).unwrap();
        let properties = &request["ResourceProperties"];
        let database = text(&properties["DBName"]);
        let session = self.session(properties, &database).await;
        install(&session, properties["Extensions"].as_array().unwrap()).await;
        self.give_back(&database, session);
        let response = json!({
            "Status": "SUCCESS",
            "PhysicalResourceId": database,
            "StackId": request["StackId"],
            "RequestId": request["RequestId"],
            "LogicalResourceId": request["LogicalResourceId"],
        });
        let put = self.http.put(text(&request["ResponseURL"]));
        let put = put.body(response.to_string()).send().await.unwrap();
        assert!(put.status().is_success());
    }

    fn give_back(&self, database: &str, session: Session) {
        let mut pool = self.pool.lock().unwrap();
        pool.entry(database.to_owned()).or_default().push(session);
    }

    async fn session(&self, properties: &Value, database: &str) -> Session {
        let idle = self
            .pool
            .lock()
            .unwrap()
            .get_mut(database)
            .and_then(Vec::pop);
        if let Some(session) = idle {
            return session;
        }
        let secret = self.secret(&text(&properties["DBSecret"])).await;
        let (session, connection) = tokio_postgres::Config::new()
            .host(text(&secret["host"]))
            .port(properties["DBPort"].as_u64().unwrap() as u16)
            .user(text(&secret["username"]))
            .password(text(&secret["password"]))
            .dbname(database)
            .connect(NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        let query = "SELECT extname, extversion FROM pg_extension";
        let look = session.prepare(query).await.unwrap();
        (session, look)
    }

    async fn secret(&self, id: &str) -> &Value {
        let read = async || {
            let read = self.secrets.get_secret_value().secret_id(id).send().await;
            serde_json::from_str(&read.unwrap().secret_string.unwrap()).unwrap()
        };
        self.secret.get_or_init(read).await
    }
}

/// Creates the declared extensions that are not installed.
async fn install((session, look): &Session, declared: &[Value]) {
    let installed = session.query(look, &[]).await.unwrap();
    for name in declared.iter().map(text) {
        if !installed.iter().any(|row| row.get::<_, &str>(0) == name) {
            let create = format!("CREATE EXTENSION IF NOT EXISTS \"{name}\"");
            session.batch_execute(&create).await.unwrap();
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
