//! Which connection limit a log-in exceeded. A place below the server's own limit becomes free when another session ends; a
//! limit of 0 never allows a session.

use super::Pools;
use crate::credentials::secrets::Password;
use crate::postgres_error::DatabaseError;
use crate::target::Target;

/// The database in which the limit of another database is read.
const MAINTENANCE_DATABASE: &str = "postgres";

impl Pools {
    /// Adds to a log-in's error which limit was exceeded. The limit of a database is read in another database of the
    /// server. That of a role cannot be read, because the role cannot log in anywhere: then it is only known whether the
    /// role ever logged in.
    pub(super) async fn with_limit(
        &self,
        target: &Target,
        password: &Password,
        error: DatabaseError,
    ) -> DatabaseError {
        let DatabaseError::LogIn(refused) = error else {
            return error;
        };
        let is_met = |kind: &str, name: &str| {
            refused
                .message
                .starts_with(&format!("too many connections for {kind} \"{name}\""))
        };
        if is_met("role", &target.username) && !self.reached().has_role(target) {
            return DatabaseError::RoleLimit(refused);
        }
        if is_met("database", &target.database)
            && target.database != MAINTENANCE_DATABASE
            && self.limit_of(target, password).await == Some(0)
        {
            return DatabaseError::DatabaseLimit(refused);
        }
        DatabaseError::LogIn(refused)
    }

    async fn limit_of(&self, target: &Target, password: &Password) -> Option<i32> {
        let elsewhere = Target {
            database: MAINTENANCE_DATABASE.to_owned(),
            ..target.clone()
        };
        let asked = async {
            let session = self.session_for_listing(&elsewhere, password).await?;
            session.connection_limit(&target.database).await
        };
        // Boxed: it is a log-in within a log-in.
        let limit = Box::pin(asked).await;
        self.remove(&elsewhere);
        limit.unwrap_or_else(|error: DatabaseError| {
            tracing::debug!(%error, "the limit of connections is not known");
            None
        })
    }
}
