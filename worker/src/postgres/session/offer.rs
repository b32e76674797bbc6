//! What a session reads of the server's offer, for all databases of the server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex as AsyncMutex;
use tokio_postgres::SimpleQueryMessage;

use super::Session;
use crate::extension::{Declaration, Observed};
use crate::plan::OfferParts;
use crate::postgres::offer::{Freshness, Offer, query};
use crate::postgres_error::DatabaseError;

/// How long a session waits for another's reading of the same server: the versions take PostgreSQL seconds where the server
/// has thousands of files of extensions, and each session that reads them too takes as many. A transaction in which nothing
/// happens ends after 20 s.
const WAIT: Duration = Duration::from_secs(10);

impl Session {
    /// Keeps what was read together with the beginning of the transaction. What PostgreSQL refused is read again, and
    /// refused again, where it is needed.
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

    /// Fills in what the server offers of these parts: one round trip, or none where it was read before. Returns when the
    /// oldest of it was read.
    ///
    /// # Errors
    /// [`DatabaseError`]; after an error of PostgreSQL's the transaction goes on.
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

    /// Whether the versions that the server offers were read before.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn knows_versions(&self, freshness: Freshness) -> Result<bool, DatabaseError> {
        let parts = OfferParts {
            versions: true,
            ..OfferParts::default()
        };
        let kept = self.offer()?;
        // Another session that reads for longer than this reads the versions.
        let Ok(offer) = tokio::time::timeout(WAIT, kept.lock()).await else {
            return Ok(false);
        };
        Ok(offer.missing(&parts, freshness).is_empty())
    }

    /// What is known of the server's offer.
    fn offer(&self) -> Result<Arc<AsyncMutex<Offer>>, DatabaseError> {
        let server = self.connection()?.start.server.identity();
        Ok(self.offers.of(&(self.address.clone(), server)))
    }

    /// Notes how much of an offer was kept.
    fn note_offer(&self, bytes: usize) {
        self.offers.note(bytes);
    }
}
