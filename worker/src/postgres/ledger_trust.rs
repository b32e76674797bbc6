//! What a session knows of whether the ledger of its database may be used, and the query by which the server decides it.

use super::prepared::Query;
use crate::ledger;

const AS_MADE: Query<'static> = Query {
    name: "as_made",
    parameters: 1,
    sql: ledger::AS_MADE,
};
const STILL_AS_MADE: Query<'static> = Query {
    name: "still_as_made",
    parameters: 1,
    sql: ledger::STILL_AS_MADE,
};
const UNCHANGED: Query<'static> = Query {
    name: "unchanged",
    parameters: 1,
    sql: ledger::UNCHANGED,
};

/// What this session knows of whether a ledger of the newest version may be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Trust {
    /// The ledger is expected to be as the worker created it.
    #[default]
    AsMade,
    /// The ledger was as the worker created it, with this mark of [`ledger::AS_MADE`].
    WasAsMade(String),
    /// The ledger differs from what the worker created.
    Altered,
    /// The mark of the ledger that [`ledger::check`] accepted.
    Mark(String),
}

impl Trust {
    /// Records that the ledger differs from what the beginning of the transaction expected.
    pub(super) fn note_changed(&mut self) {
        *self = match self {
            Self::WasAsMade(_) => Self::AsMade,
            Self::AsMade | Self::Altered | Self::Mark(_) => Self::Altered,
        };
    }

    /// Stores the mark of an accepted ledger.
    pub(super) fn note_mark(&mut self, mark: &str) {
        let mark = mark.to_owned();
        *self = match self {
            Self::AsMade | Self::WasAsMade(_) => Self::WasAsMade(mark),
            Self::Altered | Self::Mark(_) => Self::Mark(mark),
        };
    }

    /// Whether the next check compares the ledger with the form in which the worker creates it. An altered ledger that may be
    /// used fails that check.
    pub(super) fn expects_as_made(&self) -> bool {
        matches!(self, Self::AsMade | Self::WasAsMade(_))
    }

    /// The query for the beginning of a transaction, and its argument; `None` if [`ledger::check`] is needed.
    pub(super) fn check_at_begin<'a>(
        &'a self,
        has_ledger: bool,
        acts_as: &'a str,
    ) -> Option<(Query<'static>, &'a str)> {
        match self {
            Self::WasAsMade(mark) => Some((STILL_AS_MADE, mark)),
            Self::AsMade | Self::Altered | Self::Mark(_) => self.check_at_end(has_ledger, acts_as),
        }
    }

    /// The same after code of other roles may have run in the transaction: a ledger that was as the worker created it is
    /// compared with that form again, not with its mark.
    pub(super) fn check_at_end<'a>(
        &'a self,
        has_ledger: bool,
        acts_as: &'a str,
    ) -> Option<(Query<'static>, &'a str)> {
        match self {
            Self::Mark(mark) => Some((UNCHANGED, mark)),
            Self::AsMade | Self::WasAsMade(_) if has_ledger => Some((AS_MADE, acts_as)),
            Self::AsMade | Self::WasAsMade(_) | Self::Altered => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_begin(trust: &Trust) -> Option<&'static str> {
        let check = trust.check_at_begin(true, "");
        check.map(|(query, _)| query.name)
    }

    #[test]
    fn each_failed_check_leads_to_a_larger_one() {
        let mut trust = Trust::default();
        assert_eq!(at_begin(&trust), Some("as_made"));
        trust.note_mark("1");
        assert_eq!(at_begin(&trust), Some("still_as_made"));
        trust.note_changed();
        assert_eq!(at_begin(&trust), Some("as_made"));
        trust.note_changed();
        assert_eq!(at_begin(&trust), None);
        trust.note_mark("2");
        assert_eq!(at_begin(&trust), Some("unchanged"));
        trust.note_changed();
        assert_eq!(at_begin(&trust), None);
    }

    #[test]
    fn the_short_mark_is_not_trusted_at_the_end() {
        let mut trust = Trust::default();
        trust.note_mark("1");
        let (query, argument) = trust.check_at_end(true, "first").unwrap();
        assert_eq!((query.name, argument), ("as_made", "first"));
        assert!(trust.check_at_end(false, "").is_none());
    }
}
