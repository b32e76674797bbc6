//! The answers that this process gave last. The ledger keeps those that a database belongs to; this is for the others, and
//! for a second delivery of either while the process lives.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::request::Coordinates;
use crate::response::Response;

/// How many are kept: at 4096 bytes at the most, a megabyte.
const KEPT: usize = 256;

/// A request: stack, logical resource id and request id.
type Key = (String, String, String);

/// Answers by request.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    by_request: HashMap<Key, Response>,
    oldest_first: VecDeque<Key>,
}

impl Recent {
    /// The answer that was decided on.
    pub fn find(&self, coordinates: &Coordinates) -> Option<Response> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.by_request.get(&key(coordinates)).cloned()
    }

    /// Decides on an answer. Returns the one that counts: the first that was decided on.
    pub fn decide(&self, coordinates: &Coordinates, response: Response) -> Response {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(coordinates);
        if let Some(first) = answers.by_request.get(&key) {
            return first.clone();
        }
        answers.oldest_first.push_back(key.clone());
        answers.by_request.insert(key, response.clone());
        if answers.oldest_first.len() > KEPT
            && let Some(oldest) = answers.oldest_first.pop_front()
        {
            answers.by_request.remove(&oldest);
        }
        response
    }
}

fn key(coordinates: &Coordinates) -> Key {
    (
        coordinates.stack_id.arn.clone(),
        coordinates.logical_resource_id.clone(),
        coordinates.request_id.clone(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::response::Verdict;

    fn coordinates(request: usize) -> Coordinates {
        let message = json!({
            "RequestType": "Create",
            "ResponseURL": "https://example/",
            "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/app/1",
            "RequestId": request.to_string(),
            "LogicalResourceId": "L",
        });
        Coordinates::read(message.as_object().unwrap()).unwrap()
    }

    #[test]
    fn the_first_decision_counts_and_the_oldest_is_forgotten() {
        let recent = Recent::default();
        let response = |request: usize, reason: &str| {
            Response::new(
                &coordinates(request),
                "id",
                Verdict::Failed(reason.to_owned()),
            )
        };
        for request in 0..KEPT {
            recent.decide(&coordinates(request), response(request, "first"));
        }
        let second = recent.decide(&coordinates(0), response(0, "second"));
        assert_eq!(second.reason(), "first");
        recent.decide(&coordinates(KEPT), response(KEPT, "first"));
        assert_eq!(recent.find(&coordinates(0)), None);
        assert_eq!(recent.find(&coordinates(1)), Some(response(1, "first")));
    }
}
