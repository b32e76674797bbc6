//! What may happen, as values that proptest draws and shrinks.

use proptest::prelude::*;
use proptest::sample::subsequence;

use crate::support::Put;

/// The extensions; `b` requires `a`. Each has versions 1.0 and 1.1, with a path both ways. That of `s` upwards is in stages,
/// each of which is committed before the next: see [`super::staged`].
pub(super) const EXTENSIONS: [&str; 4] = ["a", "b", "c", "s"];

/// What happened to a stack with three resources.
#[derive(Debug, Clone)]
pub(super) struct History {
    /// Extensions that were installed by hand before, in the first database.
    pub(super) preinstalled: Vec<&'static str>,
    pub(super) operations: Vec<Operation>,
}

/// One operation of CloudFormation's.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    /// Which resource, of three.
    pub(super) resource: usize,
    pub(super) change: Change,
    /// Deliveries before the one that nothing disturbs.
    pub(super) deliveries: Vec<Delivery>,
    /// Whether CloudFormation waits for the answer in the end, or times out before.
    pub(super) waits_for_response: bool,
    /// Where CloudFormation timed out waiting for a Create: whether its Delete comes while it runs.
    pub(super) at_once: bool,
    /// Requests of long ago that are delivered again afterwards, counted from the newest.
    pub(super) redeliveries: Vec<prop::sample::Index>,
}

/// What the stack's template says of the resource now.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// It is there.
    Declare(Declared),
    /// It is not.
    Remove,
}

/// The properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Declared {
    /// Indices of databases, each once, in the order of the template. The third cannot be worked on.
    pub(super) databases: Vec<usize>,
    /// Whether the server is named by its other name: another physical id, the same databases.
    pub(super) alias: bool,
    /// Extensions, with the version that is asked for.
    pub(super) extensions: Vec<(&'static str, Version)>,
}

/// Which version is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Unset,
    Low,
    High,
    /// There is none such: the request fails.
    Impossible,
}

impl Version {
    pub(super) fn text(self) -> Option<&'static str> {
        match self {
            Self::Unset => None,
            Self::Low => Some("1.0"),
            Self::High => Some("1.1"),
            Self::Impossible => Some("9.9"),
        }
    }
}

/// One delivery of a message.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    /// To which of two workers.
    pub(super) worker: usize,
    /// Whether the other worker has it at the same time.
    pub(super) twice: bool,
    /// After how many steps the worker is killed. A step ends where it waits for something.
    pub(super) killed_after: Option<u32>,
    /// Instead, of a request that has the staged extension: after how many of its updates.
    pub(super) killed_after_stages: Option<u32>,
    /// Whether it is killed at once then, or when what it waits for has come.
    pub(super) at_once: bool,
    pub(super) puts: Vec<Put>,
}

pub(super) fn histories() -> impl Strategy<Value = History> {
    (
        prop_oneof![2 => subsequence(&EXTENSIONS[..3], 0..=1), 1 => Just(vec!["s"])],
        prop::collection::vec(operation(), 1..7),
    )
        .prop_map(|(preinstalled, operations)| History {
            preinstalled,
            operations,
        })
}

fn operation() -> impl Strategy<Value = Operation> {
    (
        0..3_usize,
        change(),
        prop::collection::vec(delivery(), 0..3),
        prop::bool::weighted(0.8),
        any::<bool>(),
        prop::collection::vec(any::<prop::sample::Index>(), 0..2),
    )
        .prop_map(
            |(resource, change, deliveries, waits_for_response, at_once, redeliveries)| Operation {
                resource,
                change,
                deliveries,
                waits_for_response,
                at_once,
                redeliveries,
            },
        )
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => declared().prop_map(Change::Declare),
        1 => Just(Change::Remove),
    ]
}

fn declared() -> impl Strategy<Value = Declared> {
    let databases = prop_oneof![
        3 => Just(vec![0]),
        2 => Just(vec![1]),
        1 => Just(vec![0, 1]),
        1 => Just(vec![1, 0]),
        1 => Just(vec![2]),
        1 => Just(vec![0, 2]),
    ];
    let version = prop_oneof![
        4 => Just(Version::Unset),
        2 => Just(Version::Low),
        2 => Just(Version::High),
        1 => Just(Version::Impossible),
    ];
    let any = (
        subsequence(&EXTENSIONS[..], 1..=EXTENSIONS.len()),
        prop::collection::vec(version, EXTENSIONS.len()),
    )
        .prop_map(|(names, versions)| names.into_iter().zip(versions).collect());
    let staged = prop_oneof![Just(Version::Low), Just(Version::High)];
    let extensions = prop_oneof![3 => any, 2 => staged.prop_map(|version| vec![("s", version)])];
    (databases, prop::bool::weighted(0.2), extensions).prop_map(|(databases, alias, extensions)| {
        Declared {
            databases,
            alias,
            extensions,
        }
    })
}

fn delivery() -> impl Strategy<Value = Delivery> {
    let put = prop_oneof![
        10 => Just(Put::Accepted),
        1 => Just(Put::ResponseLost),
        1 => Just(Put::RequestLost),
    ];
    (
        0..2_usize,
        prop::bool::weighted(0.2),
        prop::option::weighted(0.8, 0..20_u32),
        prop::option::weighted(0.5, 1..=2_u32),
        any::<bool>(),
        prop::collection::vec(put, 0..2),
    )
        .prop_map(
            |(worker, twice, killed_after, killed_after_stages, at_once, puts)| Delivery {
                worker,
                twice,
                killed_after,
                killed_after_stages,
                at_once,
                puts,
            },
        )
}
