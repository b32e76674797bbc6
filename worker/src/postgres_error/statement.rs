//! The statement that PostgreSQL refused: one SQLSTATE has different meanings for different statements.

/// A kind of statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement {
    /// The log-in, and the first query of a session.
    LogIn,
    /// A statement of the worker's own: the observation, the ledger, `COMMIT`.
    Own,
    /// `CREATE SCHEMA`.
    CreateSchema,
    /// `CREATE EXTENSION`.
    Create,
    /// `ALTER EXTENSION … UPDATE TO`.
    Update,
    /// `ALTER EXTENSION … SET SCHEMA`.
    SetSchema,
    /// `DROP EXTENSION`.
    Drop,
}
