//! The results as a spreadsheet reads them: one line for each database and extension. Pure.
//!
//! Source of the form: RFC 4180.

use std::borrow::Cow;

use chrono::SecondsFormat;

use crate::resync_protocol::event::{DatabaseResult, ExtensionResult};

const HEADINGS: &str = "Target,Server,Database,ServerVersion,State,Extension,ExtensionState,Installed,Default,Declared,\
                        Schema,Owners,BlocksMajorUpgrade,Change,Reason,At\r\n";

/// What spreadsheets take for the beginning of a formula, or pass over in front of one.
/// Source: OWASP, "CSV Injection".
const FORMULAS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// All of it, headings included. A database without extensions has one line.
pub(super) fn csv(results: &[DatabaseResult]) -> String {
    let mut text = HEADINGS.to_owned();
    for result in results {
        if result.extensions.is_empty() {
            push_line(&mut text, result, None);
        }
        for extension in &result.extensions {
            push_line(&mut text, result, Some(extension));
        }
    }
    text
}

fn push_line(text: &mut String, result: &DatabaseResult, extension: Option<&ExtensionResult>) {
    let of = |field: fn(&ExtensionResult) -> Option<&str>| extension.and_then(field);
    let owners = extension.map(|extension| extension.owners.join("; "));
    let blocks = extension.map(|extension| extension.blocks_major_upgrade.to_string());
    let at = result.at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    line(
        text,
        &[
            Some(result.target.as_str()),
            result.server.as_deref(),
            result.database.as_deref(),
            result.server_version.as_deref(),
            Some(result.state.as_str()),
            of(|extension| Some(&extension.name)),
            of(|extension| Some(extension.state.as_str())),
            of(|extension| extension.installed.as_deref()),
            of(|extension| extension.default.as_deref()),
            of(|extension| extension.declared.as_deref()),
            of(|extension| extension.schema.as_deref()),
            owners.as_deref(),
            blocks.as_deref(),
            of(|extension| extension.change.as_deref()),
            result.reason.as_deref(),
            Some(&at),
        ],
    );
}

/// Adds a line of cells, of which some may be empty.
pub(super) fn line(text: &mut String, cells: &[Option<&str>]) {
    let cells: Vec<_> = cells
        .iter()
        .map(|text| cell(text.unwrap_or_default()))
        .collect();
    text.push_str(&cells.join(","));
    text.push_str("\r\n");
}

fn cell(text: &str) -> Cow<'_, str> {
    let text = if text.starts_with(FORMULAS) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    };
    if text.contains([',', '"', '\r', '\n']) {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::cli::resync::tests::{extension, result};
    use crate::resync_protocol::event::{ExtensionState, State};

    #[test]
    fn each_extension_of_each_database_has_a_line() {
        let mut drifted = extension("postgis", ExtensionState::Drifted, "3.3.2");
        drifted.owners = vec!["stack/a".to_owned(), "stack/b".to_owned()];
        drifted.declared = Some("3.4.*".to_owned());
        drifted.blocks_major_upgrade = true;
        let mut orders = result(State::Drifted, "orders");
        orders.extensions = vec![
            drifted,
            extension("hstore", ExtensionState::Unmanaged, "1.8"),
        ];
        let mut unreached = result(State::Failed, "");
        unreached.database = None;
        unreached.reason = Some("no such secret: \"x\", or\nno access".to_owned());
        let message = csv(&[orders, unreached]);
        assert!(message.lines().count() == 5 && message.ends_with("\r\n"));
        assert_snapshot!(message.replace("\r\n", "\n"), @r#"
        Target,Server,Database,ServerVersion,State,Extension,ExtensionState,Installed,Default,Declared,Schema,Owners,BlocksMajorUpgrade,Change,Reason,At
        prod/orders,server.example:5432,orders,15.4,Drifted,postgis,Drifted,3.3.2,3.4.0,3.4.*,public,stack/a; stack/b,true,,,2026-11-18T11:06:40Z
        prod/orders,server.example:5432,orders,15.4,Drifted,hstore,Unmanaged,1.8,3.4.0,,public,,false,,,2026-11-18T11:06:40Z
        prod/,server.example:5432,,15.4,Failed,,,,,,,,,,"no such secret: ""x"", or
        no access",2026-11-18T11:06:40Z
        "#);
    }

    #[test]
    fn no_cell_is_a_formula() {
        for (text, message) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("=HYPERLINK(\"u\", 1)", "\"'=HYPERLINK(\"\"u\"\", 1)\""),
            ("a-b", "a-b"),
        ] {
            assert_eq!(cell(text), message);
        }
    }
}
