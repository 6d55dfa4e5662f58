//! Predicting what an mprotect costs, in instructions.

pub mod calls;
pub mod file;

pub use calls::{Alike, Calls};
pub use file::{CostError, CostFile, Instructions, Measured, Sample};
