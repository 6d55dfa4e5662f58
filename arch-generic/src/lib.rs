//! The generic port: an architecture that overrides nothing.
//!
//! Every operation on tables is Linux's fallback from `include/linux/pgtable.h` (7.3), and the entry format is
//! a plain one, documented bit by bit in [`PteBits`]. It shows what a port gets for free, and is the pattern
//! that other ports are compared with: the same files, in the same order.

mod bits;
mod facts;
mod modify_prot;
mod ops;
mod pte;
mod tlb;
mod view;

pub use bits::{PteBits, SoftBits};

use ptelab_pgtable::{Arch, CpuConfig, CpuFeature, KernelRules};

/// A 64-bit machine with 4K pages and four levels of tables, whose walker sets accessed and dirty by itself.
#[derive(Clone, Copy, Debug)]
pub struct Generic;

impl Arch for Generic {
    const NAME: &'static str = "generic";
    const FEATURES: &'static [CpuFeature] = &[];

    fn new(_: &CpuConfig, _: &'static KernelRules) -> Self {
        Self
    }
}
