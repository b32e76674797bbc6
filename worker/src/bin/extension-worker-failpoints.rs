//! The worker, with the points of `src/process/failpoint.rs` set as the variable `FAILPOINTS` says. For tests alone.

use std::process::ExitCode;

#[path = "../main.rs"]
mod main;

fn main() -> ExitCode {
    // Nothing is set any more once it is dropped.
    let _points = fail::FailScenario::setup();
    main::main()
}
