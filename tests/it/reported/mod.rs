//! What people who do this job have reported, each as the first of its kind.

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
