//! What the planner answers, as one text a case.

mod policy;

use std::collections::BTreeMap;

use insta::assert_snapshot;

use super::*;
use crate::extension::{
    AvailableVersion, Catalog, ExtensionName, InstalledExtension, OnNoUpdatePath, SchemaName,
    UpdatePath, Version, VersionRequest,
};
use crate::response::reason::{self, of_plan_error};
use crate::target::{Address, Host, Target};

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

fn name(text: &str) -> ExtensionName {
    ExtensionName::parse(text).unwrap()
}

fn resource(logical: &str) -> ResourceKey {
    ResourceKey {
        stack_id: "arn:aws:cloudformation:us-east-1:1:stack/app/1".to_owned(),
        logical_resource_id: logical.to_owned(),
    }
}

/// A server that offers `name default_version: version version … [requires …]`, one a line; `a>b` is an update path.
pub(super) fn server(offers: &str) -> Observed {
    let mut catalog = Catalog::default();
    for line in offers
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (head, rest) = line.split_once(':').unwrap();
        let (extension, default) = head.split_once(' ').unwrap();
        let (versions, requires) = rest.split_once("requires").unwrap_or((rest, ""));
        catalog.extensions.push(AvailableExtension {
            name: name(extension),
            default_version: Some(version(default)),
        });
        for word in versions.split_whitespace() {
            match word.split_once('>') {
                Some((source, target)) => catalog.paths.push(UpdatePath {
                    name: extension.to_owned(),
                    source: version(source),
                    target: version(target),
                }),
                None => catalog.versions.push(AvailableVersion {
                    name: extension.to_owned(),
                    version: version(word),
                    schema: None,
                    requires: Some(requires.split_whitespace().map(str::to_owned).collect()),
                }),
            }
        }
    }
    Observed {
        server_version: "15.18".to_owned(),
        role: "app".to_owned(),
        in_recovery: false,
        catalog,
        installed: BTreeMap::new(),
        schemas: Vec::new(),
        allowed_extensions: None,
        preloaded: Some("pg_cron, pgaudit".to_owned()),
        cron_database: Some("postgres".to_owned()),
        database: "app".to_owned(),
        ledger_version: Some(1),
    }
}

pub(super) fn with(
    mut observed: Observed,
    extension: &str,
    at: &str,
    requires: &[&str],
) -> Observed {
    observed.installed.insert(
        extension.to_owned(),
        InstalledExtension {
            version: version(at),
            schema: SchemaName::public(),
            relocatable: true,
            requires: requires.iter().map(|name| (*name).to_owned()).collect(),
        },
    );
    observed
}

fn declare(extension: &str, asked: &str) -> Declaration {
    Declaration {
        version: VersionRequest::parse(asked).unwrap(),
        ..Declaration::named(name(extension))
    }
}

/// The plan's SQL and what it keeps, or the Reason.
fn planned(declarations: &[Declaration], observed: &Observed, ledger: &Ledger) -> String {
    let resource = resource("Extensions");
    let intent = Intent {
        resource: &resource,
        declarations,
        deletion_behavior: DeletionBehavior::DropUnused,
        policy: &Policy::unrestricted(),
    };
    planned_as(&intent, observed, ledger)
}

fn planned_as(intent: &Intent<'_>, observed: &Observed, ledger: &Ledger) -> String {
    match plan(intent, observed, ledger) {
        Ok(plan) => {
            let steps = plan.steps.iter().map(Step::sql);
            let retained = plan.retained.iter().map(reason::of_retained);
            steps
                .chain(retained)
                .chain(plan.warnings.iter().map(reason::of_warning))
                .collect::<Vec<_>>()
                .join("\n")
        }
        Err(plan_error) => {
            let target = Target {
                address: Address {
                    host: Host::parse("demo1").unwrap(),
                    port: 5432,
                },
                database: "app".to_owned(),
                username: "app".to_owned(),
            };
            of_plan_error(&plan_error, &target, &observed.server_version)
        }
    }
}

const POSTGIS: &str =
    "postgis 3.3.2: 3.3.2 3.3.2next 3.3.2>3.3.2next 3.3.2next>3.3.2 3.0.3>3.3.2 3.0.3>3.3.2next
    vector 0.8.0: 0.8.0
    cube 1.5: 1.4 1.5 1.4>1.5
    earthdistance 1.1: 1.1 requires cube";

#[test]
fn what_is_declared_and_not_there_is_created_at_an_explicit_version() {
    assert_snapshot!(planned(&[declare("PostGIS", "")], &server(POSTGIS), &Ledger::default()), @r#"CREATE EXTENSION "postgis" SCHEMA "public" VERSION '3.3.2'"#);
    assert_snapshot!(planned(&[declare("postgis", "3.3.*")], &server(POSTGIS), &Ledger::default()), @r#"CREATE EXTENSION "postgis" SCHEMA "public" VERSION '3.3.2'"#);
}

#[test]
fn a_version_that_is_not_there_is_answered_with_those_that_are() {
    assert_snapshot!(planned(&[declare("PostGIS", "3.0.3")], &server(POSTGIS), &Ledger::default()), @r#"Extension "PostGIS": version 3.0.3 cannot be installed on demo1/app (PostgreSQL 15.18). Available: 3.3.2, 3.3.2next. Ask for one of these, or "3.3.*". [22023]"#);
}

#[test]
fn an_unknown_extension_is_answered_with_what_may_have_been_meant() {
    assert_snapshot!(planned(&[declare("pgvector", "")], &server(POSTGIS), &Ledger::default()), @r#"Extension "pgvector" is not available on demo1/app (PostgreSQL 15.18). Did you mean "vector"? [0A000]"#);
    assert_snapshot!(planned(&[declare("x", "")], &server(POSTGIS), &Ledger::default()), @r#"Extension "x" is not available on demo1/app (PostgreSQL 15.18). [0A000]"#);
    assert_snapshot!(planned(&[declare("postgsi", "")], &server(POSTGIS), &Ledger::default()), @r#"Extension "postgsi" is not available on demo1/app (PostgreSQL 15.18). Did you mean "postgis"? [0A000]"#);
    assert_snapshot!(planned(&[declare("nothing_like_it", "")], &server(POSTGIS), &Ledger::default()), @r#"Extension "nothing_like_it" is not available on demo1/app (PostgreSQL 15.18). [0A000]"#);
}

#[test]
fn an_installed_version_moves_by_existing_paths_only() {
    let at_1_4 = with(server(POSTGIS), "cube", "1.4", &[]);
    assert_snapshot!(planned(&[declare("cube", "1.5")], &at_1_4, &Ledger::default()), @r#"ALTER EXTENSION "cube" UPDATE TO '1.5'"#);
    assert_snapshot!(planned(&[declare("cube", "default")], &at_1_4, &Ledger::default()), @r#"ALTER EXTENSION "cube" UPDATE TO '1.5'"#);
    assert_snapshot!(planned(&[declare("cube", "1.*")], &at_1_4, &Ledger::default()), @r#"ALTER EXTENSION "cube" UPDATE TO '1.5'"#);
    assert_snapshot!(planned(&[declare("cube", "")], &at_1_4, &Ledger::default()), @"");
    let at_1_5 = with(server(POSTGIS), "cube", "1.5", &[]);
    assert_snapshot!(planned(&[declare("cube", "1.4")], &at_1_5, &Ledger::default()), @r#"Extension "cube": there is no update path from the installed version 1.5 to 1.4 on demo1/app (PostgreSQL 15.18). It cannot be updated to any other version. [22023]"#);
}

#[test]
fn an_extension_without_a_path_is_recreated_where_that_is_declared() {
    let offer = "repack 1.5: 1.5 1.4";
    let installed = with(server(offer), "repack", "1.4", &[]);
    let recreate = |asked: &str| Declaration {
        on_no_update_path: OnNoUpdatePath::Recreate,
        ..declare("repack", asked)
    };
    assert_snapshot!(planned(&[declare("repack", "default")], &installed, &Ledger::default()), @r#"Extension "repack": there is no update path from the installed version 1.4 to 1.5 on demo1/app (PostgreSQL 15.18). It cannot be updated to any other version. OnNoUpdatePath: Recreate drops it and creates it again, if nothing depends on it. [22023]"#);
    for asked in ["default", "1.5", "1.5*"] {
        assert_eq!(
            planned(&[recreate(asked)], &installed, &Ledger::default()),
            r#"DROP EXTENSION "repack"; CREATE EXTENSION "repack" SCHEMA "public" VERSION '1.5'"#,
            "{asked}"
        );
    }
    assert_snapshot!(planned(&[recreate("")], &installed, &Ledger::default()), @"");
    assert_snapshot!(planned(&[recreate("2")], &installed, &Ledger::default()), @r#"Extension "repack": version 2 cannot be installed on demo1/app (PostgreSQL 15.18). Available: 1.4. Ask for one of these, or "1.*". [22023]"#);
    let newer = with(server(offer), "repack", "1.5", &[]);
    assert_snapshot!(planned(&[recreate("1.4")], &newer, &Ledger::default()), @r#"Extension "repack": version 1.4 is below the installed 1.5 on demo1/app. Ask for 1.5, or set AllowDowngrade: true."#);
    // An update is taken where there is one.
    let with_path = with(server("repack 1.5: 1.5 1.4 1.4>1.5"), "repack", "1.4", &[]);
    assert_snapshot!(planned(&[recreate("1.5")], &with_path, &Ledger::default()), @r#"ALTER EXTENSION "repack" UPDATE TO '1.5'"#);
}

#[test]
fn a_downgrade_needs_to_be_asked_for() {
    let observed = with(
        server("chain 1.0: 1.0 2.0 1.0>2.0 2.0>1.0"),
        "chain",
        "2.0",
        &[],
    );
    // The package's default went back to 1.0.
    assert_snapshot!(planned(&[declare("chain", "default")], &observed, &Ledger::default()), @"");
    let observed = with(
        server("chain 2.0: 1.0 2.0 1.0>2.0 2.0>1.0"),
        "chain",
        "2.0",
        &[],
    );
    assert_snapshot!(planned(&[declare("chain", "1.0")], &observed, &Ledger::default()), @r#"Extension "chain": version 1.0 is below the installed 2.0 on demo1/app. Ask for 2.0, or set AllowDowngrade: true."#);
    let allowed = Declaration {
        allow_downgrade: true,
        ..declare("chain", "1.0")
    };
    assert_snapshot!(planned(&[allowed], &observed, &Ledger::default()), @r#"ALTER EXTENSION "chain" UPDATE TO '1.0'"#);
    // An Update goes back from what the resource declared itself, as a rollback does.
    let back_from = |before: &str| Declaration {
        before: VersionRequest::parse(before).unwrap(),
        ..declare("chain", "1.0")
    };
    for before in ["2.0", "2.*", "default"] {
        assert_eq!(
            planned(&[back_from(before)], &observed, &Ledger::default()),
            r#"ALTER EXTENSION "chain" UPDATE TO '1.0'"#
        );
    }
    assert!(
        planned(&[back_from("1.5")], &observed, &Ledger::default()).contains("is below"),
        "somebody else went to 2.0"
    );
}

#[test]
fn what_is_required_comes_first_or_with_cascade() {
    let both = [declare("earthdistance", ""), declare("cube", "1.4")];
    assert_snapshot!(planned(&both, &server(POSTGIS), &Ledger::default()), @r#"
    CREATE EXTENSION "cube" SCHEMA "public" VERSION '1.4'
    CREATE EXTENSION "earthdistance" SCHEMA "public" VERSION '1.1'
    "#);
    assert_snapshot!(planned(&[declare("earthdistance", "")], &server(POSTGIS), &Ledger::default()), @r#"CREATE EXTENSION "earthdistance" SCHEMA "public" VERSION '1.1' CASCADE"#);
    let alone = Declaration {
        cascade: false,
        ..declare("earthdistance", "")
    };
    assert_snapshot!(planned(&[alone], &server(POSTGIS), &Ledger::default()), @r#"Extension "earthdistance" requires cube, not installed on demo1/app. Declare it too, or leave Cascade at true. [42704]"#);
}

#[test]
fn what_postgresql_is_silent_about_is_said() {
    let server = server("pg_cron 1.4: 1.4\n pgaudit 1.7: 1.7\n pg_stat_statements 1.10: 1.10");
    assert_snapshot!(planned(&[declare("pgaudit", "")], &server, &Ledger::default()), @r#"CREATE EXTENSION "pgaudit" SCHEMA "public" VERSION '1.7'"#);
    assert_snapshot!(planned(&[declare("pg_stat_statements", "")], &server, &Ledger::default()), @r#"
    CREATE EXTENSION "pg_stat_statements" SCHEMA "public" VERSION '1.10'
    warning: pg_stat_statements does nothing until it is in shared_preload_libraries of the DB parameter group and the instance is rebooted
    "#);
    assert_snapshot!(planned(&[declare("pg_cron", "")], &server, &Ledger::default()), @r#"Extension "pg_cron" can only be in database postgres (cron.database_name), not on demo1/app. Declare it there, or set the parameter in the DB parameter group and reboot the instance."#);
    let allowed = Observed {
        allowed_extensions: Some("pgaudit, hstore".to_owned()),
        ..server
    };
    assert_snapshot!(planned(&[declare("pgaudit", "")], &allowed, &Ledger::default()), @r#"CREATE EXTENSION "pgaudit" SCHEMA "public" VERSION '1.7'"#);
    assert_snapshot!(planned(&[declare("pg_stat_statements", "")], &allowed, &Ledger::default()), @r#"Extension "pg_stat_statements": user "app" may not create it on demo1/app: it is not in rds.allowed_extensions (pgaudit, hstore). Add it in the DB parameter group. [42501]"#);
}

#[test]
fn the_default_of_an_older_package_takes_nothing_back() {
    let observed = with(server("chain 1.0: 1.0 2.0 2.0>1.0"), "chain", "2.0", &[]);
    assert_snapshot!(planned(&[declare("chain", "default")], &observed, &Ledger::default()), @"");
}

#[test]
fn what_an_installed_extension_can_go_to_is_listed() {
    let mut observed = with(server(POSTGIS), "cube", "1.4", &[]);
    // The server is asked for installable versions only where something is to be installed.
    observed.catalog.versions.clear();
    assert_snapshot!(planned(&[declare("cube", "9")], &observed, &Ledger::default()), @r#"Extension "cube": version 9 cannot be installed on demo1/app (PostgreSQL 15.18). Available: 1.4, 1.5. Ask for one of these, or "1.*". [22023]"#);
}

#[test]
fn a_requirement_through_an_undeclared_extension_comes_first() {
    let server = server("ca 1: 1 requires cb\n cb 1: 1 requires cc\n cc 2: 1 2");
    assert_snapshot!(planned(&[declare("ca", ""), declare("cc", "1")], &server, &Ledger::default()), @r#"
    CREATE EXTENSION "cc" SCHEMA "public" VERSION '1'
    CREATE EXTENSION "ca" SCHEMA "public" VERSION '1' CASCADE
    "#);
}
