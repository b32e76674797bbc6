//! An update whose script leaves deferred triggers pending: PostgreSQL refuses the following statements until it is
//! committed.

use super::DatabaseError;

/// `(SQLSTATE, part of the message)`: from PostgreSQL's `CheckTableNotInUse`, and from its `afterTriggerMarkEvents` if a
/// script runs as a superuser in the name of another role, as on RDS.
const REFUSALS: [(&str, &str); 2] = [
    ("55006", "pending trigger events"),
    ("42501", "cannot fire deferred trigger"),
];

impl DatabaseError {
    /// Whether a statement was refused for a reason that may be gone after a commit of the statements before it.
    pub(crate) fn is_of_pending_triggers(&self) -> bool {
        matches!(self, Self::Sql(refused) if REFUSALS
            .iter()
            .any(|(state, text)| refused.sqlstate == *state && refused.message.contains(text)))
    }
}
