//! What the worker does not do for those who may not ask for it.

mod extensions;
mod resync;
mod stacks;
