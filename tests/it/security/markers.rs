//! No secret is printed: a marker is put in every property, every setting, the secret and the URL; each fails, and the marker
//! is in no response and no log. `outputs` tests report, metrics, dead letters and the process list. A secret's form is
//! checked before a connection, so that the role's privileges do not matter.

use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::support::{Action, HttpProxy, Worker, World, eventually, variable, worker_binary};

pub(super) const MARKER: &str = "hunter2marker";

/// What stands where something else belongs.
pub(super) fn secrets() -> [String; 3] {
    [
        json!({"username": "u", "password": MARKER}).to_string(),
        format!("postgres://u:{MARKER}@127.0.0.1:1/d"),
        format!("host=127.0.0.1 user=u password={MARKER}"),
    ]
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(both).unwrap()
}

#[tokio::test]
async fn a_secret_in_a_property_is_in_no_answer_and_no_log() {
    let world = World::new().await;
    let mut worker = Worker::start(
        &world,
        &[("RUST_LOG", "trace"), ("WORKER_METRICS_SECONDS", "1")],
    );
    // A test of the worker's compares it with the code.
    let schema: Value =
        serde_json::from_str(include_str!("../../../templates/properties.schema.json")).unwrap();
    let mut requests = Vec::new();
    for secret in secrets() {
        for name in schema["properties"].as_object().unwrap().keys() {
            // SNS delivers by the first; CloudFormation alone uses the second.
            if ["ServiceToken", "ServiceTimeout"].contains(&name.as_str()) {
                continue;
            }
            let mut properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
            properties[name] = match name.as_str() {
                "Extensions" => json!([secret]),
                "PluginsMap" => json!({&secret: ""}),
                _ => json!(secret),
            };
            requests.push(world.create_request(properties).await);
        }
        for field in ["Name", "Version", "Schema", "Ensure", "Cascade"] {
            let mut extension = json!({"Name": "hstore"});
            extension[field] = json!(secret);
            let properties = json!({"DBSecret": world.secret, "Extensions": [extension]});
            requests.push(world.create_request(properties).await);
        }
    }
    for request in &requests {
        world.publish(request).await;
    }
    for request in &requests {
        let answer = world.answer(request).await;
        // Any value of this one is right; of two requests of one resource the older may come too late.
        if request.message["ResourceProperties"]["Trigger"].is_null() {
            assert_eq!(answer["Status"], "FAILED", "{answer}");
        }
        assert!(!answer.to_string().contains(MARKER), "{answer}");
    }
    world
        .publish_text(
            &json!({"Type": "Resync", "ResyncId": "r", "Mode": "Report", "Targets": [{"Secret": secrets()[0]}]})
                .to_string(),
        )
        .await;
    let (_, reason) = world.dead_letter().await;
    assert!(reason.contains("Targets[0].Secret"), "{reason}");
    assert!(!reason.contains(MARKER), "{reason}");
    worker.signal("TERM");
    assert!(worker.exit().await.success());
    assert!(!worker.log().contains(MARKER));
    assert!(!worker.output().contains(MARKER));
}

#[tokio::test]
async fn an_answer_of_sqs_that_cannot_be_read_is_not_logged() {
    let world = World::new().await;
    let proxy = HttpProxy::start().await;
    let endpoint = proxy.endpoint();
    let mut worker = Worker::start(&world, &[("AWS_ENDPOINT_URL_SQS", &endpoint)]);
    // A message, of which the end is missing; and an error that is none of the service's.
    let body = format!("https://bucket/key?X-Amz-Signature={MARKER}");
    let cut_off = json!({"Messages": [{"MessageId": "1", "Body": body}]}).to_string();
    let cut_off = cut_off.trim_end_matches('}').to_owned();
    for status in [200, 400, 500] {
        let cut_off = cut_off.clone();
        let before = worker.log().matches("no messages can be received").count();
        proxy.decide(move |request| match request.contains("ReceiveMessage") {
            true => Action::Answer(status, cut_off.clone()),
            false => Action::Forward,
        });
        let line = "no messages can be received";
        worker.logged_times(line, before + 1).await;
    }
    proxy.decide(|_| Action::Forward);
    let properties = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    assert_eq!(world.create(properties).await["Status"], "SUCCESS");
    worker.signal("TERM");
    assert!(worker.exit().await.success());
    let log = worker.log();
    assert!(!log.contains(MARKER) && !log.contains("X-Amz"), "{log}");
}

#[tokio::test]
async fn a_log_at_trace_level_has_no_password_and_no_signature() {
    let world = World::new().await;
    let mut secret = world.credentials();
    secret["password"] = json!(MARKER);
    let wrong = format!("{}-wrong", world.name);
    world.create_secret(&wrong, &secret.to_string()).await;
    let mut worker = Worker::start(&world, &[("RUST_LOG", "trace")]);
    let request = world
        .create_request(json!({"DBSecret": wrong, "ServiceTimeout": "4", "Extensions": ["hstore"]}))
        .await;
    world.publish(&request).await;
    let answer = world.answer(&request).await;
    assert!(!answer.to_string().contains(MARKER), "{answer}");
    let right = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    assert_eq!(world.create(right).await["Status"], "SUCCESS");
    worker.signal("TERM");
    assert!(worker.exit().await.success());
    let log = worker.log();
    for secret in [
        MARKER,
        "X-Amz-Signature=",
        "Signature=",
        "AWS4-HMAC",
        "SecretString",
    ] {
        assert!(!log.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn the_fields_of_a_secret_are_in_no_answer() {
    let world = World::new().await;
    let mut worker = Worker::start(&world, &[("RUST_LOG", "trace")]);
    let mut requests = Vec::new();
    for field in ["username", "dbname", "host", "port", "engine"] {
        let hidden = json!({"password": MARKER}).to_string();
        let secret = world.secret_with(&json!({field: hidden})).await;
        let properties = json!({"DBSecret": secret, "Extensions": ["hstore"]});
        requests.push(world.create_request(properties).await);
    }
    let text = format!("{}-text", world.name);
    world.create_secret(&text, MARKER).await;
    let properties = json!({"DBSecret": text, "Extensions": ["hstore"]});
    requests.push(world.create_request(properties).await);
    for request in &requests {
        world.publish(request).await;
    }
    for request in &requests {
        let answer = world.answer(request).await;
        assert_eq!(answer["Status"], "FAILED", "{answer}");
        assert!(!answer.to_string().contains(MARKER), "{answer}");
    }
    worker.signal("TERM");
    assert!(worker.exit().await.success());
    assert!(!worker.log().contains(MARKER));
}

#[tokio::test]
async fn a_wrong_setting_is_named_with_its_variable_and_not_quoted() {
    let help = worker_binary().args(["run", "--help"]).output().unwrap();
    let help = text(&help);
    // As clap shows them: "[env: WORKER_QUEUE_URL=]".
    let variables: Vec<&str> = help
        .split("[env: ")
        .skip(1)
        .filter_map(|rest| rest.split(['=', ']']).next())
        .collect();
    assert!(variables.len() > 20, "{help}");
    for secret in secrets() {
        for variable in &variables {
            let output = worker_binary()
                .arg("run")
                .env("WORKER_QUEUE_URL", "http://127.0.0.1:1/q")
                // What is taken for a setting all the same ends here.
                .env("PGSSLMODE", "verify-full")
                .env("PGSSLROOTCERT", "/no/such/file")
                .env(variable, &secret)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let output_text = text(&output);
            assert_ne!(output.status.code(), Some(0), "{variable}: {output_text}");
            assert!(!output_text.contains(MARKER), "{variable}: {output_text}");
        }
    }
}

#[tokio::test]
async fn a_wrong_url_is_not_quoted_and_a_right_one_is_of_every_form() {
    let world = World::new().await;
    let file = std::path::PathBuf::from(variable("RUN_DIR")).join(format!("{}.json", world.name));
    std::fs::write(&file, "\u{feff}{\"Extensions\": [\"hstore\"]}").unwrap();
    let plan = |url: &str, by_flag: bool| {
        let mut command = worker_binary();
        command.arg("plan").arg(&file).stdin(Stdio::null());
        match by_flag {
            true => command.args(["--url", url]),
            false => command.env("DATABASE_URL", url),
        };
        command.output().unwrap()
    };
    for url in [
        format!("postgres://u:{MARKER}@h:port/d"),
        format!("mysql://u:{MARKER}@h/d"),
        format!("u:{MARKER}@h/d"),
        format!("postgres://u:{MARKER}@h/d?sslmode={MARKER}"),
        format!("postgres://u:{MARKER}@h/d?{MARKER}=1"),
    ] {
        for by_flag in [true, false] {
            let output = plan(&url, by_flag);
            let output_text = text(&output);
            assert_eq!(output.status.code(), Some(2), "{output_text}");
            assert!(
                output_text.contains("--url (DATABASE_URL)"),
                "{output_text}"
            );
            assert!(!output_text.contains(MARKER), "{output_text}");
        }
    }
    let url = format!(
        "postgres://{}:{}@{}:{}/{}?sslmode=disable&connect_timeout=10&application_name=psql",
        variable("PGUSER"),
        variable("PGPASSWORD"),
        variable("PGHOST"),
        variable("PGPORT"),
        world.database.name
    );
    let output_text = text(&plan(&url, false));
    assert!(
        output_text.starts_with("credentials: DATABASE_URL\n"),
        "{output_text}"
    );
    // The flag goes before the variable.
    let by_secret = worker_binary()
        .args(["plan", "--secret", &world.secret])
        .arg(&file)
        .env("DATABASE_URL", format!("postgres://u:{MARKER}@h:port/d"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let output_text = text(&by_secret);
    assert!(by_secret.status.success(), "{output_text}");
    assert!(
        output_text.contains("(--secret)") && !output_text.contains(MARKER),
        "{output_text}"
    );
    // And so does the file.
    let declared: Value = json!({"DBSecret": world.secret, "Extensions": ["hstore"]});
    std::fs::write(&file, declared.to_string()).unwrap();
    let output_text = text(&plan("postgres://nobody:p@127.0.0.1:1/d", false));
    assert!(
        output_text.contains("(DBSecret of the file)"),
        "{output_text}"
    );
    eventually("the file's removal", async || {
        std::fs::remove_file(&file).ok()
    })
    .await;
}
