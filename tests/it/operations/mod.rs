//! Operation of the stacks: upgrades, moves, redrives, and creations that fail.

mod moves;

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{DATABASE, Network, Platform, WORKER, Worker, World, eventually, variable};

const EXISTING: &str = include_str!("../../../templates/existing-database.yaml");

/// As after an upgrade of the engine: the server's default version is higher than the installed one.
const OLDER: &str = "DROP EXTENSION pg_trgm; CREATE EXTENSION pg_trgm VERSION '1.5'";

#[tokio::test]
async fn an_engine_upgrade_moves_an_extension_that_follows_the_default() {
    let world = World::new().await;
    let network = Network::deploy(&world).await;
    let platform = Platform::deploy(&world, &network, "platform").await;
    let database = platform.database("app");
    let stack = world.template_stack("db");
    // PostGIS in the template; the server of the tests may be without it.
    let template = DATABASE.replace("{postgis: ", "{pg_trgm: ");
    let version = |engine| {
        [
            ("EngineVersion", engine),
            ("PostGISVersion", "default"),
            ("Extensions", "pgcrypto"),
        ]
    };
    let before = version("16");
    let parameters = platform.parameters(&network, &database, &before);
    let created = stack.create(&template, &parameters).await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
    let newest = database.default_version("pg_trgm").await;
    database.execute(OLDER).await;

    let after = version("17");
    let parameters = platform.parameters(&network, &database, &after);
    // Without the trigger nothing of the custom resource changes, and no Update is sent.
    let silent = template.replace("      Trigger: !Ref EngineVersion\n", "");
    assert_ne!(silent, template);
    let before = platform.parameters(&network, &database, &before);
    let updated = stack.update(&silent, &before).await;
    assert_eq!(updated.status, "UPDATE_COMPLETE", "{updated:?}");
    database.execute(OLDER).await;
    let updated = stack.update(&silent, &parameters).await;
    assert_eq!(updated.status, "UPDATE_COMPLETE", "{updated:?}");
    assert_eq!(database.extensions().await["pg_trgm"], "1.5");

    let updated = stack.update(&template, &parameters).await;
    assert_eq!(updated.status, "UPDATE_COMPLETE", "{updated:?}");
    assert_eq!(database.extensions().await["pg_trgm"], newest);
    database.execute(OLDER).await;
    let again = version("18");
    let again = platform.parameters(&network, &database, &again);
    let updated = stack.update(&template, &again).await;
    assert_eq!(updated.status, "UPDATE_COMPLETE", "{updated:?}");
    let expected = format!("updated pg_trgm 1.5 to {newest}");
    assert_eq!(updated.outputs["Changes"], expected);
    assert_eq!(database.extensions().await["pg_trgm"], newest);
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");
}

/// One that is killed may still be handed a message.
async fn stop(mut worker: Worker) {
    worker.signal("TERM");
    worker.exit().await;
}

#[tokio::test]
async fn a_dead_letter_that_the_worker_put_away_is_redriven_with_a_destination() {
    let world = World::new().await;
    let network = Network::deploy(&world).await;
    let platform = Platform::deploy(&world, &network, "platform").await;
    let outputs = &platform.outputs;
    stop(platform.worker).await;
    // A setting is wrong: the account is not served, and its request is put away.
    let wrong = [("WORKER_ACCOUNTS", "111111111111")];
    let wrong = Platform::start_worker(&world, outputs, &wrong);
    let stack = world.template_stack("existing");
    let parameters = [
        ("ServiceToken", outputs["TopicArn"].as_str()),
        ("DBSecret", &world.secret),
    ];
    stack.submit_create(EXISTING, &parameters).await;
    wrong.logged("dead-letter").await;
    stop(wrong).await;
    let dead = &outputs["DeadLetterQueueUrl"];
    eventually("the dead letter", async || {
        (world.depth(dead).await == 1).then_some(())
    })
    .await;

    let _worker = Platform::start_worker(&world, outputs, &[]);
    let source = &outputs["DeadLetterQueueArn"];
    world.redrive(source, Some(&outputs["QueueArn"])).await;
    let created = stack.finish().await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
    assert_eq!(world.depth(dead).await, 0);
    assert_eq!(stack.delete().await, "DELETE_COMPLETE");

    // A redrive to the source fails: the message has none, as the worker sent it there and no redrive policy.
    world.publish_to(&outputs["TopicArn"], "nonsense").await;
    eventually("the dead letter", async || {
        (world.depth(dead).await == 1).then_some(())
    })
    .await;
    world.redrive(source, None).await;
    eventually("the end of the redrive", async || {
        (world.redrive_status(source).await == "FAILED").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_creation_that_is_rolled_back_leaves_no_key_no_group_and_no_log() {
    let world = World::new().await;
    let network = Network::deploy(&world).await;
    let platform = Platform::deploy(&world, &network, "platform").await;
    let database = platform.database("app");
    let stack = world.template_stack("db");
    let wrong = [("Extensions", "no_such"), ("OwnOptionGroup", "true")];
    let parameters = platform.parameters(&network, &database, &wrong);
    let failed = stack.create(DATABASE, &parameters).await;
    assert_eq!(failed.status, "CREATE_FAILED", "{failed:?}");
    assert!(failed.reason.contains("no_such"), "{failed:?}");
    assert!(!database.exists().await);
    let nothing = json!({"keys": [], "groups": [], "logs": []});
    assert_eq!(left_behind(&stack.name), nothing);

    // The worker's stack, with one more resource that fails once the log group is there.
    let fails = "Resources:\n  Fails:\n    Type: AWS::RDS::OptionGroup\n    DependsOn: [LogGroup, Queue]\n    \
                 Properties: {EngineName: no-such, MajorEngineVersion: \"1\", OptionGroupDescription: x}\n";
    let parameters = [("Image", "x"), ("DatabaseCidr", "10.0.0.0/16")];
    let parameters: Vec<_> = parameters.into_iter().chain(network.parameters()).collect();
    let broken = WORKER.replacen("Resources:\n", fails, 1);
    let stack = world.template_stack("worker");
    let failed = stack.create(&broken, &parameters).await;
    assert_eq!(failed.status, "CREATE_FAILED", "{failed:?}");
    assert_eq!(left_behind(&stack.name), nothing);

    // A template that says Retain leaves it.
    let retaining = broken.replace("RetainExceptOnCreate", "Retain");
    let stack = world.template_stack("retaining");
    let failed = stack.create(&retaining, &parameters).await;
    assert_eq!(failed.status, "CREATE_FAILED", "{failed:?}");
    let logs = &left_behind(&stack.name)["logs"];
    assert_eq!(logs.as_array().unwrap().len(), 1, "{logs}");
}

/// Keys that are not on their way out, groups of RDS and log groups of a stack.
fn left_behind(stack: &str) -> Value {
    const LIST: &str = "
import json, sys
import boto3
stack = sys.argv[1]
kms, rds, logs = boto3.client('kms'), boto3.client('rds'), boto3.client('logs')
keys = [kms.describe_key(KeyId=key['KeyId'])['KeyMetadata']
        for page in kms.get_paginator('list_keys').paginate() for key in page['Keys']]
groups = [group['DBParameterGroupName'] for group in rds.describe_db_parameter_groups()['DBParameterGroups']]
groups += [group['DBSubnetGroupName'] for group in rds.describe_db_subnet_groups()['DBSubnetGroups']]
found = logs.get_paginator('describe_log_groups').paginate()
print(json.dumps({
    'keys': [key['KeyId'] for key in keys
             if key['Description'].endswith(' ' + stack) and key['KeyState'] != 'PendingDeletion'],
    'groups': [group for group in groups if group.startswith(stack + '-')],
    'logs': [group['logGroupName'] for page in found for group in page['logGroups']
             if group['logGroupName'].startswith(stack + '-')],
}))
";
    python(LIST, &[stack])
}

/// What a script prints, which calls services that these tests have no client of.
fn python(script: &str, arguments: &[&str]) -> Value {
    let output = Command::new(variable("LOCALSTACK_PYTHON"))
        .args(["-c", script])
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_dashboard_of_the_worker_is_deployed_beside_it() {
    let world = World::new().await;
    let network = Network::deploy(&world).await;
    let platform = Platform::deploy(&world, &network, "platform").await;
    let stack = world.template_stack("dashboard");
    let template = include_str!("../../../templates/dashboard.yaml");
    let parameters = [("WorkerStackName", platform.stack.name.as_str())];
    let created = stack.create(template, &parameters).await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
}

#[tokio::test]
async fn a_worker_in_a_vpc_without_another_way_to_aws_has_what_its_parameters_say() {
    let world = World::new().await;
    let network = Network::deploy(&world).await;
    let endpoints = world.template_stack("endpoints");
    // LocalStack hands a list of this type on as one text.
    let template = include_str!("../../../templates/endpoints.yaml")
        .replace("List<AWS::EC2::Subnet::Id>", "CommaDelimitedList");
    let vpc = network.parameters().next().unwrap().1;
    let table = python(ROUTE_TABLE, &[vpc]);
    let tables = [("RouteTableIds", table.as_str().unwrap())];
    let parameters: Vec<_> = tables.into_iter().chain(network.parameters()).collect();
    let created = endpoints.create(&template, &parameters).await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");

    let stack = world.template_stack("worker");
    let name = format!("{}-topic", world.name);
    let parameters = [
        ("Image", "registry.example/extension-worker:1"),
        (
            "RepositoryCredentials",
            "arn:aws:secretsmanager:us-east-1:000000000000:secret:registry",
        ),
        ("DatabaseCidr", "10.0.0.0/16,10.1.0.0/16,192.168.0.0/16"),
        ("EndpointStackName", &endpoints.name),
        ("TopicName", &name),
        (
            "ExtraArguments",
            "--connections=400 --connections-per-database=2",
        ),
        ("SnsSignature", "enforce"),
        ("PublishLedger", "true"),
        ("MinTasks", "0"),
    ];
    let parameters: Vec<_> = parameters.into_iter().chain(network.parameters()).collect();
    let created = stack.create(WORKER, &parameters).await;
    assert_eq!(created.status, "CREATE_COMPLETE", "{created:?}");
    // Stacks of other accounts know it by its name.
    let topic = format!("arn:aws:sns:us-east-1:000000000000:{name}");
    assert_eq!(created.outputs["TopicArn"], topic);
    let made = python(MADE, &[&topic]);
    assert_eq!(made["signature"], "2", "{made}");
    let dead = &created.outputs["DeadLetterQueueArn"];
    let redrive = json!({"deadLetterTargetArn": dead});
    assert_eq!(made["redrive"], redrive, "{made}");

    // What SNS cannot deliver is in the dead-letter queue.
    world.delete_queue(&created.outputs["QueueUrl"]).await;
    world.publish_to(&topic, "lost").await;
    let dead = &created.outputs["DeadLetterQueueUrl"];
    eventually("the copy", async || {
        (world.depth(dead).await == 1).then_some(())
    })
    .await;
}

const ROUTE_TABLE: &str = "
import json, sys
import boto3
found = boto3.client('ec2').describe_route_tables(Filters=[{'Name': 'vpc-id', 'Values': sys.argv[1:]}])
print(json.dumps(found['RouteTables'][0]['RouteTableId']))
";

/// A topic's signature version, and where its subscription puts what cannot be delivered.
const MADE: &str = "
import json, sys
import boto3
(topic,) = sys.argv[1:]
sns = boto3.client('sns')
(subscription,) = sns.list_subscriptions_by_topic(TopicArn=topic)['Subscriptions']
attributes = sns.get_subscription_attributes(SubscriptionArn=subscription['SubscriptionArn'])['Attributes']
print(json.dumps({
    'signature': sns.get_topic_attributes(TopicArn=topic)['Attributes'].get('SignatureVersion'),
    'redrive': json.loads(attributes['RedrivePolicy']),
}))
";
