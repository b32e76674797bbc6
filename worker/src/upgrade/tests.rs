use std::collections::BTreeMap;

use insta::assert_snapshot;

use super::facts::{
    ClosedDatabase, Function, PreparedTransaction, RefusedColumn, SharedName, Slot, SubscribedTable,
};
use super::*;
use crate::extension::{Declaration, ExtensionName, OnNoUpdatePath, VersionRequest};
use crate::resync_protocol::OfferedExtension;

fn upgrade(from: u16, to: u16) -> Upgrade {
    Upgrade {
        from,
        to,
        is_rds: false,
        offer: None,
        source: "a test".to_owned(),
        defaults: None,
    }
}

fn offered(extensions: &[(&str, OfferedExtension)]) -> TargetOffer {
    let extensions = extensions.iter().cloned();
    TargetOffer {
        server_version: "18.1".to_owned(),
        preloaded: Some("pg_stat_statements".to_owned()),
        extensions: extensions.map(|(name, of)| (name.to_owned(), of)).collect(),
    }
}

fn versions(versions: &[&str], updates: &[(&str, &str)]) -> OfferedExtension {
    let updates = updates
        .iter()
        .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()));
    OfferedExtension {
        default: versions.first().map(|version| (*version).to_owned()),
        versions: versions
            .iter()
            .map(|version| (*version).to_owned())
            .collect(),
        updates: updates.collect(),
    }
}

fn extension(name: &str, version: &str) -> ExtensionFacts {
    ExtensionFacts {
        name: name.to_owned(),
        version: version.to_owned(),
        libraries: vec![format!("$libdir/{name}")],
    }
}

fn database(extensions: &[(&str, &str)]) -> DatabaseFacts {
    let extensions = extensions
        .iter()
        .map(|(name, version)| extension(name, version));
    DatabaseFacts {
        extensions: extensions.collect(),
        ..DatabaseFacts::default()
    }
}

fn shown(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|finding| {
        let remedy = finding.remedy.as_deref().unwrap_or("-");
        let severity = finding.severity.as_str();
        format!("{severity} {} {}: {remedy}\n", finding.code, finding.object)
    });
    lines.collect()
}

#[test]
fn a_look_is_enough_where_there_are_only_extensions_that_the_target_offers() {
    let offer = offered(&[("there", versions(&["1"], &[]))]);
    let read = Upgrade {
        offer: Some(offer),
        ..upgrade(15, 18)
    };
    let look = |name: &str, may_have_more| DatabaseLook {
        may_have_more,
        extensions: vec![extension(name, "1")],
    };
    let facts = facts_of_look(look("there", false), &read).unwrap();
    assert_eq!(facts, database(&[("there", "1")]));
    assert_eq!(facts_of_look(look("there", true), &read), None);
    // Whether it has a library makes the finding's severity.
    assert_eq!(facts_of_look(look("gone", false), &read), None);
    let by_table = upgrade(15, 18);
    assert!(facts_of_look(look("hstore", false), &by_table).is_some());
}

#[test]
fn what_becomes_of_an_extension_depends_on_what_the_target_offers() {
    let offer = offered(&[
        ("same", versions(&["1.0"], &[])),
        ("newer", versions(&["1.10", "1.9"], &[("1.9", "1.10")])),
        ("kept", versions(&["2", "1"], &[])),
        ("aside", versions(&["3"], &[("1", "2")])),
        ("first", versions(&["4"], &[("3", "4")])),
        ("stuck", versions(&["9"], &[])),
    ]);
    let upgrade = Upgrade {
        offer: Some(offer),
        ..upgrade(15, 18)
    };
    let installed = [
        ("same", "1.0"),
        ("newer", "1.9"),
        ("kept", "1"),
        ("aside", "1"),
        ("first", "1"),
        ("stuck", "8"),
        ("gone", "1"),
    ];
    let facts = database(&installed);
    assert_eq!(wants_updates(&facts, &upgrade), ["first", "stuck"]);
    let updates = OldUpdates::from([
        ("first".to_owned(), vec!["2".to_owned(), "3".to_owned()]),
        ("stuck".to_owned(), vec!["8.1".to_owned()]),
    ]);
    assert_snapshot!(shown(&check_database(&facts, &upgrade, &updates)), @r#"
    Blocks NotOffered gone: DROP EXTENSION "gone"
    StepBefore UpdateBefore first: ALTER EXTENSION "first" UPDATE TO '3'
    StepBefore NoUpdatePath stuck: DROP EXTENSION "stuck"
    StepAfter UpdateAfter newer: ALTER EXTENSION "newer" UPDATE
    StepAfter UpdateAfter aside: ALTER EXTENSION "aside" UPDATE TO '2'
    "#);
}

#[test]
fn what_no_update_leads_on_from_is_recreated_where_all_that_declare_it_say_so() {
    let upgrade = Upgrade {
        offer: Some(offered(&[("stuck", versions(&["9", "8.5"], &[]))])),
        ..upgrade(15, 18)
    };
    let declared = |version: &str, on_no_update_path: OnNoUpdatePath| Declaration {
        version: VersionRequest::parse(version).unwrap(),
        on_no_update_path,
        ..Declaration::named(ExtensionName::parse("stuck").unwrap())
    };
    let severities = |declared: &[Declaration], installed: &str, libraries: &[&str]| {
        let facts = DatabaseFacts {
            extensions: vec![ExtensionFacts {
                libraries: libraries.iter().map(|name| (*name).to_owned()).collect(),
                ..extension("stuck", installed)
            }],
            declared: declared.to_vec(),
            ..DatabaseFacts::default()
        };
        let updates = OldUpdates::new();
        assert!(wants_declarations(&facts, &upgrade, &updates) || !declared.is_empty());
        let findings = check_database(&facts, &upgrade, &updates);
        let [one] = findings.as_slice() else {
            panic!("{findings:?}");
        };
        assert!(one.reason.ends_with('.'), "not cut off: {}", one.reason);
        format!("{} {}", one.severity.as_str(), one.code)
    };
    let recreate = |version: &str| declared(version, OnNoUpdatePath::Recreate);
    let of = |declared: &[Declaration]| severities(declared, "8", &["$libdir/stuck"]);
    assert_eq!(of(&[]), "StepBefore NoUpdatePath");
    assert_eq!(of(&[recreate("default")]), "StepAfter RecreateAfter");
    assert_eq!(
        of(&[recreate("9"), recreate("8.*")]),
        "StepAfter RecreateAfter"
    );
    // One that says otherwise, has no version, or one that the target does not have.
    let fails = declared("default", OnNoUpdatePath::Fail);
    assert_eq!(of(&[recreate("default"), fails]), "StepBefore NoUpdatePath");
    assert_eq!(of(&[recreate("")]), "StepBefore NoUpdatePath");
    assert_eq!(of(&[recreate("8")]), "StepBefore NoUpdatePath");
    assert_eq!(of(&[recreate("10")]), "StepBefore NoUpdatePath");
    // Downwards only where the declaration admits it.
    let down = |allow_downgrade: bool| Declaration {
        allow_downgrade,
        ..recreate("default")
    };
    let from_10 = |declared: Declaration| severities(&[declared], "10", &["$libdir/stuck"]);
    assert_eq!(from_10(down(false)), "StepBefore NoUpdatePath");
    assert_eq!(from_10(down(true)), "StepAfter RecreateAfter");
    // Without a library nothing breaks meanwhile; with one that is named after a version the upgrade fails.
    assert_eq!(severities(&[], "8", &[]), "StepAfter NoUpdatePath");
    let of_library = |library: &str| severities(&[recreate("default")], "8", &[library]);
    assert_eq!(of_library("$libdir/stuck-8.0"), "Blocks NoUpdatePath");
    assert_eq!(of_library("$libdir/stuck-8.5"), "StepAfter RecreateAfter");
    assert_eq!(of_library("$libdir/stuck-8"), "StepAfter RecreateAfter");
    assert_eq!(of_library("$libdir/stuck-more"), "StepAfter RecreateAfter");
}

#[test]
fn without_an_offer_the_table_decides_and_says_what_it_does_not_know() {
    let installed = [
        ("adminpack", "2.1"),
        ("citext", "1.6"),
        ("hstore", "1.8"),
        ("pg_repack", "1.5.0"),
        ("amcheck", "9.9"),
    ];
    let facts = database(&installed);
    let mut upgrade = upgrade(15, 18);
    let updates = OldUpdates::new();
    assert_snapshot!(shown(&check_database(&facts, &upgrade, &updates)), @r#"
    Blocks NotOffered adminpack: DROP EXTENSION "adminpack"
    StepBefore NewerThanTarget amcheck: -
    StepAfter UpdateAfter citext: ALTER EXTENSION "citext" UPDATE
    Note NotKnown pg_repack: -
    "#);
    upgrade.is_rds = true;
    let findings = check_database(&facts, &upgrade, &updates);
    let rule = findings
        .iter()
        .find(|one| one.object == "pg_repack")
        .unwrap();
    assert_eq!(
        (rule.severity, rule.code.as_str()),
        (Severity::Blocks, "DropBefore")
    );
    assert!(rule.reason.contains("RDS User Guide"), "{}", rule.reason);
}

#[test]
fn postgis_and_its_extensions_are_of_one_version_and_not_older_than_the_old_server_has() {
    let defaults = |version: &str| {
        let names =
            ["postgis", "postgis_topology"].map(|name| (name.to_owned(), version.to_owned()));
        Some(BTreeMap::from(names))
    };
    let mut upgrade = Upgrade {
        offer: Some(offered(&[
            (
                "postgis",
                versions(&["3.5.0"], &[("3.3.2", "3.5.0"), ("3.4.0", "3.5.0")]),
            ),
            (
                "postgis_topology",
                versions(&["3.5.0"], &[("3.3.2", "3.5.0"), ("3.4.0", "3.5.0")]),
            ),
        ])),
        defaults: defaults("3.4.0"),
        ..upgrade(15, 18)
    };
    let facts = database(&[("postgis", "3.4.0"), ("postgis_topology", "3.3.2")]);
    let updates = OldUpdates::new();
    assert_snapshot!(shown(&check_database(&facts, &upgrade, &updates)), @r#"
    StepBefore PostgisTooOld postgis_topology: ALTER EXTENSION "postgis_topology" UPDATE
    StepAfter UpdateAfter postgis: ALTER EXTENSION "postgis" UPDATE
    StepAfter UpdateAfter postgis_topology: ALTER EXTENSION "postgis_topology" UPDATE
    "#);
    upgrade.defaults = None;
    upgrade.is_rds = true;
    let findings = check_database(&facts, &upgrade, &updates);
    let mixed = findings.first().unwrap();
    assert_eq!(
        (mixed.severity, mixed.code.as_str()),
        (Severity::Blocks, "PostgisMixed")
    );
    let remedy = mixed.remedy.as_deref().unwrap();
    assert_eq!(
        remedy,
        "ALTER EXTENSION \"postgis_topology\" UPDATE TO '3.4.0'"
    );
}

fn objects() -> DatabaseFacts {
    let column = |r#type: &str, refused: &str, kind| RefusedColumn {
        relation: "public.t".to_owned(),
        kind,
        column: "c".to_owned(),
        r#type: r#type.to_owned(),
        refused: refused.to_owned(),
    };
    DatabaseFacts {
        columns: vec![
            column("regproc", "regproc", 'r'),
            column("public.d", "aclitem", 'm'),
        ],
        tables_with_oids: vec!["public.oids".to_owned()],
        postfix_operators: vec!["public.! (bigint, NONE)".to_owned()],
        polymorphics: vec!["AGGREGATE public.agg(anyelement)".to_owned()],
        conversions: vec!["public.conv".to_owned()],
        nullable_columns: vec![("public.child".to_owned(), "c".to_owned())],
        functions: vec![Function {
            name: "public.f()".to_owned(),
            library: "$libdir/own".to_owned(),
        }],
        subscribed_tables: vec![SubscribedTable {
            subscription: "s".to_owned(),
            table: "public.s".to_owned(),
        }],
        ..DatabaseFacts::default()
    }
}

#[test]
fn what_a_version_removes_or_changes_is_found_where_the_upgrade_leads_over_it() {
    let codes = |from, to| {
        let findings = check_database(&objects(), &upgrade(from, to), &OldUpdates::new());
        let codes: Vec<String> = findings.into_iter().map(|finding| finding.code).collect();
        codes.join(" ")
    };
    let types = "ColumnType ColumnType";
    let removed = "PostfixOperator PolymorphicFunction EncodingConversion";
    assert_eq!(
        codes(11, 18),
        format!("{types} TableWithOids {removed} NotNullInheritance")
    );
    assert_eq!(codes(13, 17), format!("{types} {removed}"));
    assert_eq!(codes(14, 17), types);
    assert_eq!(
        codes(17, 18),
        format!("{types} NotNullInheritance SubscriptionState")
    );
    assert_eq!(codes(18, 18), "");
    assert_eq!(codes(18, 17), "");
    assert!(refused_types(15, 16).contains(&"aclitem"));
    assert!(!refused_types(16, 17).contains(&"aclitem"));
}

#[test]
fn what_mends_an_object_is_a_statement() {
    let upgrade = Upgrade {
        offer: Some(offered(&[])),
        ..upgrade(11, 18)
    };
    assert_snapshot!(shown(&check_database(&objects(), &upgrade, &OldUpdates::new())), @r#"
    Blocks ColumnType public.t.c: ALTER TABLE public.t ALTER COLUMN c TYPE text
    Blocks ColumnType public.t.c: DROP MATERIALIZED VIEW public.t
    Blocks TableWithOids public.oids: ALTER TABLE public.oids SET WITHOUT OIDS
    Blocks PostfixOperator public.! (bigint, NONE): DROP OPERATOR public.! (bigint, NONE)
    Blocks PolymorphicFunction AGGREGATE public.agg(anyelement): DROP AGGREGATE public.agg(anyelement)
    Blocks EncodingConversion public.conv: DROP CONVERSION public.conv
    Blocks NotNullInheritance public.child.c: ALTER TABLE public.child ALTER COLUMN c SET NOT NULL
    Blocks Library public.f(): DROP FUNCTION public.f()
    "#);
}

fn hex(name: &str) -> SharedName {
    let digits: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    SharedName::from(digits)
}

fn a_server() -> ServerFacts {
    ServerFacts {
        version: "15.18".to_owned(),
        preloaded: Some("pg_cron, pg_stat_statements,own, rdsutils, auto_explain".to_owned()),
        prepared: vec![PreparedTransaction {
            gid: "left 'over".to_owned(),
            database: hex("orders"),
        }],
        slots: vec![Slot {
            name: "slot".to_owned(),
            database: Some(hex("orders")),
            wal_status: Some("reserved".to_owned()),
        }],
        closed: vec![
            ClosedDatabase {
                name: hex("Ünused"),
                is_invalid: false,
            },
            ClosedDatabase {
                name: hex("half"),
                is_invalid: true,
            },
            ClosedDatabase {
                name: hex("template0"),
                is_invalid: false,
            },
        ],
        subscriptions: vec![hex("sub")],
        unreachable: vec![hex("theirs")],
        ..ServerFacts::default()
    }
}

#[test]
fn what_a_server_meets_is_mended_by_a_statement_or_a_parameter() {
    let upgrade = Upgrade {
        offer: Some(offered(&[("pg_cron", versions(&["1.6"], &[]))])),
        ..upgrade(15, 17)
    };
    assert_snapshot!(shown(&check_server(&a_server(), &upgrade)), @r#"
    Blocks PreparedTransaction left 'over: \connect "orders" \\ COMMIT PREPARED 'left ''over'; -- or ROLLBACK PREPARED 'left ''over'
    Blocks ClosedDatabase Ünused: ALTER DATABASE "Ünused" WITH ALLOW_CONNECTIONS true
    Blocks InvalidDatabase half: DROP DATABASE "half"
    Blocks OpenTemplate0 template0: ALTER DATABASE "template0" WITH ALLOW_CONNECTIONS false
    Blocks PreloadLibrary own: remove own from shared_preload_libraries
    StepBefore LogicalSlot slot: SELECT pg_drop_replication_slot('slot')
    StepBefore PreloadLibrary auto_explain: add auto_explain to shared_preload_libraries in the parameter group of the target
    StepBefore PreloadLibrary pg_cron: add pg_cron to shared_preload_libraries in the parameter group of the target
    StepAfter Subscription sub: ALTER SUBSCRIPTION "sub" ENABLE; ALTER SUBSCRIPTION "sub" REFRESH PUBLICATION WITH (copy_data = false)
    StepAfter Statistics pg_statistic: ANALYZE
    Note NotChecked theirs: GRANT CONNECT ON DATABASE "theirs" TO the role of the secret
    "#);
}

#[test]
fn rds_upgrades_no_server_with_a_logical_slot() {
    let upgrade = Upgrade {
        is_rds: true,
        ..upgrade(17, 18)
    };
    let findings = check_server(&a_server(), &upgrade);
    let slot = findings
        .iter()
        .find(|one| one.code == "LogicalSlot")
        .unwrap();
    assert_eq!(slot.severity, Severity::Blocks);
    assert!(findings.iter().any(|one| one.code == "ParameterGroup"));
}

#[test]
fn many_of_a_kind_are_counted_and_not_all_listed() {
    let mut facts = a_server();
    facts.prepared = vec![facts.prepared[0].clone(); MAX_LISTED + 1];
    let findings = check_server(&facts, &upgrade(15, 17));
    let of_kind = findings
        .iter()
        .filter(|one| one.code == "PreparedTransaction");
    let objects: Vec<&str> = of_kind.map(|one| one.object.as_str()).collect();
    assert_eq!(
        (objects.len(), objects.last()),
        (MAX_LISTED + 1, Some(&"…"))
    );
}

#[test]
fn no_name_becomes_a_statement_of_its_own_or_steers_a_terminal() {
    let mut facts = a_server();
    facts.closed[0].name = hex("a\"; DROP\u{1b}[2J");
    facts.slots[0].name = "x'); DROP".to_owned();
    let findings = check_server(&facts, &upgrade(15, 17));
    let closed = findings
        .iter()
        .find(|one| one.code == "ClosedDatabase")
        .unwrap();
    assert_eq!(
        (closed.object.as_str(), &closed.remedy),
        ("a\"; DROP[2J", &None)
    );
    let slot = findings
        .iter()
        .find(|one| one.code == "LogicalSlot")
        .unwrap();
    let remedy = slot.remedy.as_deref().unwrap();
    assert_eq!(remedy, "SELECT pg_drop_replication_slot('x''); DROP')");
    assert_eq!(SharedName::from("c3".to_owned()).0, "\\xc3");
}
