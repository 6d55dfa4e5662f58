//! Predicting what an mprotect costs, in instructions.
//!
//! A machine counts what each call does; a [`Model`] says what each counted thing takes on a real kernel, fitted to
//! measurements ([`CostFile`]). A count of instructions is not time: what it cannot say is [`LIMITS`].

#![expect(clippy::cast_precision_loss, reason = "counts of one call are far below 2^52")]

mod calls;
#[cfg(feature = "calibrate")]
mod check;
#[cfg(feature = "calibrate")]
mod check_text;
mod file;
#[cfg(feature = "calibrate")]
mod fit;
mod model;
mod report;

pub use calls::{Alike, Calls, MAX_CALLS};
#[cfg(feature = "calibrate")]
pub use check::{CostCheck, MEDIAN_BAR, WORST_BAR};
pub use file::{CostError, CostFile, Instructions, Measured, Sample};
#[cfg(feature = "calibrate")]
pub use fit::calibrate;
pub use model::{Chosen, Model, ModelError, Models, TERMS, Term};
pub use report::{Mprotects, NoModel, Prediction, before_after, comparison_json};

/// What no count of instructions says; shown wherever one is.
pub const LIMITS: &str = "Instructions are not time: cache and TLB misses, prefetch and how wide a CPU issues are not in them, and \
    another compiler's inlining changes them.";

/// The table of the series, and why nothing is fitted to it.
pub const SERIES_TABLE: &str = "The series' own table, seconds on an Apple M3, before and after: T1 7.9 and 2.1, T2 7.9 and 2.2, T3 4.2 and \
    4.3. It is not fitted: each number also holds 40 writes of 1 GiB, the same before and after, and the waits at TLB flushes, which a \
    count of instructions does not see.";
