//! The pure parts of one in-sync request: what the worker computes without a queue, a network or a database.

use std::hint::black_box;

use crate::in_sync::InSync;

/// A part, by its name.
pub(crate) type Part = (&'static str, fn(&InSync));

pub(crate) const PARTS: [Part; 3] = [
    ("parse", |request| drop(black_box(request.parse()))),
    ("plan", |request| drop(black_box(request.plan()))),
    ("respond", |request| drop(black_box(request.respond()))),
];
