//! Messages that are broken in every way, as each sender to the queue can send them.

mod mutation;

use self::mutation::{mutate, mutation};

use std::io::Write as _;

use chrono::Utc;
use extension_worker::handler::Disposition;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::support::{
    CloudFormationRequest, ResponseBucket, Worker, World, delivery, eventually, handler_settings,
    handler_with, secret,
};

const MESSAGES: u32 = 20_000;
const STACK: &str = "arn:aws:cloudformation:us-east-1:123456789012:stack/mutations/1";

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
