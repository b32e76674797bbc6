//! Attacks by people of lower rank than the worker, each carried out as the attacker would.

mod ledger;
mod master;
mod schemas;
mod session;
