//! What people who install extensions by hand or by other tools report, tried on the worker.

mod closed_databases;
mod command_line;
mod database_names;
mod deletes;
mod offers;
mod refusals;
mod version_numbers;
