//! Findings about objects of a database that pg_upgrade refuses, except extensions.
//!
//! Source: the check functions of `src/bin/pg_upgrade/check.c`, which also name the versions.

use super::facts::{DatabaseFacts, RefusedColumn};
use super::{Upgrade, finding, listed};
use crate::resync_protocol::Severity::Blocks;
use crate::resync_protocol::{Finding, TargetOffer};

/// Types whose values contain OIDs of the old cluster's catalog, which the new one does not have. `regclass`, `regrole` and
/// `regtype` are no such types.
const REG: [&str; 8] = [
    "regcollation",
    "regconfig",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
];
/// Types that PostgreSQL 12 removed.
const REMOVED_IN_12: [&str; 3] = ["abstime", "reltime", "tinterval"];
/// `information_schema.sql_identifier`, whose type PostgreSQL 12 changed.
const SQL_IDENTIFIER: &str = "sql_identifier";
/// The name in the query for row types of PostgreSQL's own tables and views, which all versions refuse.
pub(super) const SYSTEM_COMPOSITE: &str = "a system-defined composite type";

/// Names of the types of `pg_catalog` and `information_schema` that pg_upgrade refuses in columns.
pub(crate) fn refused_types(from: u16, to: u16) -> Vec<&'static str> {
    let crosses = |version| from < version && version <= to;
    let mut types = REG.to_vec();
    if crosses(12) {
        types.extend(REMOVED_IN_12);
        types.push(SQL_IDENTIFIER);
    }
    if crosses(16) {
        types.push("aclitem");
    }
    if crosses(10) {
        types.push("unknown");
    }
    types
}

pub(super) fn findings(facts: &DatabaseFacts, upgrade: &Upgrade) -> Vec<Finding> {
    let mut findings = listed(&facts.columns, |column| of_column(column, upgrade));
    if upgrade.crosses(12) {
        findings.extend(listed(&facts.tables_with_oids, |table| {
            let reason = "the table is declared WITH OIDS, which PostgreSQL 12 removed.";
            let remedy = format!("ALTER TABLE {table} SET WITHOUT OIDS");
            finding(
                Blocks,
                "TableWithOids",
                table,
                reason.to_owned(),
                Some(remedy),
            )
        }));
    }
    if upgrade.crosses(14) {
        findings.extend(removed_in_14(facts));
    }
    if upgrade.crosses(18) {
        findings.extend(listed(&facts.nullable_columns, |(table, column)| {
            let reason =
                "the column admits NULL, and that of its parent table does not: PostgreSQL 18 takes no such table.";
            finding(
                Blocks,
                "NotNullInheritance",
                &format!("{table}.{column}"),
                reason.to_owned(),
                Some(format!("ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL")),
            )
        }));
    }
    findings.extend(functions(facts, upgrade.offer.as_ref()));
    findings.extend(subscribed_tables(facts, upgrade));
    findings
}

fn of_column(column: &RefusedColumn, upgrade: &Upgrade) -> Finding {
    let RefusedColumn {
        relation,
        kind,
        column: name,
        r#type,
        refused,
    } = column;
    let of = if r#type == refused || refused == SYSTEM_COMPOSITE {
        format!("the column is of type {type}")
    } else {
        format!("the column is of type {type}, which contains {refused}")
    };
    let why = match refused.as_str() {
        "aclitem" => "PostgreSQL 16 stores aclitem otherwise".to_owned(),
        "unknown" => "no column may have it from PostgreSQL 10 on".to_owned(),
        SQL_IDENTIFIER => "PostgreSQL 12 stores sql_identifier otherwise".to_owned(),
        removed if REMOVED_IN_12.contains(&removed) => {
            format!("PostgreSQL 12 removed {removed}")
        }
        _ => format!(
            "its values or its definition refer to the catalog of version {}, and pg_upgrade does not keep these references",
            upgrade.from
        ),
    };
    let remedy = match kind {
        'i' => format!("DROP INDEX {relation}"),
        'm' => format!("DROP MATERIALIZED VIEW {relation}"),
        _ => format!("ALTER TABLE {relation} ALTER COLUMN {name} TYPE text"),
    };
    finding(
        Blocks,
        "ColumnType",
        &format!("{relation}.{name}"),
        format!("{of}: {why}."),
        Some(remedy),
    )
}

fn removed_in_14(facts: &DatabaseFacts) -> Vec<Finding> {
    let mut findings = listed(&facts.postfix_operators, |operator| {
        let reason = "it is a postfix operator, which PostgreSQL 14 removed.";
        let remedy = format!("DROP OPERATOR {operator}");
        finding(
            Blocks,
            "PostfixOperator",
            operator,
            reason.to_owned(),
            Some(remedy),
        )
    });
    findings.extend(listed(&facts.polymorphics, |object| {
        let reason = "it uses a function of arrays that takes anycompatiblearray from PostgreSQL 14 on: drop it, and create \
                      it again afterwards with anycompatible and anycompatiblearray.";
        finding(
            Blocks,
            "PolymorphicFunction",
            object,
            reason.to_owned(),
            Some(format!("DROP {object}")),
        )
    }));
    findings.extend(listed(&facts.conversions, |conversion| {
        let reason =
            "it is a conversion of encodings, whose function has other arguments from PostgreSQL 14 on.";
        finding(
            Blocks,
            "EncodingConversion",
            conversion,
            reason.to_owned(),
            Some(format!("DROP CONVERSION {conversion}")),
        )
    }));
    findings
}

/// pg_upgrade loads each library in the new cluster. Whether the target has a library that belongs to no extension cannot
/// be read.
fn functions(facts: &DatabaseFacts, offer: Option<&TargetOffer>) -> Vec<Finding> {
    let is_missing = |library: &str| {
        let name = library.rsplit('/').next().unwrap_or(library);
        offer.is_some_and(|offer| !offer.extensions.contains_key(name) && !is_of_postgresql(name))
    };
    let missing: Vec<_> = facts
        .functions
        .iter()
        .filter(|function| is_missing(&function.library))
        .collect();
    listed(&missing, |function| {
        let reason = format!(
            "the function is in the library {} and belongs to no extension; the target offers no extension of that name, and \
             the upgrade fails where the target has no such library.",
            function.library
        );
        finding(
            Blocks,
            "Library",
            &function.name,
            reason,
            Some(format!("DROP FUNCTION {}", function.name)),
        )
    })
}

/// Libraries of the server's own package that belong to no extension.
/// Source: `src/backend/replication`, `src/backend/snowball`, `src/backend/utils/mb/conversion_procs` and `contrib` of PostgreSQL.
pub(super) fn is_of_postgresql(library: &str) -> bool {
    matches!(
        library,
        "auto_explain"
            | "auth_delay"
            | "basebackup_to_shell"
            | "basic_archive"
            | "dict_snowball"
            | "libpqwalreceiver"
            | "passwordcheck"
            | "pgoutput"
            | "pgrowlocks"
            | "sepgsql"
            | "test_decoding"
            | "vacuumlo"
    )
}

/// From PostgreSQL 17 on pg_upgrade keeps subscriptions, if the state of each of their tables is ready or initial.
fn subscribed_tables(facts: &DatabaseFacts, upgrade: &Upgrade) -> Vec<Finding> {
    if upgrade.from < 17 {
        return Vec::new();
    }
    listed(&facts.subscribed_tables, |of| {
        let reason = format!(
            "the table is still copied for the subscription {}: its state must be initialized or ready.",
            of.subscription
        );
        finding(Blocks, "SubscriptionState", &of.table, reason, None)
    })
}
