//! The offer of the target of an upgrade, read from a server that runs its version, once in some minutes for all servers.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::server::properties_of;
use crate::execution::Executor;
use crate::execution::error::AttemptError;
use crate::postgres_error::DatabaseError;
use crate::reconcile::transaction::ReconcileError;
use crate::request::Databases;
use crate::response::reason;
use crate::resync_protocol::{MajorVersion, OfferSource, TargetOffer};
use crate::target::Host;
use crate::upgrade::known_source;

/// Maximum age of an offer: that of a worker's other offers.
const MAX_AGE: Duration = Duration::from_secs(300);

/// The database of the connection if the secret names none.
const DEFAULT_DATABASE: &str = "postgres";

/// The offer of the target, if it was read, and its source.
#[derive(Debug, Clone)]
pub(super) struct Offered {
    pub(super) offer: Option<TargetOffer>,
    pub(super) source: String,
}

type Key = (String, Option<Host>, Option<u16>);

/// The offer that was read last.
#[derive(Debug, Default)]
pub(super) struct OfferCache(Mutex<Option<(Key, Instant, TargetOffer, String)>>);

impl OfferCache {
    /// Returns the offer, if there is one, and its source.
    ///
    /// # Errors
    /// A Reason, if the server cannot be read, or runs another version.
    pub(super) async fn read(
        &self,
        executor: &Executor,
        to: MajorVersion,
        source: &OfferSource,
    ) -> Result<Offered, String> {
        let (secret, host, port) = match source {
            OfferSource::Known => {
                return Ok(Offered {
                    offer: None,
                    source: known_source(),
                });
            }
            OfferSource::Snapshot(offer) => {
                let source = format!(
                    "a file of what a server of PostgreSQL {} offers",
                    offer.server_version
                );
                return Ok(Offered {
                    offer: Some(offer.as_ref().clone()),
                    source,
                });
            }
            OfferSource::Server { secret, host, port } => (secret, host, port),
        };
        let key = (secret.clone(), host.clone(), *port);
        let mut cached = self.0.lock().await;
        let (offer, server) = match cached.take() {
            Some((cached_key, at, offer, server))
                if cached_key == key && at.elapsed() < MAX_AGE =>
            {
                *cached = Some((cached_key, at, offer.clone(), server.clone()));
                (offer, server)
            }
            _ => {
                let at = Instant::now();
                let (offer, server) = read(executor, &key)
                    .await
                    .map_err(|error| reason::resync::of_unread_offer(&error.full_reason()))?;
                *cached = Some((key, at, offer.clone(), server.clone()));
                (offer, server)
            }
        };
        if offer.major() != Some(to.0) {
            let version = &offer.server_version;
            return Err(reason::resync::of_other_version(&server, version, to.0));
        }
        let source = format!(
            "the server {server}, which has PostgreSQL {}",
            offer.server_version
        );
        Ok(Offered {
            offer: Some(offer),
            source,
        })
    }
}

/// Reads the offer. The control files of a server are the same for each of its databases.
async fn read(
    executor: &Executor,
    (secret, host, port): &Key,
) -> Result<(TargetOffer, String), AttemptError> {
    let properties = properties_of(executor, secret, host.clone(), *port, Databases::Default).await;
    let login = executor.logins.log_in(&properties).await?;
    let database = login.dbname.as_deref().unwrap_or(DEFAULT_DATABASE);
    let target = login.target(database);
    let permit = executor.server_limits.acquire(&login.address, true).await;
    let offered = async {
        let mut session = executor
            .pools
            .session_for_listing(&target, &login.password)
            .await?;
        let offer = session.target_offer().await?;
        session.close();
        Ok::<_, DatabaseError>(offer)
    };
    let offered = offered.await.map_err(ReconcileError::from);
    drop(permit);
    executor.pools.remove(&target);
    match offered {
        Ok(offer) => Ok((offer, login.address.to_string())),
        Err(error) => Err(executor.reconcile_error(error, &target, &login)),
    }
}
