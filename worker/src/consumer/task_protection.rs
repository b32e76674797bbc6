//! Asks ECS not to take this task away while a request is long under way. Without it, a scale-in or a deployment stops
//! the task, and the request starts over elsewhere: a loss of time, not of work.

use std::time::Duration;

use serde_json::{Value, json};
use tracing::{debug, warn};
use url::Url;

use crate::process::error_chain::with_causes;
use crate::process::http::Http;
use crate::request::text::printable;

/// How often it is looked whether protection is needed.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Requests that are over sooner need none.
const LONG: Duration = Duration::from_secs(30);
/// For how long protection is asked for; renewed while it is needed.
const MINUTES: u32 = 10;
/// When it is renewed.
const RENEW: Duration = Duration::from_secs(5 * 60);
/// How long the agent may take: it calls ECS for up to 4 s before it answers. Nothing waits for it.
const TIMEOUT: Duration = Duration::from_secs(6);
/// The agent's answers have a few hundred.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// Of the agent's explanation in the log.
const MAX_FAILURE_CHARACTERS: usize = 300;

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

/// Why ECS did not do it, where it did not. The agent answers a refusal of ECS with 200 and a member `failure`, and an
/// error of its own with `error` (Amazon ECS developer guide, "Task scale-in protection endpoint").
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
