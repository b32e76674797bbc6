//! Problems that operators have reported, each with a test of its own.

mod closed_databases;
mod command_line;
mod connection_limits;
mod database;
mod database_names;
mod deletes;
pub(crate) mod offers;
mod poolers;
mod refusals;
mod version_numbers;
