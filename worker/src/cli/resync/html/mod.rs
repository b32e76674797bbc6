//! The page that shows what a re-sync found: one HTML file that needs nothing from elsewhere. No I/O.
//!
//! Whatever the databases say is data to the page: it is embedded where no markup can start, and the page's scripts put
//! it into the document as text alone. The policy of the page allows its own script and style, by their hashes, and no
//! request at all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

const SKELETON: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// One script of four files, in the order in which they build upon each other.
const SCRIPT: &str = concat!(
    include_str!("model.js"),
    include_str!("matrix.js"),
    include_str!("details.js"),
    include_str!("page.js"),
);

/// The report as a page; `report` is the whole report, results included.
pub fn page(report: &Value) -> String {
    SKELETON
        .replace("{{style-hash}}", &hash(STYLE))
        .replace("{{script-hash}}", &hash(SCRIPT))
        .replace("{{style}}", STYLE)
        .replace("{{script}}", SCRIPT)
        // Last, so that a placeholder's name in the report stays one.
        .replace("{{report}}", &embedded(report))
}

/// JSON without what could end the script element, or a line of a script: all of it only ever stands within strings.
fn embedded(report: &Value) -> String {
    report
        .to_string()
        .replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// As Content-Security-Policy names a script or style by its text.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BEGIN: &str = "<script type=\"application/json\" id=\"report\">";

    fn embedded_in(page: &str) -> &str {
        let (_, rest) = page.split_once(BEGIN).unwrap();
        rest.split_once("</script>").unwrap().0
    }

    #[test]
    fn a_report_survives_whatever_its_texts_hold() {
        let hostile =
            "</script><!-- <script> {{style}} {{report}} \u{2028}\u{2029} \" \\ ' &lt; é \u{1F418}";
        let report = json!({"ResyncId": hostile, "Results": [{hostile: [hostile]}]});
        let page = page(&report);
        let message = embedded_in(&page);
        assert!(!message.contains(['<', '\u{2028}', '\u{2029}']));
        assert_eq!(serde_json::from_str::<Value>(message).unwrap(), report);
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let page = page(&json!({"Results": []})).to_lowercase();
        for way in [
            "http:", "https:", " src=", " href=", "url(", "@import", "import(", "fetch(", "//cdn",
        ] {
            assert!(!page.contains(way), "{way}");
        }
    }

    #[test]
    fn texts_reach_the_document_as_text_alone() {
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "setAttribute(\"on",
        ] {
            assert!(!SCRIPT.contains(way), "{way}");
        }
    }

    #[test]
    fn the_policy_names_the_style_and_the_script_by_their_hashes() {
        let page = page(&json!({"Results": []}));
        assert!(page.contains(&format!("style-src '{}'", hash(STYLE))));
        assert!(page.contains(&format!("script-src '{}'", hash(SCRIPT))));
        assert!(page.contains(&format!("<style>{STYLE}</style>")));
        assert!(page.contains(&format!("<script>{SCRIPT}</script>")));
        assert!(!page.contains("{{"), "a placeholder is left");
    }

    #[test]
    fn the_sources_end_no_element_themselves() {
        // The parser also turns a carriage return into another character than the one that was hashed.
        for source in [STYLE, SCRIPT] {
            for end in ["</", "<!--", "\r"] {
                assert!(!source.contains(end), "{end:?}");
            }
        }
    }

    #[test]
    fn a_hash_is_as_the_standard_writes_it() {
        // The example of the specification of Content-Security-Policy level 2, section 7.18.
        assert_eq!(
            hash("alert('Hello, world.');"),
            "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng="
        );
    }
}
