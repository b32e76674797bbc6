//! The page of hostile databases: a role that may name a database, or raise an error with a text, writes into the report.

use serde_json::json;

use super::NAMES;
use super::fleet::{every_state, extension, report, result};
use crate::support::Browser;

#[tokio::test]
async fn hostile_texts_stay_texts_and_no_request_leaves() {
    let hostile = "</script><img src=http://127.0.0.1:9/x onerror=\"window.harmed=1\"><script>window.harmed=1</script>";
    let mut results = every_state();
    let mut worst = result(hostile, hostile, vec![extension(hostile, hostile, hostile)]);
    for field in ["Reason", "Server", "Target", "ServerVersion", "At"] {
        worst[field] = hostile.into();
    }
    worst["Changes"] = json!([hostile]);
    results.push(worst);
    // Nor does a value of another kind than expected stop the page.
    results.push(json!({"State": {"a": 1}, "Target": ["b"], "Extensions": {}, "Reason": 7, "Changes": "c", "Milliseconds": "d"}));
    let mut report = report(results);
    report["ResyncId"] = hostile.into();
    let browser = Browser::open(&extension_worker::cli::resync::html::page(&report)).await;
    assert_eq!(browser.text("#shown").await, "8 of 8 databases shown");
    for heading in ["1", "2", "3", "5"] {
        let button = format!("#matrix thead th:nth-child({heading}) button");
        browser.find(&button).await.click().await.unwrap();
    }
    browser
        .find("#search")
        .await
        .send_keys("onerror")
        .await
        .unwrap();
    assert_eq!(browser.texts(NAMES).await, [hostile]);
    browser
        .find("#matrix tbody th button")
        .await
        .click()
        .await
        .unwrap();
    assert!(browser.text("#details-body").await.contains(hostile));
    assert_eq!(browser.text("#resync").await, hostile);
    assert_eq!(browser.eval("window.harmed === undefined").await, true);
    assert_eq!(
        browser
            .eval("document.images.length + document.scripts.length")
            .await,
        2
    );
    let requests = browser.requests().await;
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].starts_with("file:///"), "{requests:?}");
    // And where something would load an image all the same, the policy stands in its way.
    let blocked = browser
        .client
        .execute_async(
            "const [done] = arguments; addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective));
             document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/y'}));",
            Vec::new(),
        )
        .await;
    assert_eq!(blocked.unwrap(), "img-src");
}
