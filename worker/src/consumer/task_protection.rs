//! Requests ECS task protection while a request takes long. Otherwise a scale-in or a deployment would stop the task, and
//! another task would start the request over: time would be lost, but no work.

use std::time::Duration;

use serde_json::{Value, json};
use tracing::{debug, warn};
use url::Url;

use crate::process::error_chain::with_causes;
use crate::process::http::Http;
use crate::request::text::printable;

/// Interval at which the need for protection is checked.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Requests that end sooner need no protection.
const LONG: Duration = Duration::from_secs(30);
/// Duration of the protection; renewed while it is needed.
const MINUTES: u32 = 10;
/// Time after which it is renewed.
const RENEW: Duration = Duration::from_secs(5 * 60);
/// Timeout of a call: the agent calls ECS for up to 4 s before it answers. Nothing waits for the call.
const TIMEOUT: Duration = Duration::from_secs(6);
/// Maximum size of the agent's answer, in bytes; answers have a few hundred.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// Maximum length of the agent's explanation in the log.
const MAX_FAILURE_CHARACTERS: usize = 300;

/// The client of the ECS agent.
#[derive(Debug)]
pub struct TaskProtection {
    http: Http,
    url: Url,
}

impl TaskProtection {
    /// `agent` is `ECS_AGENT_URI`.
    ///
    /// # Errors
    /// `agent` is not a URL.
    pub fn new(http: Http, agent: &str) -> Result<Self, url::ParseError> {
        let url = format!("{}/task-protection/v1/state", agent.trim_end_matches('/'));
        Ok(Self {
            http,
            url: url.parse()?,
        })
    }

    /// Keeps the task protected while the oldest message has been in flight for long.
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
            let put = self.http.put_json(&self.url, &body, MAX_BODY_BYTES);
            match tokio::time::timeout(TIMEOUT, put).await {
                Ok(Ok((status, body))) => match refusal(status, &body) {
                    None => {
                        debug!(needed, "task protection");
                        asked = needed.then(tokio::time::Instant::now);
                    }
                    Some(failure) => {
                        warn!(
                            status,
                            failure, "ECS refuses to change the task's protection"
                        );
                    }
                },
                Ok(Err(error)) => {
                    warn!(error = with_causes(&error), "no answer from the ECS agent");
                }
                Err(_) => warn!("no answer from the ECS agent in time"),
            }
        }
    }
}

/// Why ECS did not protect the task, if it did not. The agent reports a refusal of ECS with status 200 and a member
/// `failure`, and its own errors with `error` (Amazon ECS developer guide, "Task scale-in protection endpoint").
fn refusal(status: u16, body: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(body).unwrap_or_default();
    let refused = ["failure", "error"].map(|member| document.get(member));
    let refused = refused.into_iter().flatten().find(|found| !found.is_null());
    match (refused, status) {
        (Some(refused), _) => Some(printable(&refused.to_string(), MAX_FAILURE_CHARACTERS)),
        (None, 200..=299) => None,
        (None, _) => Some(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_in_the_body_is_a_refusal_whatever_the_status() {
        let arn = "arn:aws:ecs:eu-west-1:1:task/a/b";
        let failure = json!({"failure": {"Arn": arn, "Reason": "DEPLOYMENT_BLOCKED"}}).to_string();
        let refused = refusal(200, failure.as_bytes()).unwrap();
        assert!(refused.contains("DEPLOYMENT_BLOCKED"), "{refused}");
        let error = json!({"error": {"Code": "AccessDeniedException"}}).to_string();
        let refused = refusal(400, error.as_bytes()).unwrap();
        assert!(refused.contains("AccessDeniedException"), "{refused}");
        assert_eq!(refusal(500, b"<html>"), Some(String::new()));
    }

    #[test]
    fn an_answer_without_a_failure_is_taken() {
        let protected = json!({"protection": {"ProtectionEnabled": true}, "failure": null});
        assert_eq!(refusal(200, protected.to_string().as_bytes()), None);
        assert_eq!(refusal(200, b""), None);
    }
}
