//! The sources of a transaction's plan. The first one reads least from PostgreSQL; the next is used if a statement fails.

use std::time::Instant;

use tracing::info;

use super::offer::OfferReader;
use super::transact::transact;
use super::transaction::{ReconcileError, ReconcileResult, Reconciliation};
use crate::extension::Declaration;
use crate::ledger::Stage;
use crate::postgres::{Freshness, Pools};

/// Sources of a transaction's plan, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basis {
    /// The requirements of a script are presumed to be met.
    Presumed,
    /// The server's offer, cached for some minutes.
    Offer,
    /// The server's offer, read now.
    OfferOfNow,
}

impl Basis {
    /// The reader of the server's offer for a transaction that began at `began`.
    pub(super) fn offer_reader(
        self,
        declarations: &[Declaration],
        began: Instant,
    ) -> OfferReader<'_> {
        let freshness = match self {
            Self::Presumed | Self::Offer => Freshness::Minutes,
            Self::OfferOfNow => Freshness::Since(began),
        };
        let reader = OfferReader::new(declarations, freshness, began);
        match self {
            Self::Presumed => reader.presuming_versions(),
            Self::Offer | Self::OfferOfNow => reader,
        }
    }
}

/// Runs one transaction, and another if that one failed because of an offer that was presumed or cached.
pub(super) async fn attempt(
    pools: &Pools,
    reconciliation: &Reconciliation<'_>,
    committed: &mut Vec<Stage>,
) -> Result<ReconcileResult, ReconcileError> {
    // A dry run has PostgreSQL try nothing, which would otherwise refuse a wrong presumption.
    let mut basis = match reconciliation.properties.dry_run {
        true => Basis::Offer,
        false => Basis::Presumed,
    };
    loop {
        let mut better = None;
        let end = transact(pools, reconciliation, basis, &mut better, committed).await;
        let (Err(error), Some(next)) = (&end, better) else {
            return end;
        };
        info!(%error, ?next, "planned again with what the server offers");
        basis = next;
    }
}
