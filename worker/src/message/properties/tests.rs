use insta::assert_snapshot;
use serde_json::json;

use super::*;
use crate::extension::Ensure;

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
        @"Extensions[1].Verion: unknown property. Known: AllowDowngrade, Cascade, CreateSchema, Ensure, Name, Schema, Version"
    );
    assert_snapshot!(fault(json!({"DBSecret": "s", "Extensions": [{"Version": "1"}]})), @"Extensions[0].Name: required");
    assert_snapshot!(fault(json!({"DBSecret": "s", "Extensions": ["a", "A"]})), @r#"Extensions[1]: "A" is declared twice, also at Extensions[0]"#);
    assert_snapshot!(
        fault(json!({"DBSecret": "s", "PluginsMap": {"x\"; DROP TABLE y; --": "1"}})),
        @r#"PluginsMap.x"; DROP TABLE y; --: "x"; DROP TABLE y; --" must not contain "--", "/", "\" or control characters, nor begin or end with "-""#
    );
    assert_snapshot!(
        fault(json!({"DBSecret": "s", "PluginsMap": {"a": "1--2"}})),
        @r#"PluginsMap.a: version "1--2" must not contain "--", "/", "\" or control characters, nor begin or end with "-""#
    );
    assert_snapshot!(fault(json!({"DBSecret": "s", "DBPort": "x", "PluginsMap": {}})), @r#"DBPort: invalid value: string "x", expected a port from 1 to 65535"#);
    assert_snapshot!(fault(json!({"DBSecret": "s", "DryRun": "yes", "PluginsMap": {}})), @r#"DryRun: invalid value: string "yes", expected true or false"#);
    assert_snapshot!(fault(json!({"DBSecret": ["s"], "PluginsMap": {}})), @"DBSecret: invalid type: sequence, expected a text");
    assert_snapshot!(
        fault(json!({"DBSecret": "s", "DeletionBehavior": "Delete", "PluginsMap": {}})),
        @r#"DeletionBehavior: "Delete" is not one of DropUnused, Retain, Drop, DropCascade"#
    );
    assert_snapshot!(fault(json!([])), @"ResourceProperties: must be an object");
    assert_snapshot!(fault(json!({"DBSecret": "s", "Databases": ["a", "*"], "PluginsMap": {}})), @r#"Databases: "*" stands for all databases: give it alone, or names"#);
}
