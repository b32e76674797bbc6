//! Messages that are broken in every way: whoever can write to the queue can send them.

use std::io::Write as _;

use chrono::Utc;
use extension_worker::handler::Disposition;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::{Map, Value, json};

use crate::support::{
    CloudFormationRequest, ResponseBucket, Worker, World, delivery, eventually, handler_settings,
    handler_with, secret,
};

const MESSAGES: u32 = 20_000;
const STACK: &str = "arn:aws:cloudformation:us-east-1:123456789012:stack/mutations/1";

/// One change to a body.
#[derive(Debug, Clone)]
enum Mutation {
    /// The n-th value of the document, the envelope's or the request's, becomes another.
    Replace(Index, Value),
    /// The n-th field goes.
    Remove(Index),
    /// A field comes twice.
    Repeat(Index, Value),
    /// A field is nested so deep.
    Nest(usize),
    /// The text ends early.
    Truncate(Index),
    /// Bytes are replaced, whatever they stand in; what is no UTF-8 then becomes U+FFFD, as SQS has no other.
    Overwrite(Index, Vec<u8>),
    /// The request stands alone, as with raw delivery.
    Unwrap,
    /// The answer is to go elsewhere.
    Divert(usize),
}

/// Where an answer must never go; `{}` is a server that listens.
const ELSEWHERE: [&str; 6] = [
    "http://{}/",
    "http://127.0.0.1@{}/",
    "https://{}/x?X-Amz-Signature=ab",
    "http://169.254.169.254/latest/meta-data",
    "file:///etc/passwd",
    "gopher://{}/",
];

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
        Just(json!("\u{0}\u{1f600}\u{202e}")),
        Just(json!("a".repeat(200_000))),
        Just(json!("2262-04-12T00:00:00Z")),
        Just(json!("-262143-01-01T00:00:00Z")),
        Just(json!("99999999999999999999")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[A-Za-z]{0,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        8 => (any::<Index>(), any_value()).prop_map(|(at, value)| Mutation::Replace(at, value)),
        3 => any::<Index>().prop_map(Mutation::Remove),
        2 => (any::<Index>(), any_value()).prop_map(|(at, value)| Mutation::Repeat(at, value)),
        1 => prop::sample::select(vec![10, 127, 128, 1_000, 100_000]).prop_map(Mutation::Nest),
        1 => any::<Index>().prop_map(Mutation::Truncate),
        3 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..5))
            .prop_map(|(at, bytes)| Mutation::Overwrite(at, bytes)),
        1 => Just(Mutation::Unwrap),
        2 => (0..ELSEWHERE.len()).prop_map(Mutation::Divert),
    ]
}

/// Applies the changes to a request, those of the document before those of its text.
fn mutate(request: &CloudFormationRequest, mutations: &[Mutation], elsewhere: &str) -> String {
    let mut message = request.message.clone();
    let mut envelope: Value = serde_json::from_str(&request.body()).unwrap();
    let mut unwrapped = false;
    let mut repeated = String::new();
    let mut of_text = Vec::new();
    for mutation in mutations {
        match mutation {
            Mutation::Replace(at, value) => match at.index(5) {
                0 => *nth(&mut envelope, at) = value.clone(),
                _ => *nth(&mut message, at) = value.clone(),
            },
            Mutation::Remove(at) => {
                let map: &mut Map<String, Value> = match at.index(5) {
                    0 => envelope.as_object_mut().unwrap(),
                    1 => match message["ResourceProperties"].as_object_mut() {
                        Some(properties) => properties,
                        None => continue,
                    },
                    _ => message.as_object_mut().unwrap(),
                };
                if !map.is_empty() {
                    let name = map.keys().nth(at.index(map.len())).unwrap().clone();
                    map.remove(&name);
                }
            }
            Mutation::Repeat(at, value) => {
                let map = message.as_object().unwrap();
                if !map.is_empty() {
                    let name = map.keys().nth(at.index(map.len())).unwrap();
                    repeated = format!(",{}:{value}", json!(name));
                }
            }
            Mutation::Nest(levels) => {
                let (open, close) = ("[".repeat(*levels), "]".repeat(*levels));
                repeated = format!(",\"ResourceProperties\":{open}{close}");
            }
            Mutation::Unwrap => unwrapped = true,
            Mutation::Divert(to) => {
                message["ResponseURL"] = json!(ELSEWHERE[*to].replace("{}", elsewhere));
            }
            Mutation::Truncate(_) | Mutation::Overwrite(..) => of_text.push(mutation),
        }
    }
    // Of two fields of one name the last counts.
    let text = message.to_string();
    let text = format!("{}{repeated}}}", text.strip_suffix('}').unwrap());
    let mut bytes = if unwrapped || !envelope.is_object() {
        text
    } else {
        if envelope["Message"].is_string() {
            envelope["Message"] = json!(text);
        }
        envelope.to_string()
    }
    .into_bytes();
    for mutation in of_text {
        if bytes.is_empty() {
            break;
        }
        match mutation {
            Mutation::Truncate(at) => bytes.truncate(at.index(bytes.len())),
            Mutation::Overwrite(at, with) => {
                let at = at.index(bytes.len());
                for (place, byte) in bytes[at..].iter_mut().zip(with) {
                    *place = *byte;
                }
            }
            _ => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The n-th value of the document's own or of what it holds; it stays an object.
fn nth<'a>(document: &'a mut Value, at: &Index) -> &'a mut Value {
    let map = document.as_object_mut().unwrap();
    let index = at.index(map.len().max(1));
    if map.is_empty() {
        map.insert("x".to_owned(), Value::Null);
    }
    let value = map.values_mut().nth(index).unwrap();
    let is_leaf = value.as_object().is_none_or(Map::is_empty);
    if is_leaf || at.index(3) == 0 {
        return value;
    }
    let inner = value.as_object_mut().unwrap();
    let index = at.index(inner.len());
    inner.values_mut().nth(index).unwrap()
}

fn request(answers: &ResponseBucket, number: usize) -> CloudFormationRequest {
    let properties = json!({
        "DBSecret": "given",
        "DBName": "postgres",
        "Databases": ["a", "b"],
        "PluginsMap": {"PostGIS": "3.0.3"},
        "Extensions": ["hstore", {"Name": "pg_trgm", "Version": "1.*", "Schema": "public"}],
        "ServiceTimeout": "600",
    });
    let kind = ["Create", "Update", "Delete"][number % 3];
    let resource = (STACK, "Extensions");
    let id = number.to_string();
    let request =
        CloudFormationRequest::new(answers, resource, &id, kind, properties.clone(), Utc::now());
    match kind {
        "Create" => request,
        _ => request.with_id("an-id").with_old_properties(properties),
    }
}

#[test]
fn no_message_makes_the_worker_panic_or_answer_elsewhere() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (answers, elsewhere) =
        runtime.block_on(async { (ResponseBucket::start().await, ResponseBucket::start().await) });
    // What is understood fails at once, and is answered: there is no password.
    let mut secret = secret();
    secret.password = None;
    let worker = runtime.block_on(async { handler_with(&answers, handler_settings(), secret) });
    let config = Config {
        cases: MESSAGES,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[5; 32]);
    let strategy = (any::<u32>(), prop::collection::vec(mutation(), 1..4));
    let tally = std::cell::RefCell::new([0_u32; 3]);
    TestRunner::new_with_rng(config, rng)
        .run(&strategy, |(number, mutations)| {
            answers.clear();
            let request = request(&answers, number as usize);
            let body = mutate(
                &request,
                &mutations,
                elsewhere.origin().trim_start_matches("http://"),
            );
            let disposition = runtime.block_on(worker.handle(&delivery(body)));
            match disposition {
                Disposition::Done => tally.borrow_mut()[0] += 1,
                Disposition::DeadLetter(reason) => {
                    prop_assert!(!reason.contains("X-Amz-Signature"), "{}", reason);
                    prop_assert!(reason.len() < 2000, "{}", reason);
                    tally.borrow_mut()[1] += 1;
                }
                Disposition::ReturnToQueue(_) => tally.borrow_mut()[2] += 1,
            }
            for (path, bodies) in answers.all() {
                for body in bodies {
                    prop_assert!(body.len() <= 4096);
                    let answer: Value = serde_json::from_str(&body)
                        .map_err(|error| TestCaseError::fail(error.to_string()))?;
                    let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
                    let key = format!(
                        "{}|{}|{}",
                        text("StackId"),
                        text("LogicalResourceId"),
                        text("RequestId")
                    );
                    prop_assert_eq!(&path, &key, "the key is another request's");
                    prop_assert!(!text("PhysicalResourceId").is_empty());
                }
            }
            prop_assert!(elsewhere.all().is_empty());
            Ok(())
        })
        .unwrap_or_else(|fault| panic!("{fault}"));
    let [done, dead, given_back] = *tally.borrow();
    let mut output = std::io::stderr();
    writeln!(
        output,
        "mutated messages: {MESSAGES}; {done} done with, {dead} dead letters, {given_back} given back"
    )
    .unwrap();
    assert!(
        done > MESSAGES / 10 && dead > MESSAGES / 10,
        "too much of one kind"
    );
    assert_eq!(given_back, 0);
}

/// The same through the queue and the real process, whose memory is measured.
#[tokio::test]
async fn the_memory_of_a_worker_is_bounded_whatever_comes() {
    let world = World::new().await;
    let worker = Worker::start(&world, &[]);
    worker.logged("receiving").await;
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    let good = world.create_request(properties).await;
    for round in 0..20 {
        let mut huge = good.message.clone();
        for field in ["Extensions", "DBName", "Databases"] {
            huge["ResourceProperties"][field] = match round % 4 {
                0 => json!(vec!["x"; 20_000]),
                1 => json!("x".repeat(200_000)),
                2 => json!(vec![json!({"Name": "x"}); 5_000]),
                _ => json!({"x": "[".repeat(100_000)}),
            };
            huge["RequestId"] = json!(format!("{round}-{field}"));
            world.send_raw(&huge.to_string()).await;
            huge["ResourceProperties"] = good.message["ResourceProperties"].clone();
        }
        world
            .send_raw(&format!("{{\"Type\":{}", "[".repeat(200_000)))
            .await;
    }
    eventually("the end of all of them", async || {
        let (left, _) = world.depths().await;
        (left == 0).then_some(())
    })
    .await;
    world.publish(&good).await;
    assert_eq!(world.answer(&good).await["Status"], "SUCCESS");
    let peak = worker.peak_memory_kib();
    assert!(peak < 60 * 1024, "{peak} KiB");
    assert!(!worker.log().contains("panicked"));
}
