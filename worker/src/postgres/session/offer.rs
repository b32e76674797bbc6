//! Reads the server's offer in a session, for all databases of the server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex as AsyncMutex;
use tokio_postgres::SimpleQueryMessage;

use super::Session;
use crate::extension::{Declaration, Observed};
use crate::plan::OfferParts;
use crate::postgres::offer::{Freshness, Offer, query};
use crate::postgres_error::DatabaseError;

/// How long a session waits while another reads the offer of the same server: the versions take PostgreSQL seconds if the
/// server has thousands of extension files, and each session that reads them as well takes as long. A transaction without a
/// statement ends after 20 s.
const WAIT: Duration = Duration::from_secs(10);

impl Session {
    /// Stores what was read together with the beginning of the transaction. A part that PostgreSQL refused is read again,
    /// and refused again, when it is needed.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(super) async fn keep_offer(
        &mut self,
        parts: &OfferParts,
        answer: Result<Vec<SimpleQueryMessage>, tokio_postgres::Error>,
        read_at: Instant,
    ) -> Result<(), DatabaseError> {
        let document = match self.answer_of(answer.map_err(DatabaseError::from)).await {
            Ok(document) => document,
            Err(error) if error.sql().is_some() => return Ok(()),
            Err(error) => return Err(error),
        };
        let kept = self.offer()?;
        if let Ok(mut offer) = tokio::time::timeout(WAIT, kept.lock()).await {
            offer.store(parts, &document, read_at)?;
            self.note_offer(document.len());
        }
        Ok(())
    }

    /// Adds these parts of the server's offer: one round trip, or none if they are cached. Returns the time at which the
    /// oldest of them was read.
    ///
    /// # Errors
    /// [`DatabaseError`]; after an error of PostgreSQL the transaction continues.
    pub(crate) async fn read_offer(
        &mut self,
        parts: &OfferParts,
        freshness: Freshness,
        declarations: &[Declaration],
        observed: &mut Observed,
    ) -> Result<Option<Instant>, DatabaseError> {
        let kept = self.offer()?;
        let own = AsyncMutex::default();
        let mut offer = match tokio::time::timeout(WAIT, kept.lock()).await {
            Ok(offer) => offer,
            Err(_) => own.lock().await,
        };
        let missing = offer.missing(parts, freshness);
        if !missing.is_empty() {
            let read_at = Instant::now();
            let document = self.query_alone(&query(&missing)).await?;
            offer.store(&missing, &document, read_at)?;
            self.note_offer(document.len());
        }
        let (catalog, oldest) = offer.catalog(parts, declarations, observed);
        observed.catalog = catalog;
        Ok(oldest)
    }

    /// Whether the versions of the server's offer are cached.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn knows_versions(&self, freshness: Freshness) -> Result<bool, DatabaseError> {
        let parts = OfferParts {
            versions: true,
            ..OfferParts::default()
        };
        let kept = self.offer()?;
        // If another session takes longer than this to read the offer, it reads the versions.
        let Ok(offer) = tokio::time::timeout(WAIT, kept.lock()).await else {
            return Ok(false);
        };
        Ok(offer.missing(&parts, freshness).is_empty())
    }

    /// The cached offer of the server.
    fn offer(&self) -> Result<Arc<AsyncMutex<Offer>>, DatabaseError> {
        let server = self.connection()?.start.server.identity();
        Ok(self.offers.of(&(self.address.clone(), server)))
    }

    /// Counts the size of the cached offer.
    fn note_offer(&self, bytes: usize) {
        self.offers.note(bytes);
    }
}
