//! What a server offers to install. PostgreSQL reads a file for each extension to list them, and every script to list their
//! versions, so that one reading serves all databases of a server.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use postgres_protocol::escape::escape_literal;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::Mutex as AsyncMutex;

#[cfg(doc)]
use super::server_facts::ServerFacts;
use crate::extension::{
    AvailableExtension, AvailableVersion, Catalog, Declaration, Observed, UpdatePath,
};
use crate::plan::OfferParts;
use crate::postgres_error::DatabaseError;
use crate::target::Address;

/// How old an offer may be where not the newest is asked for. Files of a running server change with its packages alone, and
/// on RDS with an upgrade, which restarts it.
const MAX_AGE: Duration = Duration::from_secs(300);
/// How many servers are kept.
const MAX_SERVERS: usize = 64;
/// How much of all servers' documents is kept: one with PostGIS has some 200 kB. With more, all are read again, as a server
/// may send anything.
const MAX_BYTES: usize = 16 << 20;

/// How old an offer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Some minutes.
    Minutes,
    /// It was read at this time, or later.
    Since(Instant),
}

impl Freshness {
    fn admits(self, read_at: Instant) -> bool {
        match self {
            Self::Minutes => read_at.elapsed() < MAX_AGE,
            Self::Since(time) => read_at >= time,
        }
    }
}

/// A server as it is until it is restarted, by its address and [`ServerFacts::identity`]: behind one name there may be another
/// after a failover.
pub(super) type ServerKey = (Address, String);

/// The offers of servers.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    kept: Mutex<HashMap<ServerKey, Arc<AsyncMutex<Offer>>>>,
    bytes: AtomicUsize,
}

impl Offers {
    /// The offer of a server. Who holds it reads for all others.
    pub(super) fn of(&self, key: &ServerKey) -> Arc<AsyncMutex<Offer>> {
        let mut kept = self.kept.lock();
        if !kept.contains_key(key) && kept.len() >= MAX_SERVERS {
            kept.clear();
        }
        Arc::clone(kept.entry(key.clone()).or_default())
    }

    /// Notes that a document of this length was kept.
    pub(super) fn note(&self, bytes: usize) {
        if self.bytes.fetch_add(bytes, Relaxed) + bytes > MAX_BYTES {
            self.kept.lock().clear();
            self.bytes.store(0, Relaxed);
        }
    }
}

/// A part of an offer, and when it was read.
type Part<T> = Option<(Instant, Vec<T>)>;

/// What is known of one server's offer.
#[derive(Debug, Default)]
pub(super) struct Offer {
    extensions: Part<AvailableExtension>,
    versions: Part<AvailableVersion>,
    paths: HashMap<String, (Instant, Vec<UpdatePath>)>,
}

/// The answer to [`query`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Document {
    extensions: Vec<Row<AvailableExtension>>,
    versions: Vec<Row<AvailableVersion>>,
    paths: Vec<Row<UpdatePath>>,
}

/// A control file whose name or version PostgreSQL itself refuses is listed all the same: it is left out.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Row<T> {
    Readable(T),
    Unreadable(IgnoredAny),
}

impl Offer {
    /// What is to be read for these parts.
    pub(super) fn missing(&self, parts: &OfferParts, freshness: Freshness) -> OfferParts {
        let admits = |read_at: Option<Instant>| read_at.is_some_and(|at| freshness.admits(at));
        let extensions = self.extensions.as_ref().map(|(at, _)| *at);
        let versions = self.versions.as_ref().map(|(at, _)| *at);
        OfferParts {
            extensions: parts.extensions && !admits(extensions),
            versions: parts.versions && !admits(versions),
            paths: parts
                .paths
                .iter()
                .filter(|name| !admits(self.paths.get(*name).map(|(at, _)| *at)))
                .cloned()
                .collect(),
        }
    }

    /// Takes what was read from `read_at` on.
    ///
    /// # Errors
    /// [`DatabaseError::Unreadable`].
    pub(super) fn store(
        &mut self,
        parts: &OfferParts,
        document: &str,
        read_at: Instant,
    ) -> Result<(), DatabaseError> {
        let document: Document = serde_json::from_str(document)
            .map_err(|error| DatabaseError::Unreadable(error.to_string()))?;
        if parts.extensions {
            self.extensions = Some((read_at, readable(document.extensions)));
        }
        if parts.versions {
            self.versions = Some((read_at, readable(document.versions)));
        }
        for name in &parts.paths {
            self.paths.insert(name.clone(), (read_at, Vec::new()));
        }
        for path in readable(document.paths) {
            if let Some((_, paths)) = self.paths.get_mut(&path.name) {
                paths.push(path);
            }
        }
        Ok(())
    }

    /// Those of the parts that are about the declarations and what is installed; and when the oldest of them was read.
    pub(super) fn catalog(
        &self,
        parts: &OfferParts,
        declarations: &[Declaration],
        observed: &Observed,
    ) -> (Catalog, Option<Instant>) {
        let mut times = Vec::new();
        let mut catalog = Catalog::default();
        let is_declared = |name: &str| {
            declarations
                .iter()
                .any(|declaration| declaration.name.means(name))
        };
        if let Some((read_at, extensions)) = self.extensions.as_ref().filter(|_| parts.extensions) {
            times.push(*read_at);
            let is_missing = |declaration: &Declaration| {
                !extensions
                    .iter()
                    .any(|offer| declaration.name.means(offer.name.as_str()))
            };
            // Among all of them may be the one that was meant.
            let all = declarations.iter().any(is_missing);
            let is_wanted = |offer: &&AvailableExtension| {
                let name = offer.name.as_str();
                all || is_declared(name) || observed.installed.contains_key(name)
            };
            catalog.extensions = extensions.iter().filter(is_wanted).cloned().collect();
        }
        if let Some((read_at, versions)) = self.versions.as_ref().filter(|_| parts.versions) {
            times.push(*read_at);
            let wanted = with_required(versions, is_declared);
            let is_wanted = |row: &&AvailableVersion| wanted.contains(row.name.as_str());
            catalog.versions = versions.iter().filter(is_wanted).cloned().collect();
        }
        for (read_at, paths) in parts.paths.iter().filter_map(|name| self.paths.get(name)) {
            times.push(*read_at);
            catalog.paths.extend(paths.iter().cloned());
        }
        (catalog, times.into_iter().min())
    }
}

/// The extensions, and what they require in any version.
fn with_required(
    versions: &[AvailableVersion],
    is_declared: impl Fn(&str) -> bool,
) -> BTreeSet<&str> {
    let names = versions.iter().map(|row| row.name.as_str());
    let mut wanted: BTreeSet<&str> = names.filter(|name| is_declared(name)).collect();
    loop {
        let before = wanted.len();
        let required: Vec<&str> = versions
            .iter()
            .filter(|row| wanted.contains(row.name.as_str()))
            .flat_map(|row| row.requires.iter().flatten())
            .map(String::as_str)
            .collect();
        wanted.extend(required);
        if wanted.len() == before {
            return wanted;
        }
    }
}

fn readable<T>(rows: Vec<Row<T>>) -> Vec<T> {
    let readable = rows.into_iter().filter_map(|row| match row {
        Row::Readable(row) => Some(row),
        Row::Unreadable(_) => None,
    });
    readable.collect()
}

/// The query → one JSON document. Its names are found in `pg_catalog` alone, to which the transaction's `search_path` is set.
pub(super) fn query(parts: &OfferParts) -> String {
    let mut fields = Vec::new();
    if parts.extensions {
        fields.push(
            "'extensions', (SELECT coalesce(json_agg(json_build_object('name', name, 'default_version', default_version) \
             ORDER BY name), '[]') FROM pg_available_extensions())"
                .to_owned(),
        );
    }
    if parts.versions {
        fields.push(
            "'versions', (SELECT coalesce(json_agg(json_build_object('name', name, 'version', version, 'schema', schema, \
             'requires', requires)), '[]') FROM pg_available_extension_versions())"
                .to_owned(),
        );
    }
    if !parts.paths.is_empty() {
        let names: Vec<String> = parts
            .paths
            .iter()
            .map(|name| escape_literal(name))
            .collect();
        fields.push(format!(
            "'paths', (SELECT coalesce(json_agg(json_build_object('name', a.name, 'source', p.source, 'target', p.target)), \
             '[]') FROM pg_available_extensions() a CROSS JOIN LATERAL pg_extension_update_paths(a.name) p \
             WHERE p.path IS NOT NULL AND a.name IN ({}))",
            names.join(", ")
        ));
    }
    format!("SELECT json_build_object({})::text", fields.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16) -> ServerKey {
        let host = crate::target::Host::parse("db.example").unwrap();
        (Address { host, port }, "15.18 1".to_owned())
    }

    #[test]
    fn a_row_that_postgresql_refuses_is_left_out() {
        let document = r#"{"extensions": [{"name": "a", "default_version": "1"}, {"name": "b", "default_version": "-"},
                           {"name": "", "default_version": null}]}"#;
        let parts = OfferParts {
            extensions: true,
            ..OfferParts::default()
        };
        let mut offer = Offer::default();
        offer.store(&parts, document, Instant::now()).unwrap();
        let (_, extensions) = offer.extensions.unwrap();
        let names: Vec<&str> = extensions.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["a"]);
    }

    #[test]
    fn servers_that_send_much_are_not_all_kept() {
        let offers = Offers::default();
        let kept = offers.of(&key(1));
        offers.note(MAX_BYTES);
        assert!(Arc::ptr_eq(&kept, &offers.of(&key(1))));
        offers.note(1);
        assert!(!Arc::ptr_eq(&kept, &offers.of(&key(1))));
        for port in 0..1000 {
            offers.of(&key(port));
        }
        assert!(offers.kept.lock().len() <= MAX_SERVERS);
    }
}
