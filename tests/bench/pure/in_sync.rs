//! An Update that finds two extensions as declared, as SNS delivers it, and what its database answers.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use extension_worker::extension::Observed;
use extension_worker::ledger::{Managed, ResourceKey, read_ledger};
use extension_worker::plan::{DatabaseOutcome, Intent, Plan, Policy, plan, update_ownership};
use extension_worker::request::{
    Envelope, Operation, Properties, Request, RequestHeader, ResponseUrl, Timing,
};
use extension_worker::response::{SuccessTemplate, physical_resource_id};
use extension_worker::target::{Address, Host};
use serde_json::{Value, json};

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:extension-worker";
const STACK: &str = "arn:aws:cloudformation:us-east-1:123456789012:stack/app-db/5b918d10-cd98-11ea-90d5-0a9cd3354c10";
const REQUEST: &str = "7f6f9b2e-0b53-4c8e-9d3f-2a1b7c4d5e6f";
const PUBLISHED: &str = "2026-03-01T12:00:00.042Z";
const CREATED: &str = "2026-02-01T12:00:00.042Z";
const HOST: &str = "app.cluster-abc.us-east-1.rds.amazonaws.com";
const PHYSICAL_ID: &str =
    "app.cluster-abc.us-east-1.rds.amazonaws.com:5432/Extensions/0a1b2c3d4e5f";
const DATABASE: &str = "app";
/// Declared, installed and owned, with their versions.
const EXTENSIONS: [(&str, &str); 2] = [("hstore", "1.8"), ("pg_trgm", "1.6")];

/// What is the same for every turn.
pub(crate) struct InSync {
    topics: Vec<String>,
    body: String,
    observed: String,
    ledger: String,
    address: Address,
    policy: Policy,
    /// The body, read.
    request: Request,
    outcome: DatabaseOutcome,
}

impl InSync {
    pub(crate) fn new() -> Self {
        let topics = vec![TOPIC.to_owned()];
        let body = body();
        let in_sync = Self {
            request: read(&body, &topics),
            topics,
            body,
            observed: observed().to_string(),
            ledger: ledger().to_string(),
            address: Address {
                host: Host::parse(HOST).unwrap(),
                port: 5432,
            },
            policy: Policy::unrestricted(),
            outcome: outcome(),
        };
        let (plan, managed) = in_sync.plan();
        assert!(
            plan.steps.is_empty() && plan.retained.is_empty(),
            "{plan:?}"
        );
        assert_eq!(managed.len(), EXTENSIONS.len());
        let response: Value = serde_json::from_str(&in_sync.respond()).unwrap();
        assert_eq!(response["Data"]["Extensions"], "hstore=1.8,pg_trgm=1.6");
        in_sync
    }

    /// From the body of the message to the request.
    pub(crate) fn parse(&self) -> Request {
        read(&self.body, &self.topics)
    }

    /// From the documents that the database answers with to what is to be done: nothing.
    pub(crate) fn plan(&self) -> (Plan, BTreeMap<String, Managed>) {
        let observed: Observed = serde_json::from_str(&self.observed).unwrap();
        let resource = ResourceKey::of(&self.request.header);
        let ledger = read_ledger(&self.ledger, &resource).unwrap();
        let properties = self.properties();
        let intent = Intent {
            resource: &resource,
            declarations: &properties.declarations,
            deletion_behavior: properties.deletion_behavior,
            policy: &self.policy,
        };
        let plan = plan(&intent, &observed, &ledger).unwrap();
        let managed = update_ownership(&intent, &plan.steps, &observed, &observed, &ledger);
        (plan, managed)
    }

    /// From what was found to the text of the response.
    pub(crate) fn respond(&self) -> String {
        let header = &self.request.header;
        let id = physical_resource_id(&self.address, &ResourceKey::of(header));
        let template = SuccessTemplate {
            header,
            properties: self.properties(),
            physical_resource_id: &id,
        };
        let response = template.success(&[(DATABASE.to_owned(), self.outcome.clone())]);
        response.text().to_owned()
    }

    fn properties(&self) -> &Properties {
        match &self.request.operation {
            Operation::Update { new, .. } => new,
            other @ (Operation::Create(_) | Operation::Delete(_)) => panic!("{other:?}"),
        }
    }
}

fn read(body: &str, topics: &[String]) -> Request {
    let envelope = Envelope::open(body, topics).unwrap();
    let header = RequestHeader::read(&envelope.message).unwrap();
    let url = ResponseUrl::check(&header, envelope.topic_arn.as_deref(), None).unwrap();
    let now: DateTime<Utc> = PUBLISHED.parse().unwrap();
    let timing = Timing::of(&header, &url, envelope.timestamp, now);
    Request::read(header, envelope.message, timing).unwrap()
}

fn body() -> String {
    let key = format!("{STACK}|Extensions|{REQUEST}").replace('|', "%7C");
    let key = key.replace(':', "%3A");
    let properties = json!({
        "ServiceToken": TOPIC,
        "ServiceTimeout": "600",
        "DBSecret": "arn:aws:secretsmanager:us-east-1:123456789012:secret:app-AbCdEf",
        "DBName": DATABASE,
        "Extensions": EXTENSIONS.map(|(name, _)| name),
    });
    let message = json!({
        "RequestType": "Update",
        "ServiceToken": TOPIC,
        "ResponseURL": format!(
            "https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com/{key}?X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Date=20260301T120000Z&X-Amz-SignedHeaders=host&X-Amz-Expires=7200\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260301%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Signature={}",
            "ab".repeat(32)
        ),
        "StackId": STACK,
        "RequestId": REQUEST,
        "LogicalResourceId": "Extensions",
        "PhysicalResourceId": PHYSICAL_ID,
        "ResourceType": "Custom::PostgresExtensions",
        "ResourceProperties": properties,
        "OldResourceProperties": properties,
    });
    json!({
        "Type": "Notification",
        "MessageId": "7c72a0bb-c6f6-536b-88b7-ef25c9c6734a",
        "TopicArn": TOPIC,
        "Subject": "AWS CloudFormation custom resource request",
        "Message": message.to_string(),
        "Timestamp": PUBLISHED,
        "SignatureVersion": "1",
        "Signature": "EXAMPLE",
        "SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem",
        "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
    })
    .to_string()
}

fn observed() -> Value {
    let installed = EXTENSIONS.map(|(name, version)| {
        let row =
            json!({"version": version, "schema": "public", "relocatable": true, "requires": []});
        (name, row)
    });
    let offered =
        EXTENSIONS.map(|(name, version)| json!({"name": name, "default_version": version}));
    json!({
        "server_version": "15.18",
        "role": "postgres",
        "in_recovery": false,
        "catalog": {"extensions": offered, "versions": [], "paths": []},
        "installed": BTreeMap::from(installed),
        "schemas": [],
        "allowed_extensions": null,
        "preloaded": "",
        "cron_database": null,
        "database": DATABASE,
        "ledger_version": 3,
    })
}

fn ledger() -> Value {
    let managed = EXTENSIONS.map(|(name, _)| {
        let extension = json!({"origin": "created", "role": "declared", "other": null});
        (name, extension)
    });
    json!({
        "resource": {
            "physical_resource_id": PHYSICAL_ID, "state": "live", "request_type": "Create", "requested_at": CREATED,
        },
        "request": null,
        "managed": BTreeMap::from(managed),
    })
}

fn outcome() -> DatabaseOutcome {
    let versions = EXTENSIONS.map(|(name, version)| (name.to_owned(), version.to_owned()));
    let versions = BTreeMap::from(versions);
    DatabaseOutcome {
        before: versions.clone(),
        after: versions.clone(),
        declared: versions,
        ..DatabaseOutcome::default()
    }
}
