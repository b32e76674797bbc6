//! Asks ECS not to take this task away while a request is long under way. Without it, a scale-in or a deployment stops
//! the task, and the request starts over elsewhere: a loss of time, not of work.

use std::time::Duration;

use serde_json::json;
use tracing::{debug, warn};
use url::Url;

use crate::process::error_chain::with_causes;
use crate::process::http::Http;

/// How often it is looked whether protection is needed.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Requests that are over sooner need none.
const LONG: Duration = Duration::from_secs(30);
/// For how long protection is asked for; renewed while it is needed.
const MINUTES: u32 = 10;
/// When it is renewed.
const RENEW: Duration = Duration::from_secs(5 * 60);
/// How long the agent may take: nothing waits for it.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The way to the ECS agent.
#[derive(Debug)]
pub struct TaskProtection {
    http: Http,
    url: Url,
}

impl TaskProtection {
    /// `agent` is `ECS_AGENT_URI`.
    ///
    /// # Errors
    /// Where it is no URL.
    pub fn new(http: Http, agent: &str) -> Result<Self, url::ParseError> {
        let url = format!("{}/task-protection/v1/state", agent.trim_end_matches('/'));
        Ok(Self {
            http,
            url: url.parse()?,
        })
    }

    /// Keeps the task protected while the oldest message has been in hand for long.
    pub(crate) async fn renew_loop(self, oldest_age: impl Fn() -> Option<Duration> + Send) {
        let mut asked: Option<tokio::time::Instant> = None;
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            let needed = oldest_age().is_some_and(|oldest_age| oldest_age >= LONG);
            let is_due = match asked {
                None => needed,
                Some(asked) => !needed || asked.elapsed() >= RENEW,
            };
            if !is_due {
                continue;
            }
            let body = if needed {
                json!({"ProtectionEnabled": true, "ExpiresInMinutes": MINUTES})
            } else {
                json!({"ProtectionEnabled": false})
            };
            let put = self.http.put_json(&self.url, &body);
            match tokio::time::timeout(TIMEOUT, put).await {
                Ok(Ok(200..=299)) => {
                    debug!(needed, "task protection");
                    asked = needed.then(tokio::time::Instant::now);
                }
                Ok(Ok(status)) => warn!(status, "ECS refuses to change the task's protection"),
                Ok(Err(error)) => {
                    warn!(error = with_causes(&error), "no answer from the ECS agent");
                }
                Err(_) => warn!("no answer from the ECS agent in time"),
            }
        }
    }
}
