//! By what a transaction plans: first by the least that PostgreSQL has to be asked for, then by more where that was too little.

use std::time::Instant;

use tracing::info;

use super::offer::OfferReader;
use super::transact::transact;
use super::transaction::{ReconcileError, ReconcileResult, Reconciliation};
use crate::extension::Declaration;
use crate::ledger::Stage;
use crate::postgres::{Freshness, Pools};

/// What a transaction plans by, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Basis {
    /// What a script needs is presumed to be there.
    Presumed,
    /// The server's offer, as it was read some minutes ago at most.
    Offer,
    /// The server's offer as it is now.
    OfferOfNow,
}

impl Basis {
    /// What the transaction that began then reads the server's offer with.
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

/// One transaction, or others where one failed for what it did not know, or knew from before.
pub(super) async fn attempt(
    pools: &Pools,
    reconciliation: &Reconciliation<'_>,
    committed: &mut Vec<Stage>,
) -> Result<ReconcileResult, ReconcileError> {
    // A dry run asks PostgreSQL nothing, which would otherwise refuse what is presumed wrongly.
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
