//! What is changed in a message.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};

use crate::support::CloudFormationRequest;

/// One change to a body.
#[derive(Debug, Clone)]
pub(super) enum Mutation {
    /// The n-th value of the document, the envelope's or the request's, becomes another.
    Replace(Index, Value),
    /// The n-th field goes.
    Remove(Index),
    /// A field comes twice.
    Repeat(Index, Value),
    /// A field is nested so deep.
    Nest(usize),
    /// The text ends early.
    Truncate(Index),
    /// Bytes are replaced, whatever they stand in; what is no UTF-8 then becomes U+FFFD, as SQS has no other.
    Overwrite(Index, Vec<u8>),
    /// The request stands alone, as with raw delivery.
    Unwrap,
    /// The answer is to go elsewhere.
    Divert(usize),
}

/// Where an answer must never go; `{}` is a server that listens.
const ELSEWHERE: [&str; 6] = [
    "http://{}/",
    "http://127.0.0.1@{}/",
    "https://{}/x?X-Amz-Signature=ab",
    "http://169.254.169.254/latest/meta-data",
    "file:///etc/passwd",
    "gopher://{}/",
];

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
        Just(json!("\u{0}\u{1f600}\u{202e}")),
        Just(json!("a".repeat(200_000))),
        Just(json!("2262-04-12T00:00:00Z")),
        Just(json!("-262143-01-01T00:00:00Z")),
        Just(json!("99999999999999999999")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[A-Za-z]{0,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

pub(super) fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        8 => (any::<Index>(), any_value()).prop_map(|(at, value)| Mutation::Replace(at, value)),
        3 => any::<Index>().prop_map(Mutation::Remove),
        2 => (any::<Index>(), any_value()).prop_map(|(at, value)| Mutation::Repeat(at, value)),
        1 => prop::sample::select(vec![10, 127, 128, 1_000, 100_000]).prop_map(Mutation::Nest),
        1 => any::<Index>().prop_map(Mutation::Truncate),
        3 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..5))
            .prop_map(|(at, bytes)| Mutation::Overwrite(at, bytes)),
        1 => Just(Mutation::Unwrap),
        2 => (0..ELSEWHERE.len()).prop_map(Mutation::Divert),
    ]
}

/// Applies the changes to a request, those of the document before those of its text.
pub(super) fn mutate(
    request: &CloudFormationRequest,
    mutations: &[Mutation],
    elsewhere: &str,
) -> String {
    let mut message = request.message.clone();
    let mut envelope: Value = serde_json::from_str(&request.body()).unwrap();
    let mut unwrapped = false;
    let mut repeated = String::new();
    let mut of_text = Vec::new();
    for mutation in mutations {
        match mutation {
            Mutation::Replace(at, value) => match at.index(5) {
                0 => *nth(&mut envelope, at) = value.clone(),
                _ => *nth(&mut message, at) = value.clone(),
            },
            Mutation::Remove(at) => {
                let map: &mut Map<String, Value> = match at.index(5) {
                    0 => envelope.as_object_mut().unwrap(),
                    1 => match message["ResourceProperties"].as_object_mut() {
                        Some(properties) => properties,
                        None => continue,
                    },
                    _ => message.as_object_mut().unwrap(),
                };
                if !map.is_empty() {
                    let name = map.keys().nth(at.index(map.len())).unwrap().clone();
                    map.remove(&name);
                }
            }
            Mutation::Repeat(at, value) => {
                let map = message.as_object().unwrap();
                if !map.is_empty() {
                    let name = map.keys().nth(at.index(map.len())).unwrap();
                    repeated = format!(",{}:{value}", json!(name));
                }
            }
            Mutation::Nest(levels) => {
                let (open, close) = ("[".repeat(*levels), "]".repeat(*levels));
                repeated = format!(",\"ResourceProperties\":{open}{close}");
            }
            Mutation::Unwrap => unwrapped = true,
            Mutation::Divert(to) => {
                message["ResponseURL"] = json!(ELSEWHERE[*to].replace("{}", elsewhere));
            }
            Mutation::Truncate(_) | Mutation::Overwrite(..) => of_text.push(mutation),
        }
    }
    // Of two fields of one name the last counts.
    let text = message.to_string();
    let text = format!("{}{repeated}}}", text.strip_suffix('}').unwrap());
    let mut bytes = if unwrapped || !envelope.is_object() {
        text
    } else {
        if envelope["Message"].is_string() {
            envelope["Message"] = json!(text);
        }
        envelope.to_string()
    }
    .into_bytes();
    for mutation in of_text {
        if bytes.is_empty() {
            break;
        }
        match mutation {
            Mutation::Truncate(at) => bytes.truncate(at.index(bytes.len())),
            Mutation::Overwrite(at, with) => {
                let at = at.index(bytes.len());
                for (place, byte) in bytes[at..].iter_mut().zip(with) {
                    *place = *byte;
                }
            }
            _ => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The n-th value of the document's own or of what it holds; it stays an object.
fn nth<'a>(document: &'a mut Value, at: &Index) -> &'a mut Value {
    let map = document.as_object_mut().unwrap();
    let index = at.index(map.len().max(1));
    if map.is_empty() {
        map.insert("x".to_owned(), Value::Null);
    }
    let value = map.values_mut().nth(index).unwrap();
    let is_leaf = value.as_object().is_none_or(Map::is_empty);
    if is_leaf || at.index(3) == 0 {
        return value;
    }
    let inner = value.as_object_mut().unwrap();
    let index = at.index(inner.len());
    inner.values_mut().nth(index).unwrap()
}
