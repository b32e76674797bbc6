//! `extension-worker`.
pub mod extension;
pub mod message;
pub mod plan;
