//! The controls of the page: filters, sorting, opening a row; with the mouse and with keys.

use fantoccini::key::Key;
use serde_json::json;

use super::NAMES;
use super::fleet::{every_state, result, shown};
use crate::support::{Browser, eventually};

#[tokio::test]
async fn servers_are_shown_without_their_common_domain_and_addresses_whole() {
    for (servers, shown_as) in [
        (["a.example:5432", "b.example:5432"], ["a", "b"]),
        (
            ["127.0.0.1:5432", "127.0.0.1:5432"],
            ["127.0.0.1:5432", "127.0.0.1:5432"],
        ),
        (
            ["10.1.0.1:5432", "10.2.0.1:5432"],
            ["10.1.0.1:5432", "10.2.0.1:5432"],
        ),
        (
            ["fd00::1.2.3.4:5432", "fd01::1.2.3.4:5432"],
            ["fd00::1.2.3.4:5432", "fd01::1.2.3.4:5432"],
        ),
    ] {
        let mut results = vec![
            result("InSync", "one", Vec::new()),
            result("InSync", "two", Vec::new()),
        ];
        for (result, server) in results.iter_mut().zip(servers) {
            result["Server"] = server.into();
        }
        let browser = shown(results).await;
        let cells = "[...document.querySelectorAll('#matrix tbody tr')].map((row) => row.cells[2]?.textContent).filter(Boolean)";
        assert_eq!(browser.eval(cells).await, json!(shown_as));
    }
}

#[tokio::test]
async fn rows_are_filtered_by_name_state_extension_and_reason() {
    let browser = shown(every_state()).await;
    // A slash leads to the field; the words may be parts of the names, in any order and case.
    browser.keys("/").await;
    browser.keys("EXAMPLE led").await;
    assert_eq!(browser.texts(NAMES).await, ["ledger"]);
    assert_eq!(browser.text("#shown").await, "1 of 6 databases shown");
    browser.press("Show all").await;

    browser.press("drifted").await;
    browser.press("repaired").await;
    assert_eq!(browser.texts(NAMES).await, ["billing", "catalog"]);
    assert_eq!(
        browser
            .eval("document.querySelector('.chip.drifted').ariaPressed")
            .await,
        "true"
    );
    browser.press("Show all").await;
    assert_eq!(
        browser
            .eval("document.querySelector('.chip.drifted').ariaPressed")
            .await,
        "false"
    );

    browser.press("outdated").await;
    assert_eq!(browser.texts(NAMES).await, ["orders"]);
    browser.press("Show all").await;

    browser
        .find("#extension")
        .await
        .select_by_value("hstore")
        .await
        .unwrap();
    assert_eq!(browser.texts(NAMES).await, ["billing", "search", "orders"]);
    // The totals are of the extension that is asked for.
    assert_eq!(
        browser.texts("#extension-states button").await,
        ["○unmanaged 1", "✓in sync 1", "∅absent 1"]
    );
    browser.press("Show all").await;

    browser.press("cannot read the secret").await;
    assert_eq!(browser.texts(NAMES).await, ["rds/secret-without-access"]);
    browser.press("Show all").await;
    assert_eq!(browser.texts(NAMES).await.len(), 6);
}

#[tokio::test]
async fn a_heading_sorts_by_click_and_by_key() {
    let browser = shown(every_state()).await;
    let sorted = "[...document.querySelectorAll('#matrix thead th')].map((th) => th.ariaSort && `${th.querySelector('button').textContent} ${th.ariaSort}`).filter(Boolean)";
    // What needs a person comes first.
    assert_eq!(browser.eval(sorted).await, json!(["State descending"]));
    let by_name = [
        "billing",
        "catalog",
        "ledger",
        "orders",
        "rds/secret-without-access",
        "search",
    ];
    let heading = browser.find("#matrix thead th:nth-child(1) button").await;
    heading.click().await.unwrap();
    assert_eq!(browser.eval(sorted).await, json!(["Database ascending"]));
    assert_eq!(browser.texts(NAMES).await, by_name);

    browser.keys(&Key::Enter.to_string()).await;
    assert_eq!(browser.eval(sorted).await, json!(["Database descending"]));
    assert_eq!(
        browser.texts(NAMES).await,
        by_name.iter().rev().copied().collect::<Vec<_>>()
    );

    // On to the heading of postgis, the last of seven.
    browser.keys(&Key::Tab.to_string().repeat(6)).await;
    browser.keys(" ").await;
    assert_eq!(browser.eval(sorted).await, json!(["postgis descending"]));
    assert_eq!(
        browser.texts(NAMES).await[..3],
        ["billing", "orders", "catalog"]
    );
}

#[tokio::test]
async fn details_open_by_click_and_by_enter_and_give_the_focus_back() {
    let browser = shown(every_state()).await;
    let open = "document.getElementById('details').open";
    let focused = "document.activeElement.textContent";
    // Anywhere in the row.
    browser
        .find("#matrix tbody tr[aria-rowindex='4'] td:last-child")
        .await
        .click()
        .await
        .unwrap();
    assert_eq!(browser.eval(open).await, true);
    assert_eq!(browser.text("#details-title").await, "billing");
    let message = browser.text("#details-body").await;
    for text in [
        "postgis is at 3.2.0 and is declared at 3.4.0",
        "billing.fleet.example:5432",
        "15.4",
        "rds/billing",
        "2026-11-22 10:00:03 UTC",
        "41 ms",
        "stack/postgis",
    ] {
        assert!(message.contains(text), "{text}: {message}");
    }
    browser.picture("details").await;
    browser.press("Next").await;
    assert_eq!(browser.text("#details-title").await, "catalog");
    assert_eq!(
        browser.text("#details pre").await,
        "ALTER EXTENSION postgis UPDATE TO '3.4.0';"
    );
    browser.keys(&Key::Escape.to_string()).await;
    assert_eq!(browser.eval(open).await, false);
    focus_on(&browser, "catalog").await;

    browser.keys(&Key::Up.to_string()).await;
    browser.keys(&Key::Up.to_string()).await;
    assert_eq!(browser.eval(focused).await, "rds/secret-without-access");
    browser.keys(&Key::Enter.to_string()).await;
    assert_eq!(browser.eval(open).await, true);
    assert!(browser.text("#details-body").await.contains("not reached"));
    browser.press("Close").await;
    focus_on(&browser, "rds/secret-without-access").await;
}

/// The page gets a dialog's close event after the dialog has closed.
async fn focus_on(browser: &Browser, text: &str) {
    eventually("the focus on the row", async || {
        let focused = browser.eval("document.activeElement.textContent").await;
        (focused == text).then_some(())
    })
    .await;
}
