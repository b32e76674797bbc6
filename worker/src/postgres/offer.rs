//! The extensions, versions and update paths that a server offers. To list them, PostgreSQL reads a file for each
//! extension, and every script for the versions; one reading therefore serves all databases of a server.

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

/// Maximum age of an offer, unless a newer one is required. On a running server these files change only with its packages,
/// and on RDS only with an upgrade, which restarts it.
const MAX_AGE: Duration = Duration::from_secs(300);
/// Number of servers whose offers are cached.
const MAX_SERVERS: usize = 64;
/// Total size of the cached documents: the one of a server with PostGIS has about 200 kB. Above it the cache is emptied, as
/// a server may send anything.
const MAX_BYTES: usize = 16 << 20;

/// Required age of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// At most [`MAX_AGE`].
    Minutes,
    /// Read at this time or later.
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

/// A server until its next restart: its address and [`ServerFacts::identity`], as after a failover another server may have
/// the same name.
pub(super) type ServerKey = (Address, String);

/// The cached offers of servers.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    kept: Mutex<HashMap<ServerKey, Arc<AsyncMutex<Offer>>>>,
    bytes: AtomicUsize,
}

impl Offers {
    /// The offer of a server. The session that holds the lock reads it for all others.
    pub(super) fn of(&self, key: &ServerKey) -> Arc<AsyncMutex<Offer>> {
        let mut kept = self.kept.lock();
        if !kept.contains_key(key) && kept.len() >= MAX_SERVERS {
            kept.clear();
        }
        Arc::clone(kept.entry(key.clone()).or_default())
    }

    /// Counts a document of this length, and empties the cache if it has become too large.
    pub(super) fn note(&self, bytes: usize) {
        if self.bytes.fetch_add(bytes, Relaxed) + bytes > MAX_BYTES {
            self.kept.lock().clear();
            self.bytes.store(0, Relaxed);
        }
    }
}

/// A part of an offer, and the time at which it was read.
type Part<T> = Option<(Instant, Vec<T>)>;

/// The offer of one server, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Offer {
    extensions: Part<AvailableExtension>,
    versions: Part<AvailableVersion>,
    paths: HashMap<String, (Instant, Vec<UpdatePath>)>,
}

/// The result of [`query`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Document {
    extensions: Vec<Row<AvailableExtension>>,
    versions: Vec<Row<AvailableVersion>>,
    paths: Vec<Row<UpdatePath>>,
}

/// PostgreSQL lists a control file even if it refuses its name or version; such a row is left out.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Row<T> {
    Readable(T),
    Unreadable(IgnoredAny),
}

impl Offer {
    /// The parts of these that have to be read.
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

    /// Stores what was read at `read_at`.
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

    /// The rows of these parts that concern the declarations and the installed extensions, and the time at which the oldest
    /// of them was read.
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
            // All names, because the Reason suggests a similar one.
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

/// The extensions, and those that they require in any version.
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
