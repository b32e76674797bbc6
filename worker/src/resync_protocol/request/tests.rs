//! What a message that starts a re-sync may say.

use insta::assert_snapshot;

use serde_json::{Value, json};

use super::{InstanceId, ResyncMessage, ResyncTarget};
use crate::request::Databases;
use crate::resync_protocol::event::Mode;
use crate::target::Host;

fn message(changes: Value) -> Value {
    let mut message = json!({
        "Type": "Resync", "ResyncId": "weekly", "Mode": "Report", "Targets": [{"Instances": "*"}],
    });
    for (field, change) in changes.as_object().unwrap() {
        message[field] = change.clone();
    }
    message
}

fn fault(changes: Value) -> String {
    ResyncMessage::parse(&message(changes))
        .unwrap_err()
        .to_string()
}

fn fault_of(target: Value) -> String {
    fault(json!({"Targets": [{"SecretPrefix": "a/"}, target]}))
}

#[test]
fn every_kind_of_target_is_read() {
    let read = ResyncMessage::parse(&message(json!({
        "Mode": "Repair",
        "Targets": [
            {"Secret": "s", "Databases": ["a", "b"], "Host": "H", "Port": 5433},
            {"Secret": "s"},
            {"SecretPrefix": "prod/"},
            {"SecretTag": {"Key": "k", "Value": "v"}},
            {"SecretTag": {"Key": "k"}},
            {"Instances": "*"},
            {"Instances": {"Key": "k", "Value": "v"}},
            {"Instance": "Orders"},
        ],
        "Extensions": ["pgcrypto", {"Name": "PostGIS", "Version": "3.4.*"}],
        "Baseline": "fleet",
    })))
    .unwrap();
    let (key, value) = ("k".to_owned(), Some("v".to_owned()));
    assert_eq!(
        read.targets,
        [
            ResyncTarget::Secret {
                id: "s".to_owned(),
                databases: Databases::Named(vec!["a".to_owned(), "b".to_owned()]),
                host: Some(Host::parse("h").unwrap()),
                port: Some(5433),
            },
            ResyncTarget::Secret {
                id: "s".to_owned(),
                databases: Databases::Default,
                host: None,
                port: None,
            },
            ResyncTarget::SecretPrefix("prod/".to_owned()),
            ResyncTarget::SecretTag {
                key: key.clone(),
                value: value.clone()
            },
            ResyncTarget::SecretTag {
                key: key.clone(),
                value: None
            },
            ResyncTarget::Instances { tag: None },
            ResyncTarget::Instances {
                tag: Some((key, value))
            },
            ResyncTarget::Instance(InstanceId::parse("orders").unwrap()),
        ]
    );
    assert_eq!(read.mode, Mode::Repair);
    assert_eq!(read.baseline, "fleet");
    let names: Vec<_> = read
        .declarations
        .iter()
        .map(|one| (one.name.as_str(), one.version.as_str()))
        .collect();
    assert_eq!(names, [("pgcrypto", ""), ("PostGIS", "3.4.*")]);
}

#[test]
fn a_baseline_need_not_be_there() {
    for changes in [json!({}), json!({"Extensions": null, "Baseline": ""})] {
        let read = ResyncMessage::parse(&message(changes)).unwrap();
        assert!(read.declarations.is_empty());
        assert_eq!(read.baseline, "baseline");
    }
}

#[test]
fn a_fault_names_the_field_and_what_would_be_right() {
    assert_snapshot!(fault(json!({"Mode": "Fix"})), @"Mode: must be one of Report, Repair, UpgradeCheck");
    assert_snapshot!(fault(json!({"Type": "resync"})), @r#"Type: must be "Resync""#);
    assert_snapshot!(fault(json!({"ResyncId": "a b"})), @"ResyncId: must be 1 to 64 of A-Z a-z 0-9 . _ : -");
    assert_snapshot!(fault(json!({"ResyncId": "x".repeat(65)})), @"ResyncId: must be 1 to 64 of A-Z a-z 0-9 . _ : -");
    assert_snapshot!(fault(json!({"Baselin": "b"})), @"Baselin: unknown property. Known: Baseline, Extensions, Mode, ResyncId, Targets, Type, Upgrade");
    assert_snapshot!(fault(json!({"Baseline": "a\nb"})), @"Baseline: must be a name of up to 255 bytes");
    assert_snapshot!(fault(json!({"Targets": []})), @"Targets: must name one at least: Secret, SecretPrefix, SecretTag, Instances or Instance");
    assert_snapshot!(fault(json!({"Targets": {}})), @"Targets: must be a list");
    assert_snapshot!(fault(json!({"Extensions": ["a", {"Name": "b", "Version": "1--2"}]})), @r#"Extensions[1].Version: the version must not contain "--", "/", "\" or control characters, nor begin or end with "-""#);
    assert_snapshot!(fault(json!({"Extensions": "a"})), @"Extensions: must be a list");
    assert_snapshot!(ResyncMessage::parse(&json!([])).unwrap_err().to_string(), @"Message: must be an object");
    assert_snapshot!(ResyncMessage::parse(&json!({"Type": "Resync", "ResyncId": "r"})).unwrap_err().to_string(), @"Mode: required");
}

#[test]
fn a_fault_of_a_target_names_it() {
    assert_snapshot!(fault_of(json!(["s"])), @"Targets[1]: must be an object");
    assert_snapshot!(fault_of(json!({})), @"Targets[1]: must have one of Secret, SecretPrefix, SecretTag, Instances, Instance");
    assert_snapshot!(fault_of(json!({"Secret": "s", "Instances": "*"})), @"Targets[1]: must have one of Secret, SecretPrefix, SecretTag, Instances, Instance");
    assert_snapshot!(fault_of(json!({"Secret": ""})), @"Targets[1].Secret: must not be empty");
    assert_snapshot!(fault_of(json!({"Secret": 7})), @"Targets[1].Secret: must be a text");
    assert_snapshot!(fault_of(json!({"Secrt": "s"})), @"Targets[1].Secrt: unknown property. Known: Databases, Host, Instance, Instances, Port, Secret, SecretPrefix, SecretTag");
    assert_snapshot!(fault_of(json!({"Secret": "s", "Databases": ["a", "a"]})), @r#"Targets[1].Databases[1]: "a" is listed twice"#);
    assert_snapshot!(fault_of(json!({"Secret": "s", "Host": "a,b"})), @"Targets[1].Host: must be a host name or an IP address");
    assert_snapshot!(fault_of(json!({"Secret": "s", "Port": 0})), @"Targets[1].Port: must be a port from 1 to 65535");
    assert_snapshot!(fault_of(json!({"SecretPrefix": ""})), @"Targets[1].SecretPrefix: must not be empty");
    assert_snapshot!(fault_of(json!({"SecretPrefix": "a/", "Databases": ["a"]})), @"Targets[1].Databases: goes with Secret alone");
    assert_snapshot!(fault_of(json!({"SecretTag": "k"})), @"Targets[1].SecretTag: must be an object");
    assert_snapshot!(fault_of(json!({"SecretTag": {"Key": ""}})), @"Targets[1].SecretTag.Key: must not be empty");
    assert_snapshot!(fault_of(json!({"Instances": true})), @r#"Targets[1].Instances: must be "*" for all, or a tag as {"Key": …, "Value": …}"#);
    assert_snapshot!(fault_of(json!({"Instance": "a b"})), @"Targets[1].Instance: must be the identifier or the ARN of an instance or a cluster");
    assert_snapshot!(fault_of(json!({"Instances": {"Kee": "k"}})), @"Targets[1].Instances.Kee: unknown property. Known: Key, Value");
}
