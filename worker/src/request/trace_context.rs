//! The trace of a message: W3C's `traceparent`, or else X-Ray's header. It is used in the log, and by the next worker that
//! receives the message; no decision depends on it, and a value that is not valid counts as missing.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;

/// W3C's name of the header, which SNS and SQS carry as a message attribute.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// Version 00: `00-<trace id, 32>-<parent id, 16>-<flags, 2>`.
const TRACEPARENT_BYTES: usize = 55;
/// X-Ray's header has further fields, such as `Lineage` of up to a hundred bytes; this is more than enough.
const MAX_XRAY_BYTES: usize = 512;

/// A position in a trace.
///
/// Source: <https://www.w3.org/TR/trace-context/#traceparent-header>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traceparent {
    trace_id: String,
    parent_id: String,
    flags: String,
}

/// The fields of an SNS envelope that are needed here.
#[derive(Deserialize)]
struct Attributes<'a> {
    #[serde(rename = "MessageAttributes", borrow, default)]
    attributes: HashMap<Cow<'a, str>, Attribute<'a>>,
}

#[derive(Deserialize)]
struct Attribute<'a> {
    #[serde(rename = "Value", borrow, default)]
    value: Cow<'a, str>,
}

impl Traceparent {
    /// The trace of a message: of the queue's attribute `traceparent`, else of the SNS envelope in the body, else of
    /// X-Ray's `AWSTraceHeader`.
    pub(crate) fn find(attribute: Option<&str>, body: &str, xray: Option<&str>) -> Option<Self> {
        attribute
            .and_then(Self::read)
            .or_else(|| Self::in_envelope(body))
            .or_else(|| xray.and_then(Self::of_xray))
    }

    /// Parses a `traceparent`. One of a later version is parsed as version 00, as W3C specifies.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (known, later) = text.split_at_checked(TRACEPARENT_BYTES)?;
        let mut fields = known.split('-');
        let version = fields.next()?;
        let traceparent = Self::new(fields.next()?, fields.next()?, fields.next()?)?;
        let is_whole = match version {
            "00" => later.is_empty(),
            _ => later.is_empty() || later.starts_with('-'),
        };
        let is_version = is_hex(version, 2) && version != "ff";
        (is_whole && is_version && fields.next().is_none()).then_some(traceparent)
    }

    /// Parses X-Ray's `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`. One without a parent is
    /// not a position in a trace.
    pub(crate) fn of_xray(text: &str) -> Option<Self> {
        if text.len() > MAX_XRAY_BYTES {
            return None;
        }
        let field = |name: &str| {
            let mut fields = text.split(';').filter_map(|field| field.split_once('='));
            fields.find_map(|(key, value)| (key.trim() == name).then(|| value.trim()))
        };
        let (time, rest) = field("Root")?.strip_prefix("1-")?.split_once('-')?;
        if !is_hex(time, 8) || !is_hex(rest, 24) {
            return None;
        }
        let flags = match field("Sampled") {
            Some("1") => "01",
            Some(_) | None => "00",
        };
        Self::new(&format!("{time}{rest}"), field("Parent")?, flags)
    }

    /// The trace's id.
    pub(crate) fn trace_id(&self) -> &str {
        &self.trace_id
    }

    fn in_envelope(body: &str) -> Option<Self> {
        // Most bodies have none, and need not be parsed twice.
        if !body.contains(TRACEPARENT) {
            return None;
        }
        let envelope: Attributes<'_> = serde_json::from_str(body).ok()?;
        Self::read(&envelope.attributes.get(TRACEPARENT)?.value)
    }

    fn new(trace_id: &str, parent_id: &str, flags: &str) -> Option<Self> {
        let is_id = |id: &str, digits| is_hex(id, digits) && id.bytes().any(|digit| digit != b'0');
        let is_valid = is_id(trace_id, 32) && is_id(parent_id, 16) && is_hex(flags, 2);
        is_valid.then(|| Self {
            trace_id: trace_id.to_owned(),
            parent_id: parent_id.to_owned(),
            flags: flags.to_owned(),
        })
    }
}

/// The header in version 00.
impl std::fmt::Display for Traceparent {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "00-{}-{}-{}",
            self.trace_id, self.parent_id, self.flags
        )
    }
}

/// Only lower case, as both specifications require.
fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const W3C: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    const XRAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

    fn read(text: &str) -> Option<String> {
        Traceparent::read(text).map(|trace| trace.to_string())
    }

    fn of_xray(text: &str) -> Option<String> {
        Traceparent::of_xray(text).map(|trace| trace.to_string())
    }

    #[test]
    fn a_traceparent_is_carried_on_as_it_came() {
        assert_eq!(read(W3C).as_deref(), Some(W3C));
        let trace = Traceparent::read(W3C).unwrap();
        assert_eq!(trace.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for later in [
            W3C.replacen("00", "01", 1),
            W3C.replacen("00", "cc", 1) + "-more",
        ] {
            assert_eq!(read(&later).as_deref(), Some(W3C), "{later}");
        }
    }

    #[test]
    fn what_is_not_exactly_right_counts_as_absent() {
        for wrong in [
            "",
            "00",
            &W3C.replacen("00", "ff", 1),
            &W3C.replacen("00", "0x", 1),
            &W3C.to_uppercase(),
            &W3C.replace('7', "g"),
            &format!("{W3C}-more"),
            &format!("{W3C} "),
            &format!(" {W3C}"),
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7--1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é",
            &"é".repeat(40),
            &"0".repeat(100_000),
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn x_ray_says_the_same_in_other_words() {
        let same = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8";
        assert_eq!(of_xray(XRAY), Some(format!("{same}-01")));
        let further = format!("Self=1-2-3; {XRAY};Lineage=a87bd80c:1|68fd508a:5");
        assert_eq!(of_xray(&further), Some(format!("{same}-01")));
        for unsampled in [
            XRAY.replace("Sampled=1", "Sampled=0"),
            XRAY.replace("Sampled=1", "Sampled=?"),
            XRAY.replace(";Sampled=1", ""),
        ] {
            assert_eq!(of_xray(&unsampled), Some(format!("{same}-00")));
        }
        for wrong in [
            "",
            "Root",
            &XRAY.replace("Parent", "Child"),
            &XRAY.replace("1-5759", "2-5759"),
            &XRAY.replace("5759e988", "5759e98"),
            &XRAY.replace("bd862e", "BD862E"),
            &XRAY.replace("53995c3f42cd8ad8", "0000000000000000"),
            &format!("{XRAY};{}", "x".repeat(MAX_XRAY_BYTES)),
        ] {
            assert_eq!(of_xray(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_queues_attribute_comes_before_the_envelopes_and_x_rays_is_last() {
        let envelope = json!({
            "Type": "Notification", "Message": "{\"a\": \"\\u00e9\"}",
            "MessageAttributes": {"other": {"Type": "String"}, "traceparent": {"Type": "String", "Value": OTHER}},
        })
        .to_string();
        let find = |attribute, body: &str, xray| {
            Traceparent::find(attribute, body, xray).map(|trace| trace.to_string())
        };
        assert_eq!(find(Some(W3C), &envelope, None).as_deref(), Some(W3C));
        assert_eq!(
            find(Some("wrong"), &envelope, Some(XRAY)).as_deref(),
            Some(OTHER)
        );
        assert_eq!(find(None, "traceparent", Some(XRAY)), of_xray(XRAY));
        assert_eq!(
            find(None, "{\"MessageAttributes\": [\"traceparent\"]}", None),
            None
        );
        assert_eq!(find(None, "{}", None), None);
    }
}
