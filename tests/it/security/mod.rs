//! What somebody without rank may try, each as a test that does it.

mod fairness;
mod markers;
