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
pub use ptelab_judge::register;
#[cfg(not(feature = "fuzz"))]
pub use ptelab_machine::register;
