use insta::assert_snapshot;
use serde_json::json;

use super::*;
use crate::extension::Ensure;
use crate::extension::VersionRequest;

fn fault(properties: Value) -> String {
    Properties::parse(&properties).unwrap_err().to_string()
}

#[test]
fn every_scalar_may_be_a_text() {
    let properties = Properties::parse(&json!({
        "ServiceToken": "arn:aws:sns:us-east-1:123456789012:t",
        "ServiceTimeout": "600",
        "DBSecret": "demo1",
        "DBPort": "5433",
        "DryRun": "true",
        "Extensions": ["hstore", {"Name": "PostGIS", "Version": "3.3.*", "Cascade": "false", "Ensure": "Absent"}],
        "PluginsMap": {"pgcrypto": 1.3},
    }))
    .unwrap();
    assert_eq!(properties.db_port, Some(5433));
    assert!(properties.dry_run);
    let [pgcrypto, hstore, postgis] = properties.declarations.as_slice() else {
        panic!("{properties:?}")
    };
    assert_eq!(pgcrypto.version.as_str(), "1.3");
    assert_eq!(hstore.version, VersionRequest::Unset);
    assert!(hstore.cascade && !postgis.cascade);
    assert_eq!(postgis.ensure, Ensure::Absent);
}

#[test]
fn a_fault_names_the_property_and_what_would_be_right() {
    assert_snapshot!(fault(json!({"PluginsMap": {}})), @"DBSecret: required");
    assert_snapshot!(fault(json!({"DBSecret": "", "PluginsMap": {}})), @"DBSecret: must not be empty");
    assert_snapshot!(fault(json!({"DBSecret": "s"})), @"Extensions: required (or PluginsMap): no extension is declared");
    assert_snapshot!(
        fault(json!({"DBSecret": "s", "Extensions": ["a", {"Name": "b", "Verion": "1"}]})),
        @"Extensions[1].Verion: unknown property. Known: AllowDowngrade, Cascade, CreateSchema, Ensure, Name, OnNoUpdatePath, Schema, Version"
    );
    assert_snapshot!(fault(json!({"DBSecret": "s", "Extensions": [{"Version": "1"}]})), @"Extensions[0].Name: required");
    assert_snapshot!(fault(json!({"DBSecret": "s", "Extensions": ["a", "A"]})), @r#"Extensions[1]: "A" is declared twice, also at Extensions[0]"#);
    assert_snapshot!(
        fault(json!({"DBSecret": "s", "PluginsMap": {"x\"; DROP TABLE y; --": "1"}})),
        @r#"PluginsMap: the name must not contain "--", "/", "\" or control characters, nor begin or end with "-""#
    );
    assert_snapshot!(
        fault(json!({"DBSecret": "s", "PluginsMap": {"a": "1--2"}})),
        @r#"PluginsMap.a: the version must not contain "--", "/", "\" or control characters, nor begin or end with "-""#
    );
    assert_snapshot!(fault(json!({"DBSecret": "s", "DBPort": "x", "PluginsMap": {}})), @"DBPort: must be a port from 1 to 65535");
    assert_snapshot!(fault(json!({"DBSecret": "s", "DryRun": "yes", "PluginsMap": {}})), @"DryRun: must be true or false");
    assert_snapshot!(fault(json!({"DBSecret": ["s"], "PluginsMap": {}})), @"DBSecret: must be a text");
    assert_snapshot!(
        fault(json!({"DBSecret": "s", "DeletionBehavior": "Delete", "PluginsMap": {}})),
        @"DeletionBehavior: must be one of DropUnused, Retain, Drop, DropCascade"
    );
    assert_snapshot!(fault(json!([])), @"ResourceProperties: must be an object");
    assert_snapshot!(fault(json!({"DBSecret": "s", "Databases": ["a", "*"], "PluginsMap": {}})), @r#"Databases: "*" stands for all databases: give it alone, or names"#);
}

#[test]
fn null_is_absent_in_every_property() {
    let properties = Properties::parse(&json!({
        "DBSecret": "s", "DBHost": null, "DBPort": null, "DBName": null, "Authentication": null, "Databases": null,
        "DeletionBehavior": null, "OnUnreachableDelete": null, "DryRun": null, "ServiceToken": null, "ServiceTimeout": null,
        "PluginsMap": {"pgcrypto": null},
        "Extensions": [{
            "Name": "hstore", "Version": null, "Schema": null, "CreateSchema": null, "Cascade": null,
            "AllowDowngrade": null, "Ensure": null,
        }],
    }));
    let absent = Properties::parse(&json!({
        "DBSecret": "s", "PluginsMap": {"pgcrypto": ""}, "Extensions": ["hstore"],
    }));
    assert_eq!(properties.unwrap(), absent.unwrap());
    assert_snapshot!(fault(json!({"DBSecret": null, "PluginsMap": {}})), @"DBSecret: required");
}

/// Every property, and every field of an element of Extensions: from the types, so that a new one is looked at too.
fn every_property(value: &Value) -> Vec<Value> {
    let schema = crate::request::reference::schema();
    let names = |schema: &Value| -> Vec<String> {
        let fields = schema["properties"].as_object().unwrap();
        fields.keys().cloned().collect()
    };
    let valid = json!({"DBSecret": "s", "Extensions": [{"Name": "hstore"}]});
    let mut all = Vec::new();
    for name in names(&schema) {
        for value in [
            value.clone(),
            json!([value]),
            json!({"Name": value}),
            json!([{"Name": value}]),
        ] {
            let mut properties = valid.clone();
            properties[&name] = value;
            all.push(properties);
        }
    }
    let extension =
        schemars::schema_for!(crate::request::property_types::ExtensionObject).to_value();
    for name in names(&extension) {
        for value in [value.clone(), json!([value]), json!({"a": value})] {
            let mut properties = valid.clone();
            properties["Extensions"][0][&name] = value;
            all.push(properties);
        }
    }
    if let Some(key) = value.as_str() {
        for version in [json!(""), json!([]), json!("1--2")] {
            all.push(json!({"DBSecret": "s", "PluginsMap": {key: version}}));
        }
        let mut properties = valid.clone();
        properties[key] = json!("");
        all.push(properties);
        let mut properties = valid;
        properties["Extensions"][0][key] = json!("");
        all.push(properties);
    }
    all
}

#[test]
fn no_secret_is_quoted_whatever_property_holds_it() {
    for secret in [
        r#"{"username": "u", "password": "hunter2"}"#,
        "postgres://u:hunter2@h:5432/d",
        "host=h user=u password=hunter2",
        "`hunter2`, expected `hunter2",
    ] {
        for properties in every_property(&json!(secret)) {
            // What is taken is a text that is not used: the topic, the timeout, the trigger.
            let Err(fault) = Properties::parse(&properties) else {
                let at = |name: &str| properties[name].to_string().contains("hunter2");
                assert!(
                    at("ServiceToken")
                        || at("ServiceTimeout")
                        || at("Trigger")
                        || secret.starts_with('`'),
                    "{properties}"
                );
                continue;
            };
            assert!(!fault.to_string().contains("hunter2"), "{fault}");
        }
    }
}

#[test]
fn a_trigger_of_any_value_is_taken_and_not_used() {
    let without = Properties::parse(&json!({"DBSecret": "s", "Extensions": ["hstore"]})).unwrap();
    for trigger in [
        json!("16.4"),
        json!(17),
        json!({"Engine": ["17", ""]}),
        json!(null),
    ] {
        let properties = json!({"DBSecret": "s", "Extensions": ["hstore"], "Trigger": trigger});
        assert_eq!(Properties::parse(&properties).unwrap(), without);
    }
}

#[test]
fn what_is_nearly_right_gets_a_hint() {
    assert_snapshot!(
        fault(json!({"DBSecret": "arn:aws:secretsmanager:eu-west-2:123456789012:secret:a-AbCdEf:password::", "PluginsMap": {}})),
        @"DBSecret: must be the ARN alone, without the field, version stage and version id that ECS takes behind it: end it after the name of the secret"
    );
    assert_snapshot!(
        fault(json!({"DBSecret": "s", "DBHost": "db.example:5432", "PluginsMap": {}})),
        @r#"DBHost: must be a host name or an IP address alone: give the port as DBPort, as Port of a target, or as "port" in the secret"#
    );
}

#[test]
fn white_space_around_a_scalar_is_no_part_of_it() {
    let properties = Properties::parse(&json!({
        "DBSecret": "demo1", "DBHost": " db.example.\n", "DBPort": "5433 ",
        "PluginsMap": {"pgcrypto": "1.3\n"},
        "Extensions": [" hstore\n", {"Name": "cube ", "Version": " 1.5", "Schema": "a b "}],
    }))
    .unwrap();
    let host = properties.db_host.unwrap();
    assert_eq!(
        (host.as_str(), properties.db_port),
        ("db.example", Some(5433))
    );
    let declared: Vec<_> = properties
        .declarations
        .iter()
        .map(|one| (one.name.as_str(), one.version.as_str()))
        .collect();
    assert_eq!(
        declared,
        [("pgcrypto", "1.3"), ("hstore", ""), ("cube", "1.5")]
    );
    let schema = properties
        .declarations
        .last()
        .unwrap()
        .schema
        .as_ref()
        .unwrap();
    assert_eq!(schema.as_str(), "a b");
}

#[test]
fn no_extension_goes_into_the_schema_of_the_ledger() {
    let extensions = json!([{"Name": "cube", "Schema": "extension_worker"}]);
    assert_snapshot!(
        fault(json!({"DBSecret": "s", "Extensions": extensions})),
        @"Extensions[0].Schema: is the worker's own: name another"
    );
}
