//! SNS's signatures, as LocalStack makes them with a certificate of its own.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Request, ResultsSubscriber, Worker, World, variable};

/// Starts a worker that takes LocalStack's certificate.
fn start(world: &World, check: &str) -> Worker {
    let origin = variable("AWS_ENDPOINT_URL");
    Worker::start(
        world,
        &[
            ("WORKER_SNS_SIGNATURE", check),
            ("WORKER_SNS_CERTIFICATE_ORIGIN", &origin),
        ],
    )
}

async fn hstore(world: &World) -> Request {
    world
        .create_request(json!({"DBSecret": world.secret, "Extensions": ["hstore"]}))
        .await
}

/// The request in the envelope that SNS signed around it.
async fn signed(world: &World, request: &Request) -> Value {
    world.publish(request).await;
    serde_json::from_str(&world.receive_and_delete().await).unwrap()
}

/// Waits until a request is in the dead-letter queue; the reason. Nothing was done, and no response was sent.
async fn refusal(world: &World, request: &Request) -> String {
    let (_, reason) = world.dead_letter().await;
    assert_eq!(world.answer_now(request).await, None);
    assert!(world.database.extensions().await.is_empty());
    reason
}

#[tokio::test]
async fn what_sns_signed_is_carried_out() {
    for version in ["1", "2"] {
        let world = World::new().await;
        world.sign_with(version).await;
        let request = hstore(&world).await;
        let envelope = signed(&world, &request).await;
        assert_eq!(envelope["SignatureVersion"], version);
        let worker = start(&world, "enforce");
        world.send_raw(&envelope.to_string()).await;
        let answer = world.answer(&request).await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        assert!(worker.log().contains("WORKER_SNS_CERTIFICATE_ORIGIN"));
    }
}

#[tokio::test]
async fn a_changed_envelope_goes_to_the_dead_letter_queue() {
    let world = World::new().await;
    world.sign_with("2").await;
    let request = hstore(&world).await;
    let genuine = signed(&world, &request).await;
    assert_eq!(genuine["SignatureVersion"], "2");
    let message = genuine["Message"].as_str().unwrap();
    let endpoint = variable("AWS_ENDPOINT_URL");
    let _worker = start(&world, "enforce");
    for (field, value, expected) in [
        (
            "Message",
            json!(message.replace("hstore", "citext")),
            "the envelope was not signed by SNS, or was changed",
        ),
        (
            "Timestamp",
            json!("2030-01-01T00:00:00.000Z"),
            "the envelope was not signed by SNS, or was changed",
        ),
        (
            "SignatureVersion",
            json!("3"),
            "SignatureVersion \"3\" of the SNS envelope is not one of 1, 2",
        ),
        (
            "Signature",
            json!(null),
            "the SNS envelope has no Signature",
        ),
        (
            "SigningCertURL",
            json!(
                "https://evil.example/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
            ),
            "SigningCertURL names host \"evil.example\"; the topic's certificates are at sns.us-east-1.amazonaws.com",
        ),
        (
            "SigningCertURL",
            json!(format!(
                "{endpoint}/bucket/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
            )),
            "there is no signing certificate at SigningCertURL: HTTP status 404",
        ),
    ] {
        let mut envelope = genuine.clone();
        envelope[field] = value;
        world.send_raw(&envelope.to_string()).await;
        let reason = refusal(&world, &request).await;
        assert!(reason.contains(expected), "{reason}");
        assert!(!reason.contains(&endpoint), "{reason}");
    }
    world.send_raw(&genuine.to_string()).await;
    assert_eq!(world.answer(&request).await["Status"], "SUCCESS");
}

#[tokio::test]
async fn raw_delivery_is_not_signed() {
    let world = World::new().await;
    let _worker = start(&world, "enforce");
    let request = hstore(&world).await;
    world.send_raw(&request.message.to_string()).await;
    let reason = refusal(&world, &request).await;
    assert!(reason.contains("raw delivery has no signature"), "{reason}");
}

#[tokio::test]
async fn a_resync_is_signed_and_what_workers_make_of_it_need_not_be() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let origin = variable("AWS_ENDPOINT_URL");
    let _worker = Worker::start(
        &world,
        &[
            ("WORKER_SNS_SIGNATURE", "enforce"),
            ("WORKER_SNS_CERTIFICATE_ORIGIN", &origin),
            ("WORKER_RESULTS_TOPIC_ARN", &subscriber.topic_arn),
        ],
    );
    let targets = json!([{"Secret": world.secret, "Databases": [world.database.name]}]);
    let printed = subscriber.run("Report", targets.clone(), json!({})).await;
    assert_eq!(
        printed.result_of(&world.database.name)["State"],
        "Unmanaged"
    );
    let raw = json!({"Type": "Resync", "ResyncId": "raw", "Mode": "Repair", "Targets": targets});
    world.send_raw(&raw.to_string()).await;
    let (_, reason) = world.dead_letter().await;
    assert!(reason.contains("raw delivery has no signature"), "{reason}");
}

#[tokio::test]
async fn a_warning_is_a_warning() {
    let world = World::new().await;
    let worker = start(&world, "warn");
    let raw = hstore(&world).await;
    world.send_raw(&raw.message.to_string()).await;
    assert_eq!(world.answer(&raw).await["Status"], "SUCCESS");
    let unverified = || {
        let log = worker.log();
        let lines = log
            .lines()
            .filter(|line| line.contains("not known to come from SNS"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let lines = unverified();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("\"level\":\"WARN\""), "{lines:?}");
    assert!(
        lines[0].contains("raw delivery has no signature"),
        "{lines:?}"
    );

    let signed = hstore(&world).await;
    world.publish(&signed).await;
    assert_eq!(world.answer(&signed).await["Status"], "SUCCESS");
    assert_eq!(unverified(), lines);
}

#[tokio::test]
async fn by_default_no_signature_is_checked() {
    let world = World::new().await;
    let request = hstore(&world).await;
    let mut envelope = signed(&world, &request).await;
    envelope["Signature"] = json!("AAEC");
    envelope["SigningCertURL"] = json!("http://127.0.0.1:1/");
    let worker = Worker::start(&world, &[]);
    world.send_raw(&envelope.to_string()).await;
    assert_eq!(world.answer(&request).await["Status"], "SUCCESS");
    assert!(!worker.log().contains("not known to come from SNS"));
}

/// A certificate that cannot be had just now is no reason to lose a request, nor to carry it out.
#[tokio::test]
async fn a_request_waits_for_the_certificate() {
    let world = World::new().await;
    let request = hstore(&world).await;
    let mut envelope = signed(&world, &request).await;
    drop(rustls::crypto::ring::default_provider().install_default());
    let url = envelope["SigningCertURL"].as_str().unwrap();
    let certificate = reqwest::get(url).await.unwrap().text().await.unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    // SNS does not sign where its certificate is.
    let file = "SimpleNotificationService-0123456789abcdef0123456789abcdef.pem";
    envelope["SigningCertURL"] = json!(format!("{origin}/{file}"));
    let worker = Worker::start(
        &world,
        &[
            ("WORKER_SNS_SIGNATURE", "enforce"),
            ("WORKER_SNS_CERTIFICATE_ORIGIN", &origin),
        ],
    );
    world.send_raw(&envelope.to_string()).await;
    answer_http(&listener, "503 Service Unavailable", "").await;
    worker.logged("the SNS signature cannot be checked").await;
    assert!(worker.log().contains("HTTP status 503"));
    assert!(world.database.extensions().await.is_empty());
    answer_http(&listener, "200 OK", &certificate).await;
    assert_eq!(world.answer(&request).await["Status"], "SUCCESS");
    assert_eq!(world.depths().await.1, 0);

    // The certificate is cached: a second fetch would fail.
    drop(listener);
    world.delete_answer(&request).await;
    world.send_raw(&envelope.to_string()).await;
    assert_eq!(world.answer(&request).await["Status"], "SUCCESS");
}

/// ResponseBucket one call.
async fn answer_http(listener: &TcpListener, status: &str, body: &str) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
}
