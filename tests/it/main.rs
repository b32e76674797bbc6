//! The worker's behaviour, seen from outside: the real binary, a real LocalStack, a real PostgreSQL.
//!
//! `make test` starts both services and says where they are. Each test has a topic, a queue, a database and a worker
//! of its own.

mod accounts;
mod bad_input;
mod blue_green;
mod by_hand;
mod cdk;
mod edge_cases;
#[path = "../fair_queue/mod.rs"]
mod fair_queue;
mod faults;
mod histories;
mod iam;
mod ledger;
mod mutations;
mod observability;
mod offers;
mod operations;
mod ownership;
mod process;
mod protocol;
mod races;
mod rds;
mod reconciler;
mod report_page;
mod reported;
mod resync;
mod resync_cli;
mod rotation;
mod security;
mod signatures;
mod sqlstates;
mod stacks;
mod support;
mod templates;
mod updates;
mod upgrade_check;
