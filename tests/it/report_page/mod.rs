//! The report page as a reader has it: in a browser, from a file, with mouse and keys.

mod controls;
mod fleet;
mod hostile;
mod large;
mod upgrade;

use serde_json::{Value, json};

use self::fleet::{every_state, report, shown};
use crate::support::{Browser, eventually};

const NAMES: &str = "#matrix tbody th";

#[tokio::test]
async fn every_state_has_a_sign_and_a_word_and_is_counted() {
    let browser = shown(every_state()).await;
    assert_eq!(
        browser.texts("#database-states button").await,
        [
            "✕failed 2",
            "≠drifted 1",
            "↻repaired 1",
            "○unmanaged 1",
            "✓in sync 1"
        ]
    );
    assert_eq!(
        browser.texts("#extension-states button").await,
        [
            "✕failed 1",
            "≠drifted 1",
            "↑outdated 1",
            "↻repaired 1",
            "○unmanaged 1",
            "✓in sync 1",
            "∅absent 1",
            "⚑blocks major upgrade 1"
        ]
    );
    assert_eq!(browser.text("#shown").await, "6 of 6 databases shown");
    let summary = browser.text("#summary").await;
    assert!(
        summary.starts_with("6 databases · 5 servers · 3 extensions · repair"),
        "{summary}"
    );
    // What a screen reader reads of a cell: the word too, where a version is what is seen.
    let cells = "[...document.querySelectorAll('#matrix tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))";
    let rows = browser.eval(cells).await;
    let expected = json!([
        [
            "ledger",
            "✕failed",
            "ledger",
            "15.4",
            "·not there",
            "✕failed",
            "·not there"
        ],
        [
            "rds/secret-without-access",
            "✕failed",
            "–",
            "–",
            "cannot read the secret rds/secret-without-access: access denied"
        ],
        [
            "billing",
            "≠drifted",
            "billing",
            "15.4",
            "✓1.8 in sync",
            "·not there",
            "≠3.2.0 → 3.4.0 drifted"
        ],
        [
            "catalog",
            "↻repaired",
            "catalog",
            "15.4",
            "·not there",
            "·not there",
            "↻3.4.0 repaired"
        ],
        [
            "search",
            "○unmanaged",
            "search",
            "15.4",
            "○1.8 unmanaged",
            "·not there",
            "·not there"
        ],
        [
            "orders",
            "✓in sync",
            "orders",
            "15.4",
            "∅absent",
            "·not there",
            "↑3.3.2 → 3.4.0 outdated⚑ blocks major upgrade"
        ],
    ]);
    assert_eq!(without_spacers(rows), expected);
    browser.picture("every-state").await;
}

#[tokio::test]
async fn a_report_that_lacks_results_says_so() {
    let complete = shown(Vec::new()).await;
    assert!(
        !complete
            .find("#incomplete")
            .await
            .is_displayed()
            .await
            .unwrap()
    );
    assert_eq!(
        complete.text("#nothing").await,
        "No database matches these filters."
    );
    let mut lacking = report(every_state());
    lacking["Complete"] = false.into();
    let browser = Browser::open(&extension_worker::cli::resync::html::page(&lacking)).await;
    assert!(browser.text("#incomplete").await.contains("Incomplete"));
}

#[tokio::test]
async fn the_theme_is_the_systems_until_one_is_chosen() {
    let browser = shown(every_state()).await;
    let ground = "getComputedStyle(document.body).backgroundColor";
    assert_eq!(browser.eval(ground).await, "rgb(255, 255, 255)");
    let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
    browser.devtools("Emulation.setEmulatedMedia", dark).await;
    assert_eq!(browser.eval(ground).await, "rgb(22, 24, 28)");
    // The script hears of it with the next frame.
    eventually("the button's turn", async || {
        let pressed = browser.eval("document.getElementById('theme').ariaPressed");
        (pressed.await == "true").then_some(())
    })
    .await;
    browser.picture("dark").await;
    browser.press("Dark").await;
    assert_eq!(browser.eval(ground).await, "rgb(255, 255, 255)");
    assert_eq!(
        browser
            .eval("document.getElementById('theme').ariaPressed")
            .await,
        "false"
    );
}

/// Two rows only stand for those out of sight.
fn without_spacers(mut rows: Value) -> Value {
    rows.as_array_mut()
        .unwrap()
        .retain(|row| row.as_array().unwrap().len() > 1);
    rows
}
