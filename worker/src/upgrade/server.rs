//! Findings about a server, beside those about its databases.

use std::collections::BTreeSet;

use postgres_protocol::escape::{escape_identifier, escape_literal};

use super::facts::{ClosedDatabase, ServerFacts, SharedName, Slot};
use super::objects::is_of_postgresql;
use super::{Upgrade, finding, listed};
use crate::resync_protocol::Severity::{Blocks, Note, StepAfter, StepBefore};
use crate::resync_protocol::{Finding, TargetOffer};

/// The parameter with the libraries that a server loads at its start.
const PRELOAD: &str = "shared_preload_libraries";
/// Libraries that RDS itself loads in each of its servers.
const OF_RDS: &str = "rdsutils";
/// Versions from which on pg_upgrade keeps slots, subscriptions and statistics.
/// Source: the release notes of PostgreSQL 17 and 18, pg_upgrade.
const SLOTS_MOVE: u16 = 17;
const STATISTICS_MOVE: u16 = 18;

pub(super) fn findings(facts: &ServerFacts, upgrade: &Upgrade) -> Vec<Finding> {
    let mut findings = listed(&facts.prepared, |prepared| {
        let gid = escape_literal(&prepared.gid);
        let database = &prepared.database.0;
        let reason = format!(
            "the transaction is prepared in database {database}, and neither committed nor rolled back."
        );
        // The statement fails in another database. psql takes some names for a connection string.
        let is_plain =
            |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | ' ');
        let connect = if database.chars().all(is_plain) {
            format!("\\connect \"{database}\" \\\\ ")
        } else {
            String::new()
        };
        let remedy = format!("{connect}COMMIT PREPARED {gid}; -- or ROLLBACK PREPARED {gid}");
        finding(
            Blocks,
            "PreparedTransaction",
            &prepared.gid,
            reason,
            Some(remedy),
        )
    });
    findings.extend(listed(&facts.slots, |slot| of_slot(slot, upgrade)));
    findings.extend(listed(&facts.closed, of_closed));
    findings.extend(preloaded(facts, upgrade));
    findings.extend(subscriptions(facts, upgrade));
    if upgrade.is_rds {
        let reason = format!(
            "a parameter group of the server's own is of the family of version {}: the upgrade needs one of version {}.",
            upgrade.from, upgrade.to
        );
        let remedy = format!(
            "DBParameterGroupName or DBClusterParameterGroupName of the family postgres{0} or aurora-postgresql{0}",
            upgrade.to
        );
        findings.push(finding(
            Note,
            "ParameterGroup",
            "DB parameter group",
            reason,
            Some(remedy),
        ));
    }
    if facts.in_recovery {
        let reason = "the server is a replica: what is checked here is its primary's as far as it has arrived, and the \
                      slots are the replica's own.";
        findings.push(finding(
            Note,
            "Replica",
            "pg_is_in_recovery()",
            reason.to_owned(),
            None,
        ));
    }
    findings.extend(listed(&facts.unreachable, |SharedName(database)| {
        let reason = "the database was not checked: the role may not connect to it.";
        let remedy = format!(
            "GRANT CONNECT ON DATABASE {} TO the role of the secret",
            escape_identifier(database)
        );
        finding(
            Note,
            "NotChecked",
            database,
            reason.to_owned(),
            Some(remedy),
        )
    }));
    findings.push(statistics(upgrade));
    findings
}

fn of_slot(slot: &Slot, upgrade: &Upgrade) -> Finding {
    let is_lost = slot.wal_status.as_deref() == Some("lost");
    let (severity, reason) = if upgrade.is_rds {
        (
            Blocks,
            "RDS upgrades no server that has a logical replication slot.",
        )
    } else if upgrade.from < SLOTS_MOVE {
        (
            StepBefore,
            "pg_upgrade keeps no logical replication slots of versions before 17: the consumer has to begin anew.",
        )
    } else if is_lost {
        (
            Blocks,
            "the slot is lost, and pg_upgrade refuses slots that cannot be used.",
        )
    } else {
        (
            StepBefore,
            "pg_upgrade keeps the slot where its consumer has received all that was written: stop writing before the \
             upgrade, and let it catch up.",
        )
    };
    let remedy = format!(
        "SELECT pg_drop_replication_slot({})",
        escape_literal(&slot.name)
    );
    finding(
        severity,
        "LogicalSlot",
        &slot.name,
        reason.to_owned(),
        Some(remedy),
    )
}

fn of_closed(database: &ClosedDatabase) -> Finding {
    let name = escape_identifier(&database.name.0);
    let (code, reason, remedy) = if database.is_invalid {
        (
            "InvalidDatabase",
            "a DROP DATABASE was interrupted (datconnlimit is -2): the database can only be dropped.",
            format!("DROP DATABASE {name}"),
        )
    } else if database.name.0 == "template0" {
        (
            "OpenTemplate0",
            "template0 accepts connections, which pg_upgrade does not admit.",
            format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"),
        )
    } else {
        (
            "ClosedDatabase",
            "the database accepts no connections (datallowconn is false): pg_upgrade cannot read it.",
            format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"),
        )
    };
    finding(
        Blocks,
        code,
        &database.name.0,
        reason.to_owned(),
        Some(remedy),
    )
}

/// The names in a list of libraries.
fn libraries(list: Option<&str>) -> BTreeSet<String> {
    let names = list.unwrap_or_default().split(',');
    let names = names.map(|name| name.trim().trim_matches('"').to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

fn preloaded(facts: &ServerFacts, upgrade: &Upgrade) -> Vec<Finding> {
    let Some(TargetOffer {
        preloaded,
        extensions,
        ..
    }) = &upgrade.offer
    else {
        return Vec::new();
    };
    let there = libraries(preloaded.as_deref());
    let here = libraries(facts.preloaded.as_deref());
    let mut findings = Vec::new();
    for library in here.difference(&there).filter(|name| *name != OF_RDS) {
        let name = library.rsplit('/').next().unwrap_or(library);
        let is_there = extensions.contains_key(name) || is_of_postgresql(name);
        if is_there && preloaded.is_none() {
            continue;
        }
        let (severity, code, reason) = if is_there {
            let reason = "the server loads the library at its start, and the one that the offer was read from does not.";
            (StepBefore, "PreloadLibrary", reason)
        } else {
            let reason = "the server loads the library at its start, and the target offers no extension of that name: a \
                          server that cannot load a library does not start.";
            (Blocks, "PreloadLibrary", reason)
        };
        let remedy = if is_there {
            format!("add {library} to {PRELOAD} in the parameter group of the target")
        } else {
            format!("remove {library} from {PRELOAD}")
        };
        findings.push(finding(
            severity,
            code,
            library,
            reason.to_owned(),
            Some(remedy),
        ));
    }
    findings
}

fn subscriptions(facts: &ServerFacts, upgrade: &Upgrade) -> Vec<Finding> {
    if upgrade.from >= SLOTS_MOVE {
        return Vec::new();
    }
    listed(&facts.subscriptions, |SharedName(name)| {
        let subscription = escape_identifier(name);
        let reason = "pg_upgrade restores subscriptions of versions before 17 disabled, and without the state of their \
                      tables.";
        let remedy = format!(
            "ALTER SUBSCRIPTION {subscription} ENABLE; ALTER SUBSCRIPTION {subscription} REFRESH PUBLICATION WITH (copy_data = false)"
        );
        finding(
            StepAfter,
            "Subscription",
            name,
            reason.to_owned(),
            Some(remedy),
        )
    })
}

fn statistics(upgrade: &Upgrade) -> Finding {
    let reason = if upgrade.to < STATISTICS_MOVE {
        "pg_upgrade keeps no statistics of the planner: until ANALYZE collects them again, queries are planned without them."
    } else {
        "pg_upgrade keeps the statistics of tables from version 18 on, but not extended statistics: ANALYZE collects these again."
    };
    finding(
        StepAfter,
        "Statistics",
        "pg_statistic",
        reason.to_owned(),
        Some("ANALYZE".to_owned()),
    )
}
