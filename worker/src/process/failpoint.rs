//! Points on a message's way at which a test has the process die, as a crash would. Nothing of them is left without the
//! feature `failpoints`, which nothing that is shipped has.

/// Ends the process where `FAILPOINTS` says `<point>=return`: nothing is dropped, sent or written any more. The crate's
/// other actions do as they say; `<point>=1*panic` panics, once.
#[cfg(feature = "failpoints")]
pub(crate) fn at(point: &str) {
    fail::fail_point!(point, |_| std::process::abort());
}

/// Nothing.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn at(_point: &str) {}

/// The same at a request of one resource alone: `resource-<logical resource id>=return`.
#[cfg(feature = "failpoints")]
pub(crate) fn at_resource(logical_resource_id: &str) {
    at(&format!("resource-{logical_resource_id}"));
}

/// Nothing.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn at_resource(_logical_resource_id: &str) {}
