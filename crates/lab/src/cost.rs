//! Predicting what an mprotect costs, in instructions.
//!
//! A machine counts what each call does; a [`Model`] says what each counted thing takes on a real kernel, fitted to
//! measurements ([`CostFile`]). A count of instructions is not time: what it cannot say is [`LIMITS`].

pub mod calls;
pub mod check;
pub mod file;
pub mod fit;
pub mod model;

pub use calls::{Alike, Calls};
pub use check::Check;
pub use file::{CostError, CostFile, Instructions, Measured, Sample};
pub use fit::calibrate;
pub use model::{Chosen, Model, ModelError, Models};

/// What no count of instructions says; shown wherever one is.
pub const LIMITS: &str = "Instructions are not time: cache and TLB misses, prefetch and how wide a CPU issues are not in them, and \
    another compiler's inlining changes them.";
