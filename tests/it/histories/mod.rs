//! Histories of several resources over two databases, as CloudFormation and SQS can make them: requests that come twice,
//! late, to two workers at once, or to a worker that is killed between any two steps; answers that get lost; replacement where
//! the old and the new id name the same database; updates in stages, between which workers are killed too.
//!
//! They run through the real handler against a real PostgreSQL, with small extensions. [`stack::StackHistory::check`] says what
//! holds after each.

mod expectations;
mod history;
mod requests;
mod stack;
mod staged;
mod world;

use std::io::Write as _;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use history::History;
use stack::StackHistory;
use world::World;

/// Histories in each of the tests below; `HISTORIES` sets the number of all.
const HISTORIES: u32 = 250;

/// How often a worker has died between two stages of an update in each of these tests, at the least.
const LEAST_DEATHS: u32 = 5;

#[test]
fn histories_end_as_answered_north() {
    run("north", 1);
}

#[test]
fn histories_end_as_answered_east() {
    run("east", 2);
}

#[test]
fn histories_end_as_answered_south() {
    run("south", 3);
}

#[test]
fn histories_end_as_answered_west() {
    run("west", 4);
}

/// A quarter of the histories, on two databases of its own.
fn run(name: &'static str, quarter: u64) {
    let number = |variable: &str| -> Option<u64> {
        #[allow(
            clippy::disallowed_methods,
            reason = "make sets how many histories are run"
        )]
        std::env::var(variable).ok()?.parse().ok()
    };
    let cases =
        number("HISTORIES").map_or(HISTORIES, |all| u32::try_from(all.div_ceil(4)).unwrap());
    let seed = number("HISTORIES_SEED").unwrap_or(0);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::new(name));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&quarter.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 400,
        ..Config::default()
    };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let result = runner.run(&history::histories(), |history: History| {
        runtime
            .block_on(StackHistory::run(&world, &history))
            .map_err(TestCaseError::fail)
    });
    let text = world.summary();
    // The test harness does not show what a test prints that passes.
    let mut output = std::io::stderr();
    writeln!(
        output,
        "histories {name}: {cases}, HISTORIES_SEED={seed}; {text}"
    )
    .unwrap();
    match result {
        // How many steps a worker makes depends on the network; fewer than these would mean that stages are not tried.
        Ok(()) if cases >= HISTORIES => {
            let deaths = world.deaths_between_stages.get();
            assert!(deaths >= LEAST_DEATHS, "{deaths} deaths between two stages");
        }
        Ok(()) => {}
        Err(TestError::Fail(reason, history)) => {
            panic!("HISTORIES_SEED={seed}, {name}: {reason}\n{history:#?}")
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}
