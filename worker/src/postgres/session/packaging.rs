//! Extensions that are created from existing objects.

use tokio_postgres::types::Type;

use super::Session;
use crate::extension::SchemaName;
use crate::postgres::connection::promptly;
use crate::postgres_error::DatabaseError;

impl Session {
    /// Whether a schema has a type of this name.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub(crate) async fn has_type(
        &self,
        schema: &SchemaName,
        name: &str,
    ) -> Result<bool, DatabaseError> {
        let row = promptly(self.client()?.query_typed_one(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
             WHERE n.nspname = $1 AND t.typname = $2)",
            &[(&schema.as_str(), Type::TEXT), (&name, Type::TEXT)],
        ))
        .await?;
        Ok(row.try_get(0)?)
    }

    /// Fails if an object that became part of an extension belongs to a less privileged role, which can change it at any
    /// time.
    ///
    /// # Errors
    /// [`DatabaseError::NotPackaged`].
    pub(super) async fn check_packaged(&self, extension: &str) -> Result<(), DatabaseError> {
        let acts_as = self.connection()?.start.acts_as().map(str::to_owned);
        let members = self.members(extension).await?;
        let rows = promptly(self.client()?.query_typed(
            "SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolsuper OR rolname = session_user OR rolname = $1",
            &[(&acts_as, Type::TEXT)],
        ))
        .await?;
        let trusted: Vec<String> = rows
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?;
        let foreign: Vec<String> = members
            .objects
            .iter()
            .filter(|(_, member)| !trusted.contains(&member.owner))
            .map(|(name, member)| format!("{name} of role \"{}\"", member.owner))
            .take(super::recreate::NAMED)
            .collect();
        if foreign.is_empty() {
            Ok(())
        } else {
            Err(DatabaseError::NotPackaged(foreign.join(", ")))
        }
    }
}
