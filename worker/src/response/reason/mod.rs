//! The only module with the Reasons that CloudFormation and the results of a re-sync show. A Reason says what is wrong, how
//! to correct it, where to look, and the SQLSTATE; it never contains a secret, a URL or a `Debug` print. Errors contain
//! facts, which the functions here turn into sentences.
//!
//! If the log prints the same words beside a Reason, they are in the error's `Display` (a property that is not valid, a
//! secret that cannot be read), and a function here adds the sentence around them.

mod attempt;
mod database;
mod notes;
mod plan;
mod refusal;
mod request;
pub(crate) mod resync;

pub(crate) use attempt::{
    of_blue_green, of_dry_run_that_moves, of_login, of_no_database_name, of_no_database_to_list_in,
    of_no_databases, of_not_converged, of_read_only, of_server_limit, of_superseded, of_timeout,
    with_changes, with_time,
};
pub(crate) use database::{of_connection, of_database, of_untrusted_objects};
pub(crate) use notes::{
    of_changed_blue_green, of_follow_up, of_left_behind, of_left_unchanged, of_open_schemas,
    of_retained, of_seen_objects, of_skipped, of_unread_list, of_warning, of_what_stayed,
};
pub(crate) use plan::of_plan_error;
pub(crate) use request::{of_properties_error, of_request_error, of_unverified};

#[cfg(test)]
mod tests;
