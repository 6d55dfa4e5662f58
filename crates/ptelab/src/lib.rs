//! A laboratory for page-table code.
//!
//! Linux memory calls run over emulated page tables that hold the same 64-bit words as a real machine's, on several
//! architectures and kernel versions in one process. [`Machine`] is the way in for tests: the block below is made read-only, and stays one
//! contiguous block.
//!
//! ```
//! use ptelab::Machine;
//!
//! let mut m = Machine::builder("arm64").kernel("6.17")?.build()?;
//! m.run(r#"
//!     thp("64kB", "always")
//!     mmap(0x40000000, 64K, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
//!     memset(0x40000000, 7, 64K)
//!     mprotect(0x40000000, 64K, PROT_READ) = 0
//! "#)?;
//! assert_eq!(m.dump(0x4000_0000, 64 << 10)?.to_string(), "\
//! \x20 0x40000000-0x40010000 r--p  rss 64K  rd mr mw me ac
//! \x20   0x40000000     16 x 4K  00f0000000000fc3  r-- young dirty cont  folio 0 of 16, page 0, exclusive
//! ");
//! # Ok::<(), ptelab::Error>(())
//! ```
//!
//! Without features that is all, and it builds quickly. What else the program `ptelab` does is here too, each part with the feature of
//! its name (`full` is all of them): many machines side by side (`matrix`), golden files of real kernels (`golden`), laws and random
//! programs (`fuzz`), real kernels (`real`), predicted costs (`cost`, `calibrate`), times (`bench`), logs of real programs (`replay`),
//! text for people (`render`, `table`), and kernels that a file describes (`rules-file`).

#[cfg(feature = "golden")]
pub use ptelab_judge::*;
pub use ptelab_machine::*;
#[cfg(feature = "cost")]
pub use ptelab_measure::*;
#[cfg(feature = "replay")]
pub use ptelab_replay as replay;
pub use ptelab_run::*;
pub use ptelab_scenario as scenario;

#[cfg(feature = "fuzz")]
pub use ptelab_judge::{register, register_ports};
#[cfg(not(feature = "fuzz"))]
pub use ptelab_machine::register;
