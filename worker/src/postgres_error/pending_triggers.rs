//! An update whose script leaves deferred triggers pending: the statements behind it are refused until it is committed.

use super::DatabaseError;

/// `(SQLSTATE, what the message holds)`: PostgreSQL's `CheckTableNotInUse`, and its `afterTriggerMarkEvents` where a script
/// runs as a superuser in the name of another role, as on RDS.
const REFUSALS: [(&str, &str); 2] = [
    ("55006", "pending trigger events"),
    ("42501", "cannot fire deferred trigger"),
];

impl DatabaseError {
    /// Whether a statement was refused for what may be gone once the statements before it are committed.
    pub(crate) fn is_of_pending_triggers(&self) -> bool {
        matches!(self, Self::Sql(refused) if REFUSALS
            .iter()
            .any(|(state, text)| refused.sqlstate == *state && refused.message.contains(text)))
    }
}
