//! A laboratory for page-table code.
//!
//! Linux memory calls run over emulated page tables that hold the same 64-bit words as a real machine's, on several
//! architectures and kernel versions in one process. [`Machine`] is the way in for tests:
//!
//! ```
//! use ptelab::Machine;
//!
//! let mut m = Machine::builder("x86_64").build()?;
//! m.run(r#"
//!     mmap(0x40000000, 8K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
//!     touch(0x40000000, 4K, WRITE)
//!     fork() = 2
//! "#)?;
//! assert_eq!(m.dump(0x4000_0000, 8 << 10)?.to_string(), "\
//! \x20 0x40000000-0x40002000 rw-p  rss 4K  rd wr mr mw me ac sd
//! \x20   0x40000000      1 x 4K  8400000000000825  r-- young dirty soft-dirty  folio 0 of 1, page 0, mapped 2
//! \x20   0x40001000      1 x 4K  -
//! ");
//! # Ok::<(), ptelab::Error>(())
//! ```
//!
//! [`Matrix`] runs a scenario on many machines side by side, [`compare`](compare::compare) says where they differ, and
//! [`Golden`] holds a machine against what a real kernel did. Everything that the program `ptelab` does is here.

pub mod bench;
pub mod check;
pub mod compare;
pub mod cost;
pub mod exec;
pub mod fuzz;
pub mod golden;
pub mod json;
pub mod kernels;
mod machine;
mod matrix;
pub mod observe;
pub mod parallel;
mod ports;
#[cfg(target_os = "linux")]
pub mod real;
pub mod replay;
mod report;
pub mod show;
pub mod table;
mod verdict;

pub use golden::Golden;
pub use machine::{Entry, Error, Machine, MachineBuilder, MachineDump};
pub use matrix::{CpuSwitch, Matrix, SelectError, kernel_names, port_names};
pub use ports::register;
pub use report::{Cost, Dump, LineCost, MAX_LINES, MAX_RESULTS, RunReport, Unexpected};
pub use verdict::Verdict;

pub use ptelab_machine::*;
pub use ptelab_scenario as scenario;
