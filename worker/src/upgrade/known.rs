//! The table of extensions that versions of PostgreSQL offer: the rows of `known.tsv`, each with its source and the date on
//! which it was read.

use super::Upgrade;

const TABLE: &str = include_str!("known.tsv");

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// The default version; `None` if the extension is not offered.
    pub(super) default: Option<String>,
    /// The source, and its date.
    pub(super) source: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row<'a> {
    /// `postgresql` for PostgreSQL's own packages, `rds` for RDS only.
    engine: &'a str,
    /// The major version; with `+` also later ones.
    version: &'a str,
    extension: &'a str,
    /// `offered`, `gone`, or `drop` for an extension that must be dropped before.
    status: &'a str,
    default: &'a str,
    read_on: &'a str,
    source: &'a str,
}

fn rows() -> impl Iterator<Item = Row<'static>> {
    TABLE
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(row)
}

fn row(line: &str) -> Option<Row<'_>> {
    let mut cells = line.split('\t');
    let row = Row {
        engine: cells.next()?,
        version: cells.next()?,
        extension: cells.next()?,
        status: cells.next()?,
        default: cells.next()?,
        read_on: cells.next()?,
        source: cells.next()?,
    };
    cells.next().is_none().then_some(row)
}

impl Row<'_> {
    fn is_of(&self, name: &str, upgrade: &Upgrade) -> bool {
        let is_version = match self.version.strip_suffix('+') {
            Some(since) => since.parse().is_ok_and(|since: u16| since <= upgrade.to),
            None => self.version.parse() == Ok(upgrade.to),
        };
        let is_engine = self.engine == "postgresql" || (upgrade.is_rds && self.engine == "rds");
        self.extension == name && is_version && is_engine
    }

    fn known(&self) -> Known {
        Known {
            default: (self.status == "offered").then(|| self.default.to_owned()),
            source: format!("{}, read on {}", self.source, self.read_on),
        }
    }
}

/// The row for an extension at the target.
pub(super) fn of(name: &str, upgrade: &Upgrade) -> Option<Known> {
    // Rows about RDS come first.
    let mut found: Vec<Row<'_>> = rows()
        .filter(|row| row.status != "drop" && row.is_of(name, upgrade))
        .collect();
    found.sort_by_key(|row| row.engine != "rds");
    found.first().map(Row::known)
}

/// Why an extension must be dropped before the upgrade, whatever the target offers.
pub(super) fn must_be_dropped(name: &str, upgrade: &Upgrade) -> Option<Known> {
    rows()
        .find(|row| row.status == "drop" && row.is_of(name, upgrade))
        .map(|row| row.known())
}

/// Describes the table, with the date of its newest row.
pub(super) fn source() -> String {
    let newest = rows().map(|row| row.read_on).max().unwrap_or_default();
    format!("the worker's table of known extensions, of {newest}: not read from a server")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_whole_and_says_from_where_it_is_and_since_when() {
        let lines = TABLE
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            let row = row(line).unwrap_or_else(|| panic!("{line}"));
            assert!(["postgresql", "rds"].contains(&row.engine), "{line}");
            assert!(["offered", "gone", "drop"].contains(&row.status), "{line}");
            assert_eq!(row.default == "-", row.status != "offered", "{line}");
            let version = row.version.trim_end_matches('+');
            assert!(version.parse::<u16>().is_ok(), "{line}");
            let day = chrono::NaiveDate::parse_from_str(row.read_on, "%Y-%m-%d");
            assert!(day.is_ok(), "{line}");
            assert!(row.source.len() > 10, "{line}");
        }
        assert!(rows().count() > 50);
    }
}
