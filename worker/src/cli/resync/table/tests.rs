use insta::assert_snapshot;

use super::*;
use crate::cli::resync::tests::{extension, report, result};

#[test]
fn a_small_fleet_is_shown_as_a_whole() {
    let mut orders = result(State::InSync, "orders");
    orders.extensions = vec![
        extension("hstore", ExtensionState::InSync, "1.8"),
        extension("postgis", ExtensionState::Outdated, "3.3.2"),
    ];
    orders.extensions[1].blocks_major_upgrade = true;
    let mut billing = result(State::Drifted, "billing");
    billing.extensions = vec![extension("postgis", ExtensionState::Drifted, "3.2.0")];
    billing.extensions[0].declared = Some("3.3.2".to_owned());
    billing.reason = Some("postgis is at 3.2.0 and is declared at 3.3.2".to_owned());
    let mut unreached = result(State::Failed, "");
    (unreached.database, unreached.server) = (None, None);
    unreached.reason = Some("cannot read the secret prod/gone".to_owned());
    let kanji = result(State::Unmanaged, "注文");
    assert_snapshot!(text(&report(vec![orders, billing, unreached, kanji])), @r#"
    | Database | State     | Server              | PostgreSQL | hstore | postgis           |
    |----------|-----------|---------------------|------------|--------|-------------------|
    | orders   | in sync   | server.example:5432 | 15.4       | ✓ 1.8  | ↑ 3.3.2 → 3.4.0 ⚑ |
    | billing  | drifted   | server.example:5432 | 15.4       |        | ≠ 3.2.0 → 3.3.2   |
    | prod/    | failed    |                     | 15.4       |        |                   |
    | 注文     | unmanaged | server.example:5432 | 15.4       |        |                   |
    ✓ in sync   ≠ drifted   ↑ outdated   ⚑ blocks a major upgrade

    4 databases: 1 in sync, 1 drifted, 1 failed, 1 unmanaged.

    server.example:5432/billing
      postgis is at 3.2.0 and is declared at 3.3.2

    prod/
      cannot read the secret prod/gone
    "#);
}

#[test]
fn a_large_fleet_is_shown_where_it_is_not_in_sync_and_a_cause_once() {
    let results = (0..60).map(|number| {
        let state = match number {
            0..=6 => State::Failed,
            7 => State::Repaired,
            8..=20 => State::Unmanaged,
            _ => State::InSync,
        };
        let mut one = result(state, &format!("orders_{number}"));
        one.extensions = (0..12)
            .map(|which| extension(&format!("e{which:02}"), ExtensionState::InSync, "1.0"))
            .collect();
        if state == State::Failed {
            one.extensions[3].state = ExtensionState::Failed;
            one.reason = Some(format!("permission denied in orders_{number}"));
        }
        one
    });
    assert_snapshot!(text(&report(results.collect())), @r#"
    | Database | State    | Server              | PostgreSQL | e03   |
    |----------|----------|---------------------|------------|-------|
    | orders_0 | failed   | server.example:5432 | 15.4       | ✕ 1.0 |
    | orders_1 | failed   | server.example:5432 | 15.4       | ✕ 1.0 |
    | orders_2 | failed   | server.example:5432 | 15.4       | ✕ 1.0 |
    | orders_3 | failed   | server.example:5432 | 15.4       | ✕ 1.0 |
    | orders_4 | failed   | server.example:5432 | 15.4       | ✕ 1.0 |
    | orders_5 | failed   | server.example:5432 | 15.4       | ✕ 1.0 |
    | orders_6 | failed   | server.example:5432 | 15.4       | ✕ 1.0 |
    | orders_7 | repaired | server.example:5432 | 15.4       | ✓ 1.0 |
    ✓ in sync   ✕ failed
    Not shown: 11 extensions that are in sync or unmanaged everywhere here.

    Not shown: 52 databases that are in sync or unmanaged; --json, --csv and --html have all.
    60 databases: 39 in sync, 1 repaired, 7 failed, 13 unmanaged.

    server.example:5432/orders_0, server.example:5432/orders_1, server.example:5432/orders_2, server.example:5432/orders_3, server.example:5432/orders_4 and 2 more
      permission denied in orders_0
    "#);
}

#[test]
fn nothing_is_shown_of_nothing() {
    assert_eq!(text(&report(Vec::new())), "No databases.\n");
}

#[test]
fn no_name_or_reason_steers_the_terminal() {
    let mut hostile = result(State::Failed, "a\u{1b}[2Jb\nc");
    hostile.reason = Some("bell \u{7}\nand \u{9b}2J more".to_owned());
    hostile.extensions = vec![extension("x\u{1b}]0;y", ExtensionState::Failed, "1\r2")];
    let message = text(&report(vec![hostile]));
    assert!(
        !message.contains(['\u{1b}', '\u{7}', '\u{9b}', '\r']),
        "{message:?}"
    );
    assert!(message.contains("  and 2J more\n"), "{message:?}");
}
