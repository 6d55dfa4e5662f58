//! The generic port: an architecture that overrides nothing.
//!
//! Every operation on tables is Linux's fallback from `include/linux/pgtable.h` (7.3), and the entry format is
//! a plain one, documented bit by bit in [`PteBits`]. It shows what a port gets for free, and is the pattern
//! that other ports are compared with: the same files, in the same order.

mod bits;
mod cause;
mod changes;
mod facts;
mod modify_prot;
mod ops;
mod pte;
mod tlb;

pub use bits::{PteBits, SoftBits};
pub use changes::Rules;

use ptelab_pgtable::{Arch, Cause, Change, CpuConfig, CpuFeature, KernelRules, cpu_features};

cpu_features! {
    /// What a CPU may have or lack: nothing.
    struct Cpu;
}

/// A 64-bit machine with 4K pages and four levels of tables, whose walker sets accessed and dirty by itself.
#[derive(Clone, Copy, Debug)]
pub struct Generic;

impl Arch for Generic {
    const NAME: &'static str = "generic";
    const FEATURES: &'static [CpuFeature] = Cpu::FEATURES;
    const CAUSES: &'static [&'static Cause] = cause::ALL;
    const CHANGES: &'static [&'static Change] = Rules::CHANGES;

    fn new(_: &CpuConfig, _: &'static KernelRules) -> Self {
        Self
    }
}
