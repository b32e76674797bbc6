//! Reads the parts of the server's offer that a plan needs.

use std::time::Instant;

use super::is_control_file_error;
use crate::extension::{Declaration, Observed, TleFunction};
use crate::plan::{OfferParts, asks_for_newest, offer_parts};
use crate::postgres::{Freshness, Session};
use crate::postgres_error::DatabaseError;

/// The offer as one transaction knows it.
#[derive(Debug)]
pub(crate) struct OfferReader<'a> {
    declarations: &'a [Declaration],
    /// When the attempt began: an offer that was read before does not count as the newest.
    began: Instant,
    freshness: Freshness,
    known: OfferParts,
    /// When the oldest part was read.
    oldest: Option<Instant>,
    /// The extensions of pg_tle in this database; `None` until they are needed.
    tle: Option<Vec<TleFunction>>,
    presumes_versions: bool,
}

impl<'a> OfferReader<'a> {
    /// Makes an empty offer. For a declaration of the newest version the offer is read at the time of the request.
    pub(crate) fn new(
        declarations: &'a [Declaration],
        freshness: Freshness,
        began: Instant,
    ) -> Self {
        let freshness = if asks_for_newest(declarations) && freshness == Freshness::Minutes {
            Freshness::Since(began)
        } else {
            freshness
        };
        Self {
            declarations,
            began,
            freshness,
            known: OfferParts::default(),
            oldest: None,
            tle: None,
            presumes_versions: false,
        }
    }

    /// The same, without reading the versions of extensions that are to be created, as PostgreSQL takes long to list them.
    pub(crate) fn presuming_versions(self) -> Self {
        Self {
            presumes_versions: true,
            ..self
        }
    }

    /// Includes the versions from now on. Returns whether they were not included before.
    pub(crate) fn presume_nothing(&mut self) -> bool {
        std::mem::take(&mut self.presumes_versions) && !self.known.versions
    }

    /// Whether a part was read before the attempt began.
    pub(crate) fn is_older(&self) -> bool {
        self.oldest.is_some_and(|oldest| oldest < self.began)
    }

    /// Reads the parts that the declarations need.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn complete(
        &mut self,
        session: &mut Session,
        observed: &mut Observed,
    ) -> Result<(), DatabaseError> {
        loop {
            let parts = offer_parts(self.declarations, observed, self.presumes_versions);
            let parts = parts.beyond(&self.known);
            if parts.is_empty() {
                return Ok(());
            }
            // pg_tle has extensions of its own, and a cached list of versions makes presumptions unnecessary.
            if self.presumes_versions
                && (observed.installed.contains_key("pg_tle")
                    || session.knows_versions(self.freshness).await?)
            {
                self.presumes_versions = false;
                continue;
            }
            self.add(parts, session, observed).await?;
        }
    }

    /// Also reads these parts.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn add(
        &mut self,
        parts: OfferParts,
        session: &mut Session,
        observed: &mut Observed,
    ) -> Result<(), DatabaseError> {
        if parts.clone().beyond(&self.known).is_empty() {
            return Ok(());
        }
        self.known.add(&parts);
        let tle = match self.tle.take() {
            Some(tle) => tle,
            None if observed.installed.contains_key("pg_tle") => session.tle_functions().await?,
            None => Vec::new(),
        };
        let mut read = session
            .read_offer(&self.known, self.freshness, self.declarations, observed)
            .await;
        // A file that was listed, and was replaced before it was read.
        if matches!(&read, Err(error) if is_control_file_error(error)) {
            read = session
                .read_offer(&self.known, self.freshness, self.declarations, observed)
                .await;
        }
        observed.catalog.add_tle(&tle);
        observed.catalog.presumes_versions = self.presumes_versions && !self.known.versions;
        self.tle = Some(tle);
        self.oldest = read?;
        Ok(())
    }

    /// Reads all parts about the declarations again if a known one may be older. Returns whether there was something to
    /// read.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn read_afresh(
        &mut self,
        session: &mut Session,
        observed: &mut Observed,
    ) -> Result<bool, DatabaseError> {
        let all = OfferParts::all_of(self.declarations, observed);
        if !self.is_older() && all.clone().beyond(&self.known).is_empty() {
            return Ok(false);
        }
        self.freshness = Freshness::Since(self.began);
        self.known = OfferParts::default();
        self.add(all, session, observed).await?;
        Ok(true)
    }
}
