//! The extension whose update from 1.0 to 1.1 is in three stages, and what must hold of them: each is carried out once, and the
//! ledger has it in the place of one request, in order.

use std::time::Duration;

use serde_json::Value;
use tokio_postgres::Client;

use crate::support::Fixture;

/// The only way, from each version to the next; from the last it leads to the first.
const WAY: [&str; 4] = ["1.0", "1.0.1", "1.0.2", "1.1"];

/// The table of a database in which each script of an update writes a row.
pub(super) fn log(name: &str) -> String {
    format!("h_{name}_s_updates")
}

/// Its name.
pub(super) fn extension(name: &str) -> String {
    format!("h_{name}_s")
}

/// Each script upwards leaves a deferred trigger pending, and is refused while one is.
pub(super) fn install(name: &str) {
    let extension = extension(name);
    let log = log(name);
    let make = format!(
        "CREATE TABLE {extension}_parent (id int PRIMARY KEY);
         CREATE TABLE {extension}_child (id int REFERENCES {extension}_parent DEFERRABLE INITIALLY DEFERRED);"
    );
    let update = |from: &str, to: &str| {
        format!("INSERT INTO public.{log} (source, target) VALUES ('{from}', '{to}');")
    };
    let up = |index: usize| {
        format!(
            "ALTER TABLE {extension}_child ADD COLUMN IF NOT EXISTS c{index} int;
             INSERT INTO {extension}_parent VALUES ({index}) ON CONFLICT DO NOTHING;
             INSERT INTO {extension}_child (id) VALUES ({index}); {}",
            update(WAY[index], WAY[index + 1])
        )
    };
    let down = format!("DELETE FROM {extension}_child; {}", update("1.1", "1.0"));
    Fixture::install(
        &extension,
        "default_version = '1.0'\n",
        &[
            ("1.0", &make),
            ("1.1", &make),
            ("1.0--1.0.1", &up(0)),
            ("1.0.1--1.0.2", &up(1)),
            ("1.0.2--1.1", &up(2)),
            ("1.1--1.0", &down),
        ],
    );
}

pub(super) async fn create_log(admin: &Client, name: &str) {
    let create = format!(
        "CREATE TABLE {} (id int GENERATED ALWAYS AS IDENTITY, source text, target text)",
        log(name)
    );
    admin.batch_execute(&create).await.unwrap();
}

/// Waits until scripts of updates were committed in the databases, as many as are to be waited for.
pub(super) async fn wait_for_updates(admins: &[Client], name: &str, updates: u32) {
    let query = format!("SELECT count(*)::int FROM {}", log(name));
    let mut first = None;
    loop {
        let mut all = 0;
        for admin in admins {
            let row = admin.query_one(&query, &[]).await.unwrap();
            all += row.get::<_, i32>(0);
        }
        let first = *first.get_or_insert(all);
        if all >= first + i32::try_from(updates).unwrap() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Whether the ledger has a request of which some stages are committed, and not the last.
pub(super) async fn is_between_stages(admin: &Client, request_id: &str) -> bool {
    let progress = "SELECT data -> 'progress' -> 'stages' -> -1 ->> 'to' FROM extension_worker.ledger
                    WHERE kind = 'request' AND name = $1 AND data ->> 'outcome' IS NULL AND data ->> 'response' IS NULL";
    // The ledger may not be there yet.
    match admin.query_opt(progress, &[&request_id]).await {
        Ok(Some(row)) => row
            .get::<_, Option<String>>(0)
            .is_some_and(|to| to != WAY[0] && to != WAY[3]),
        Ok(None) | Err(_) => false,
    }
}

/// What the scripts wrote is what the ledger has, each update once and in the order of the requests.
pub(super) async fn check(admin: &Client, name: &str) -> Result<(), String> {
    let log = log(name);
    let query = format!(
        "SELECT coalesce((SELECT json_agg(json_build_array(source, target) ORDER BY id) FROM {log}), '[]')::text,
                coalesce((SELECT json_agg(data ORDER BY requested_at) FROM extension_worker.ledger WHERE kind = 'request'), '[]')::text"
    );
    // A history in which no request came so far has no ledger.
    let Ok(row) = admin.query_one(&query, &[]).await else {
        return Ok(());
    };
    let mut carried_out: Vec<(String, String)> = serde_json::from_str(row.get(0)).unwrap();
    let rows: Vec<Value> = serde_json::from_str(row.get(1)).unwrap();
    let mut recorded = Vec::new();
    for row in &rows {
        recorded.extend(updates_of(row, &extension(name))?);
    }
    carried_out.sort();
    recorded.sort();
    if carried_out == recorded {
        Ok(())
    } else {
        Err(format!(
            "the scripts updated {carried_out:?}, and the ledger has {recorded:?}: {rows:#?}"
        ))
    }
}

/// The updates that a request carried out, script by script, as its row in the ledger has them.
fn updates_of(row: &Value, extension: &str) -> Result<Vec<(String, String)>, String> {
    let outcome = &row["outcome"];
    let updates: Vec<(&str, &str)> = if outcome.is_null() {
        let stages = row["progress"]["stages"].as_array().into_iter().flatten();
        let stages = stages.filter(|stage| stage["name"] == extension);
        stages
            .map(|stage| (text(&stage["from"]), text(&stage["to"])))
            .collect()
    } else {
        let update = |change| {
            let rest = text(change).strip_prefix("updated ")?;
            rest.strip_prefix(extension)?.trim().split_once(" to ")
        };
        let changes = outcome["changes"].as_array().into_iter().flatten();
        changes.filter_map(update).collect()
    };
    if let Some((_, last)) = updates.last()
        && !outcome.is_null()
        && outcome["after"][extension] != **last
    {
        return Err(format!("the last update is not what is there: {row:#}"));
    }
    let before = if outcome.is_null() {
        &row["progress"]["before"]
    } else {
        &outcome["before"]
    };
    let mut version = text(&before[extension]);
    let mut scripts = Vec::new();
    for (from, to) in updates {
        if version != from {
            return Err(format!("an update begins where none ended: {row:#}"));
        }
        version = to;
        let mut way = WAY.iter().cycle().skip_while(|version| **version != from);
        let mut at = way.next().ok_or("no version")?;
        while *at != to {
            let next = way.next().ok_or("no version")?;
            scripts.push(((*at).to_owned(), (*next).to_owned()));
            at = next;
        }
    }
    Ok(scripts)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
