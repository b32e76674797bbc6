//! What PostgreSQL was asked to do when it refused: one SQLSTATE means different things to different statements.

/// A kind of statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement {
    /// The log-in, and what a session begins with.
    LogIn,
    /// A statement of the worker's own: a look at the database, the ledger, `COMMIT`.
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
