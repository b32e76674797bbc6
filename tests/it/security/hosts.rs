//! Where a secret may be sent: the publisher of a request names both the secret and the server. It is refused before a
//! connection, so that the role's privileges do not matter; tests in which a secret is sent run with a superuser and with a
//! master user.

use serde_json::{Value, json};

use super::master::{RANKS, world_of};
use super::{MARKER, reason, secret_of_another_team};
use crate::support::{
    Action, HostileServer, HttpProxy, Rds, ResultsSubscriber, Worker, World, variable,
};

fn port() -> u16 {
    variable("PGPORT").parse().unwrap()
}

/// Declares an extension on another server than the secret's.
fn elsewhere(secret: &str, host: &str, port: u16) -> Value {
    json!({"DBSecret": secret, "DBHost": host, "DBPort": port, "Extensions": ["hstore"]})
}

fn refusal(secret: &str, host: &str, port: u16) -> String {
    format!(
        "DBHost, DBPort: secret \"{secret}\" may not be sent to {host}:{port}. A secret is sent to"
    )
}

#[tokio::test]
async fn a_request_sends_no_secret_to_a_server_of_its_own_choice() {
    for rank in RANKS {
        let world = world_of(rank).await;
        // Even where every method is allowed nothing goes out.
        let settings = [
            ("WORKER_HOSTS", &*format!("127.0.0.1:{}", port())),
            ("WORKER_AUTH_METHODS", "scram-sha-256,md5,password"),
        ];
        let _worker = Worker::start(&world, &settings);
        let server = HostileServer::start("password");
        let secret = secret_of_another_team(&world).await;
        for (host, at) in [
            ("127.0.0.1", server.port),
            ("localhost", server.port),
            ("localhost", port()),
            ("db.example", 5432),
        ] {
            let text = reason(&world, elsewhere(&secret, host, at)).await;
            assert!(text.starts_with(&refusal(&secret, host, at)), "{text}");
            assert!(text.contains("WORKER_HOSTS"), "{text}");
            assert!(!text.contains(MARKER), "{text}");
        }
        assert_eq!(server.connections(), 0);
        // Its own it is sent to, named or not.
        let properties = json!({"DBSecret": world.secret, "DBHost": "127.0.0.1", "DBPort": port(), "Extensions": ["hstore"]});
        let answer = world.create(properties).await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    }
}

#[tokio::test]
async fn a_resync_sends_no_secret_to_a_server_of_its_own_choice() {
    let world = World::new().await;
    let subscriber = ResultsSubscriber::new(&world).await;
    let own = format!("127.0.0.1:{}", port());
    let settings = [
        ("WORKER_RESULTS_TOPIC_ARN", subscriber.topic_arn.as_str()),
        ("WORKER_HOSTS", own.as_str()),
        ("WORKER_AUTH_METHODS", "password"),
    ];
    let _worker = Worker::start(&world, &settings);
    let server = HostileServer::start("password");
    let secret = secret_of_another_team(&world).await;
    let targets = json!([{"Secret": secret, "Host": "127.0.0.1", "Port": server.port}]);
    let text = subscriber.run("Repair", targets, json!({})).await;
    let result = text.results.values().next().unwrap();
    let why = result["Reason"].as_str().unwrap();
    assert!(
        why.starts_with(&refusal(&secret, "127.0.0.1", server.port)),
        "{why}"
    );
    // Nor to one whose offer is to be read.
    let targets = json!([{"Secret": world.secret}]);
    let like = json!({"Secret": secret, "Host": "127.0.0.1", "Port": server.port});
    let upgrade = json!({"Upgrade": {"To": "18", "Like": like}});
    let text = subscriber.run("UpgradeCheck", targets, upgrade).await;
    let result = text.results.values().next().unwrap();
    let why = result["Reason"].as_str().unwrap();
    assert!(
        why.contains(&refusal(&secret, "127.0.0.1", server.port)),
        "{why}"
    );
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_has_to_be_named_itself() {
    let world = World::new().await;
    let mut worker = Worker::start(&world, &[("WORKER_HOSTS", "*")]);
    let server = HostileServer::start("password");
    for host in [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "::ffff:127.0.0.1",
        "2130706433",
    ] {
        let text = reason(&world, elsewhere(&world.secret, host, server.port)).await;
        let expected = format!(
            "{host}:{}: the host leads to a loopback or link-local address",
            server.port
        );
        assert!(text.starts_with(&expected), "{text}");
    }
    // Where a task finds the credentials of its role.
    let text = reason(&world, elsewhere(&world.secret, "169.254.170.2", 80)).await;
    assert!(text.contains("link-local"), "{text}");
    // The secret's own host is no exception.
    let text = reason(
        &world,
        json!({"DBSecret": world.secret, "Extensions": ["hstore"]}),
    )
    .await;
    assert!(text.contains("WORKER_HOSTS"), "{text}");
    assert_eq!(server.connections(), 0);
    worker.signal("TERM");
    worker.exit().await;
    for named in ["localhost", "*,127.0.0.*"] {
        let mut worker = Worker::start(&world, &[("WORKER_HOSTS", named)]);
        let answer = world
            .create(elsewhere(&world.secret, "localhost", port()))
            .await;
        worker.signal("TERM");
        worker.exit().await;
        assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    }
}

/// What RDS answers where there is one instance.
fn report(secret: &str, host: &str, port: u16) -> Action {
    let instance = format!(
        "<DBInstance><DBInstanceIdentifier>one</DBInstanceIdentifier><Engine>postgres</Engine>\
         <Endpoint><Address>{host}</Address><Port>{port}</Port></Endpoint>\
         <MasterUserSecret><SecretArn>{secret}</SecretArn></MasterUserSecret></DBInstance>"
    );
    let result = format!("<DBInstances>{instance}</DBInstances>");
    let result = format!("<DescribeDBInstancesResult>{result}</DescribeDBInstancesResult>");
    let body = format!("<DescribeDBInstancesResponse>{result}</DescribeDBInstancesResponse>");
    Action::Answer(200, body)
}

fn failure(status: u16, code: &str) -> Action {
    let error = format!("<Type>Sender</Type><Code>{code}</Code><Message>on purpose</Message>");
    let body = format!("<ErrorResponse><Error>{error}</Error></ErrorResponse>");
    Action::Answer(status, body)
}

#[tokio::test]
async fn a_secret_that_rds_manages_is_sent_to_the_endpoint_that_rds_reports_for_it() {
    let world = World::new().await;
    let proxy = HttpProxy::start().await;
    // The address may be connected to; the host is for RDS to report.
    let settings = [
        ("WORKER_HOSTS", "127.0.0.1"),
        ("AWS_ENDPOINT_URL_RDS", &proxy.endpoint()),
    ];
    let worker = Worker::start(&world, &settings);
    let rds = Rds(&world);
    let id = rds.instance("instance", "a", port()).await;
    let secret = rds.secret_of(&id).await;
    let declare = |at: u16| {
        let mut properties = elsewhere(&secret, "localhost", at);
        properties["DBName"] = json!(world.database.name);
        properties
    };
    let is_refused = async || {
        let text = reason(&world, declare(port())).await;
        assert!(
            text.starts_with(&refusal(&secret, "localhost", port())),
            "{text}"
        );
    };
    // What RDS really reports is another host.
    is_refused().await;
    // Another secret's.
    proxy.decide(|request| match request.contains("DescribeDBInstances") {
        true => report(
            "arn:aws:secretsmanager:us-east-1:000000000000:secret:rds!db-1-AbCdEf",
            "localhost",
            port(),
        ),
        false => Action::Forward,
    });
    is_refused().await;
    proxy.decide(|_| failure(403, "AccessDenied"));
    is_refused().await;
    worker
        .logged("the task role may not ask RDS for endpoints")
        .await;
    proxy.decide(|_| failure(400, "Throttling"));
    let mut briefly = declare(port());
    briefly["ServiceTimeout"] = json!(15);
    let text = reason(&world, briefly).await;
    assert!(text.contains("could not be listed"), "{text}");

    let arn = secret.clone();
    proxy.decide(
        move |request| match request.contains("DescribeDBInstances") {
            true => report(&arn, "LocalHost", port()),
            false => Action::Forward,
        },
    );
    let text = reason(&world, declare(1)).await;
    assert!(
        text.starts_with(&refusal(&secret, "localhost", 1)),
        "{text}"
    );
    let answer = world.create(declare(port())).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    // What was listed serves for a while.
    let asked = proxy.count("DescribeDBInstances");
    let answer = world.create(declare(port())).await;
    assert_eq!(answer["Status"], "SUCCESS", "{answer}");
    assert_eq!(proxy.count("DescribeDBInstances"), asked);
}
