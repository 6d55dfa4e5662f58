//! Running scenarios on emulated machines, comparing what came of it, showing it.
//!
//! [`Machine`] is the way in for tests; `Matrix` (feature `matrix`) runs a scenario on many machines side by side, and
//! [`compare()`](compare::compare) says where they differ.

pub mod agree;
pub mod compare;
#[cfg(feature = "matrix")]
pub mod deciding;
pub mod exec;
#[cfg(feature = "json")]
pub mod json;
pub mod kernels;
mod machine;
#[cfg(feature = "matrix")]
mod matrix;
#[cfg(feature = "matrix")]
pub mod observe;
#[cfg(feature = "matrix")]
pub mod parallel;
mod report;
mod select;
pub mod show;
#[cfg(feature = "table")]
pub mod table;

pub use machine::{Entry, Error, Machine, MachineBuilder, MachineDump};
#[cfg(feature = "matrix")]
pub use matrix::{CpuSwitch, Matrix, Subject};
pub use report::{Cost, Dump, LineCost, MAX_LINES, MAX_RESULTS, RunReport, Unexpected};
pub use select::{
    DEFAULT_PORTS, SelectError, choose_from, default_port_names, kernel_names, port_names, thp_sizes,
    thp_sizes_of,
};
