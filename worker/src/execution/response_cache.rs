//! Cache of the last responses of this process. The ledger stores the responses of requests that reached a database; the
//! cache is for the others, and for a second delivery of any request while the process lives.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use crate::request::RequestHeader;
use crate::response::Response;

/// Number of responses: with 4096 bytes each, at most a megabyte.
const MAX_RESPONSES: usize = 256;

/// A request: stack, logical resource id and request id.
type Key = (String, String, String);

/// Responses by request.
#[derive(Debug, Default)]
pub(crate) struct ResponseCache(Mutex<Responses>);

#[derive(Debug, Default)]
struct Responses {
    by_request: HashMap<Key, Response>,
    oldest_first: VecDeque<Key>,
}

impl ResponseCache {
    /// The cached response of a request.
    pub(crate) fn get(&self, header: &RequestHeader) -> Option<Response> {
        let responses = self.0.lock();
        responses.by_request.get(&key(header)).cloned()
    }

    /// Caches a response. Returns the one that was cached first, which is the one to send.
    pub(crate) fn get_or_insert(&self, header: &RequestHeader, response: Response) -> Response {
        let mut responses = self.0.lock();
        let key = key(header);
        if let Some(first) = responses.by_request.get(&key) {
            return first.clone();
        }
        responses.oldest_first.push_back(key.clone());
        responses.by_request.insert(key, response.clone());
        if responses.oldest_first.len() > MAX_RESPONSES
            && let Some(oldest) = responses.oldest_first.pop_front()
        {
            responses.by_request.remove(&oldest);
        }
        response
    }
}

fn key(header: &RequestHeader) -> Key {
    (
        header.stack_id.arn.clone(),
        header.logical_resource_id.clone(),
        header.request_id.clone(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn header(request: usize) -> RequestHeader {
        let message = json!({
            "RequestType": "Create",
            "ResponseURL": "https://example/",
            "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/app/1",
            "RequestId": request.to_string(),
            "LogicalResourceId": "L",
        });
        RequestHeader::read(message.as_object().unwrap()).unwrap()
    }

    #[test]
    fn the_first_decision_counts_and_the_oldest_is_forgotten() {
        let cache = ResponseCache::default();
        let response =
            |request: usize, reason: &str| Response::failed(&header(request), reason.to_owned());
        for request in 0..MAX_RESPONSES {
            cache.get_or_insert(&header(request), response(request, "first"));
        }
        let second = cache.get_or_insert(&header(0), response(0, "second"));
        assert_eq!(second.reason(), "first");
        cache.get_or_insert(&header(MAX_RESPONSES), response(MAX_RESPONSES, "first"));
        assert_eq!(cache.get(&header(0)), None);
        assert_eq!(cache.get(&header(1)), Some(response(1, "first")));
    }
}
